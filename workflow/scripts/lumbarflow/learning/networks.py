"""Segmentation networks in Keras 3; any backend."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import KerasTensor, layers

from .. import DataError

Box = tuple[str, str, int, int, int]  # name, kind, height, width, filters


def _block(x: KerasTensor, filters: int, dropout: float, initializer: str, momentum: float) -> KerasTensor:
    """Double 3x3 convolution; batch normalisation and dropout after the first one only, as released."""
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)
    x = layers.BatchNormalization(momentum=momentum)(x)
    x = layers.Dropout(dropout)(x)
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)


def _up(x: KerasTensor, filters: int, initializer: str) -> KerasTensor:
    """Plain transposed 2x2 convolution: twice the resolution."""
    return layers.Conv2DTranspose(filters, 2, strides=2, padding="same", kernel_initializer=initializer)(x)


def _upsample_block(x: KerasTensor, filters: int, initializer: str, momentum: float) -> KerasTensor:
    """The paper's upsample block: transposed 3x3 convolution, batch normalisation, leaky ReLU 0.1."""
    x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", kernel_initializer=initializer)(x)
    x = layers.BatchNormalization(momentum=momentum)(x)
    return layers.LeakyReLU(negative_slope=0.1)(x)


def _model(name: str, image: KerasTensor, x: KerasTensor, classes: int, initializer: str) -> keras.Model:
    # softmax in float32 whatever the policy: half precision loses the small probabilities
    x = layers.Conv2D(classes, 1, kernel_initializer=initializer)(x)
    return keras.Model(image, layers.Softmax(dtype="float32", name="classes")(x), name=name)


def _paper(
    image_size: Sequence[int],
    classes: int,
    width: int = 16,
    initializer: str = "glorot_uniform",
    momentum: float = 0.99,
    upsample: str = "first",
) -> keras.Model:
    """The paper's modified U-Net (section 4, Figure 7, and the released program).

    Encoder 16-32-64-128, a bottleneck of 256 then 512 filters at one resolution, the "upsample
    block" as the decoder's first step, plain transposed 2x2 convolutions after it. 8,037,076
    parameters at width 16. upsample `every`: the block on every step, as the text may be read.

    momentum: of the moving averages of batch normalisation, 0.99 as released; a training of a few
    hundred steps needs less, or they are still far off when it ends.
    """
    if upsample not in ("first", "every"):
        raise DataError(f"network.options.upsample must be first or every, not {upsample!r}")
    image = keras.Input((*image_size, 1), name="image")
    x, skips = image, []
    for level, dropout in enumerate((0.1, 0.1, 0.2, 0.2)):
        x = _block(x, width * 2**level, dropout, initializer, momentum)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _block(x, width * 16, 0.3, initializer, momentum)
    x = _block(x, width * 32, 0.3, initializer, momentum)
    for level, filters, dropout in ((3, 16, 0.2), (2, 8, 0.2), (1, 4, 0.1), (0, 2, 0.1)):
        if level == 3 or upsample == "every":
            x = _upsample_block(x, width * filters, initializer, momentum)
        else:
            x = _up(x, width * filters, initializer)
        x = layers.Concatenate()([x, skips[level]])
        x = _block(x, width * filters, dropout, initializer, momentum)
    return _model("paper", image, x, classes, initializer)


def _double(x: KerasTensor, filters: int, initializer: str, momentum: float) -> KerasTensor:
    """Double 3x3 convolution, each with batch normalisation, which the older designs below did not have yet."""
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=initializer)(x)
        x = layers.BatchNormalization(momentum=momentum)(x)
        x = layers.ReLU()(x)
    return x


def _encoder(x: KerasTensor, width: int, initializer: str, momentum: float) -> list[KerasTensor]:
    """Five levels of double convolutions with pooling between: [finest, ..., coarsest]."""
    found = []
    for level in range(5):
        x = _double(layers.MaxPooling2D(2)(x) if level else x, width * 2**level, initializer, momentum)
        found.append(x)
    return found


def _unet(
    image_size: Sequence[int], classes: int, width: int = 32, initializer: str = "he_normal", momentum: float = 0.99
) -> keras.Model:
    """U-Net: Ronneberger, Fischer, Brox, MICCAI 2015 (width 64 there), padded so that sizes are kept."""
    image = keras.Input((*image_size, 1), name="image")
    *skips, x = _encoder(image, width, initializer, momentum)
    for level in (3, 2, 1, 0):
        x = layers.Concatenate()([_up(x, width * 2**level, initializer), skips[level]])
        x = _double(x, width * 2**level, initializer, momentum)
    return _model("unet", image, x, classes, initializer)


