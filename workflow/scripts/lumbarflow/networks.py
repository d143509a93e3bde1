"""Segmentation networks in Keras 3; any backend."""

import keras
from keras import layers

from . import DataError


def _block(x, filters, dropout, initializer, momentum):
    """Double 3x3 convolution; batch normalisation and dropout after the first one only, as released."""
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)
    x = layers.BatchNormalization(momentum=momentum)(x)
    x = layers.Dropout(dropout)(x)
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)


def _paper(image_size, classes, width=16, initializer="glorot_uniform", momentum=0.99):
    """The paper's modified U-Net (section 4, Figure 7, and the released program).

    Encoder 16-32-64-128, a bottleneck of 256 then 512 filters at one resolution, the "upsample
    block" (transposed 3x3 convolution, batch normalisation, leaky ReLU 0.1) as the decoder's first
    step, plain transposed 2x2 convolutions after it. 8,037,076 parameters at width 16.

    momentum: of the moving averages of batch normalisation, 0.99 as released; a training of a few
    hundred steps needs less, or they are still far off when it ends.
    """
    image = keras.Input((*image_size, 1), name="image")
    x, skips = image, []
    for level, dropout in enumerate((0.1, 0.1, 0.2, 0.2)):
        x = _block(x, width * 2**level, dropout, initializer, momentum)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _block(x, width * 16, 0.3, initializer, momentum)
    x = _block(x, width * 32, 0.3, initializer, momentum)
    for level, filters, dropout in ((3, 16, 0.2), (2, 8, 0.2), (1, 4, 0.1), (0, 2, 0.1)):
        if level == 3:
            x = layers.Conv2DTranspose(width * filters, 3, strides=2, padding="same", kernel_initializer=initializer)(x)
            x = layers.BatchNormalization(momentum=momentum)(x)
            x = layers.LeakyReLU(negative_slope=0.1)(x)
        else:
            x = layers.Conv2DTranspose(width * filters, 2, strides=2, padding="same", kernel_initializer=initializer)(x)
        x = layers.Concatenate()([x, skips[level]])
        x = _block(x, width * filters, dropout, initializer, momentum)
    # softmax in float32 whatever the policy: half precision loses the small probabilities
    x = layers.Conv2D(classes, 1, kernel_initializer=initializer)(x)
    return keras.Model(image, layers.Softmax(dtype="float32", name="classes")(x), name="paper")


NETWORKS = {"paper": _paper}


def build(name, image_size, classes=4, **options):
    """A network by name: images [N, H, W, 1] in, class probabilities [N, H, W, classes] out.

    image_size: [H, W], multiples of 16. Raises DataError (a ValueError) for an unknown name or size.
    """
    if name not in NETWORKS:
        raise DataError(f"network.name: {name!r} is not known; known: {', '.join(NETWORKS)}")
    if any(length % 16 or length < 16 for length in image_size):
        raise DataError(f"network: image size {list(image_size)} must be multiples of 16")
    return NETWORKS[name](tuple(image_size), classes, **options)