def _gate(skip: KerasTensor, signal: KerasTensor, filters: int, initializer: str) -> KerasTensor:
    """Additive attention gate (Oktay et al., equation 1): what of a skip matters, given the coarser signal."""
    kept = layers.Conv2D(filters, 2, strides=2, use_bias=False, kernel_initializer=initializer)(skip)
    asked = layers.Conv2D(filters, 1, kernel_initializer=initializer)(signal)
    share = layers.Conv2D(1, 1, activation="sigmoid")(layers.ReLU()(layers.Add()([kept, asked])))
    return layers.Multiply()([skip, layers.UpSampling2D(2, interpolation="bilinear")(share)])


def _attention_unet(
    image_size: Sequence[int], classes: int, width: int = 32, initializer: str = "he_normal", momentum: float = 0.99
) -> keras.Model:
    """Attention U-Net: Oktay et al., MIDL 2018: the U-Net with a gate on every skip."""
    image = keras.Input((*image_size, 1), name="image")
    *skips, x = _encoder(image, width, initializer, momentum)
    for level in (3, 2, 1, 0):
        filters = width * 2**level
        gated = _gate(skips[level], x, filters, initializer)
        x = layers.Concatenate()([_up(x, filters, initializer), gated])
        x = _double(x, filters, initializer, momentum)
    return _model("attention_unet", image, x, classes, initializer)


def _unet_plus_plus(
    image_size: Sequence[int], classes: int, width: int = 32, initializer: str = "he_normal", momentum: float = 0.99
) -> keras.Model:
    """U-Net++: Zhou et al., DLMIA 2018: nested, dense skips; without deep supervision."""
    image = keras.Input((*image_size, 1), name="image")
    rows = [[x] for x in _encoder(image, width, initializer, momentum)]
    for column in range(1, 5):
        for level in range(5 - column):
            above = _up(rows[level + 1][column - 1], width * 2**level, initializer)
            x = layers.Concatenate()([*rows[level], above])
            rows[level].append(_double(x, width * 2**level, initializer, momentum))
    return _model("unet_plus_plus", image, rows[0][-1], classes, initializer)


NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "paper": _paper,
    "unet": _unet,
    "attention_unet": _attention_unet,
    "unet_plus_plus": _unet_plus_plus,
}


def build(name: str, image_size: Sequence[int], classes: int = 4, **options: Any) -> keras.Model:
    """A network by name: images [N, H, W, 1] in, class probabilities float32 [N, H, W, classes] out.

    image_size: [H, W], multiples of 16. options: width (filters of the first level), initializer,
    momentum (of batch normalisation), of `paper` also upsample. Raises DataError (a ValueError) for an
    unknown name, option or size.
    """
    if name not in NETWORKS:
        raise DataError(f"network.name: {name!r} is not known; known: {', '.join(NETWORKS)}")
    if any(length % 16 or length < 16 for length in image_size):
        raise DataError(f"network: image size {list(image_size)} must be multiples of 16")
    for option in options:
        if option not in inspect.signature(NETWORKS[name]).parameters:
            raise DataError(f"network.options.{option} is no option of {name}")
    return NETWORKS[name](tuple(image_size), classes, **options)


def outline(model: keras.Model) -> tuple[list[Box], list[tuple[str, str]]]:
    """What charts.network draws of a built model: [(name, kind, height, width, filters)] and links [(name, name)].

    Normalisation, dropout and activations are left out; links run through them.
    """
    kinds = {"Conv2D", "MaxPooling2D", "Conv2DTranspose", "UpSampling2D", "Concatenate", "Multiply"}
    drawn = [layer for layer in model.layers if type(layer).__name__ in kinds]
    names = {layer.name for layer in drawn}

    def sources(layer: keras.Layer) -> Iterator[str]:
        for tensor in layer.input if isinstance(layer.input, list) else [layer.input]:
            before = tensor._keras_history.operation
            if before.name in names:
                yield before.name
            elif not isinstance(before, layers.InputLayer):
                yield from sources(before)

    boxes = [(layer.name, type(layer).__name__, *layer.output.shape[1:]) for layer in drawn]
    return boxes, [(source, layer.name) for layer in drawn for source in dict.fromkeys(sources(layer))]
