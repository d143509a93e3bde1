"""Segmentation networks in Keras 3; any backend.

A network is a function (image_size, classes, options...) -> keras.Model, image_size being [H, W] or, where the network
also sees neighbouring slices as channels, [H, W, C]; it is registered with the options that the config
may set and the divisor of its image size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import DataError
from ..registry import Registry, lazy, option

if TYPE_CHECKING:
    import keras
else:
    keras = lazy("keras")

NETWORKS = Registry("network.name")
DIVISOR = 16  # of the image size, for networks that register no other
LEVELS = 5  # resolutions of the rivals
MEAN_OF_HEADS = "mean_of_heads"  # the last layer of a network with deep supervision
Box = tuple[str, str, int, int, int]  # name, kind, height, width, filters
Block = Callable[["keras.KerasTensor", int, str, float], "keras.KerasTensor"]  # of x, filters, initializer, momentum

MOMENTUM = option(
    0.99,
    "of batch normalisation's moving averages; the paper: 0.99; short trainings need less",
    type="number",
    minimum=0,
    exclusiveMaximum=1,
)


def _width(default: int) -> Any:
    about = "filters of the first level; the paper: 16"
    return option(default, about, type="integer", minimum=1, maximum=256)


def _initializer(default: str) -> Any:
    return option(default, "Keras' name of the kernel initialiser; the paper: `glorot_uniform`", type="string")


UPSAMPLE = option(
    "first",
    "of `paper`: its upsample block on the `first` step of the decoder (released) or on `every` one",
    enum=["first", "every"],
)
PAPER = {"width": _width(16), "initializer": _initializer("glorot_uniform"), "momentum": MOMENTUM, "upsample": UPSAMPLE}
RIVAL = {"width": _width(32), "initializer": _initializer("he_normal"), "momentum": MOMENTUM}
DEEP_SUPERVISION = option(
    False,
    "of `unet_plus_plus`: `true` trains on the mean loss of its four heads and predicts their mean probabilities",
    type="boolean",
)
BLOCKS = option(
    [1, 3, 4, 6, 6],
    "of `residual_unet`: residual blocks at each of its five resolutions, the finest first (nnU-Net: [1, 3, 4, 6, 6]; "
    "[1, 1, 1, 1, 1] has 7 million parameters)",
    type="array",
    items={"type": "integer", "minimum": 1, "maximum": 16},
    minItems=LEVELS,
    maxItems=LEVELS,
)


MEMBERS = option(
    ["paper", "unet"],
    "of `ensemble`: the networks side by side; of one that stands there twice, two that start from other weights",
    type="array",
    items={"enum": ["paper", "unet", "attention_unet", "improved_attention_unet", "unet_plus_plus"]},
    minItems=2,
)


def _image(size: Sequence[int]) -> keras.KerasTensor:
    """The input of a network: [H, W], or [H, W, C] where it also sees neighbouring slices."""
    return keras.Input(tuple(size) if len(size) > 2 else (*size, 1), name="image")


def _normalise(x: keras.KerasTensor, momentum: float) -> keras.KerasTensor:
    from .layers import BatchNormalization  # imports Keras

    return BatchNormalization(momentum=momentum)(x)


def _block(x: keras.KerasTensor, filters: int, dropout: float, initializer: str, momentum: float) -> keras.KerasTensor:
    """Double 3x3 convolution; batch normalisation and dropout after the first one only, as released."""
    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)
    x = _normalise(x, momentum)
    x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)


def _up(x: keras.KerasTensor, filters: int, initializer: str) -> keras.KerasTensor:
    """Plain transposed 2x2 convolution: twice the resolution."""
    return keras.layers.Conv2DTranspose(filters, 2, strides=2, padding="same", kernel_initializer=initializer)(x)


def _upsample_block(x: keras.KerasTensor, filters: int, initializer: str, momentum: float) -> keras.KerasTensor:
    """The paper's upsample block: transposed 3x3 convolution, batch normalisation, leaky ReLU 0.1."""
    x = keras.layers.Conv2DTranspose(filters, 3, strides=2, padding="same", kernel_initializer=initializer)(x)
    x = _normalise(x, momentum)
    return keras.layers.LeakyReLU(negative_slope=0.1)(x)


def _head(x: keras.KerasTensor, classes: int, initializer: str, name: str = "classes") -> keras.KerasTensor:
    """Class probabilities of a feature map."""
    # softmax always in float32: half precision loses small probabilities
    x = keras.layers.Conv2D(classes, 1, kernel_initializer=initializer)(x)
    return keras.layers.Softmax(dtype="float32", name=name)(x)


def _model(name: str, image: keras.KerasTensor, x: keras.KerasTensor, classes: int, initializer: str) -> keras.Model:
    return keras.Model(image, _head(x, classes, initializer), name=name)


@NETWORKS.register("paper", PAPER)
def paper(
    image_size: Sequence[int], classes: int, width: int, initializer: str, momentum: float, upsample: str
) -> keras.Model:
    """The paper's modified U-Net (section 4, Figure 7, and the released program).

    Encoder 16-32-64-128, a bottleneck of 256 then 512 filters at one resolution, the "upsample
    block" as the decoder's first step, plain transposed 2x2 convolutions after it. 8,037,076
    parameters at width 16. upsample `every`: the block on every step, another reading of the text.

    momentum: of the moving averages of batch normalisation, 0.99 as released. A training of a few
    hundred steps needs a lower value, otherwise the averages have not converged when it ends.
    """
    if upsample not in ("first", "every"):
        raise DataError(f"upsample must be first or every, not {upsample!r}")
    image = _image(image_size)
    x, skips = image, []
    for level, dropout in enumerate((0.1, 0.1, 0.2, 0.2)):
        x = _block(x, width * 2**level, dropout, initializer, momentum)
        skips.append(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = _block(x, width * 16, 0.3, initializer, momentum)
    x = _block(x, width * 32, 0.3, initializer, momentum)
    for level, filters, dropout in ((3, 16, 0.2), (2, 8, 0.2), (1, 4, 0.1), (0, 2, 0.1)):
        if level == 3 or upsample == "every":
            x = _upsample_block(x, width * filters, initializer, momentum)
        else:
            x = _up(x, width * filters, initializer)
        x = keras.layers.Concatenate()([x, skips[level]])
        x = _block(x, width * filters, dropout, initializer, momentum)
    return _model("paper", image, x, classes, initializer)


def _conv(
    x: keras.KerasTensor, filters: int, initializer: str, momentum: float, size: int = 3, stride: int = 1
) -> keras.KerasTensor:
    """Convolution and batch normalisation, without activation."""
    x = keras.layers.Conv2D(
        filters, size, strides=stride, padding="same", use_bias=False, kernel_initializer=initializer
    )(x)
    return _normalise(x, momentum)


def _double(x: keras.KerasTensor, filters: int, initializer: str, momentum: float) -> keras.KerasTensor:
    """Two 3x3 convolutions, each with batch normalisation. The older designs below did not have it."""
    for _ in range(2):
        x = keras.layers.ReLU()(_conv(x, filters, initializer, momentum))
    return x


def _encoder(
    x: keras.KerasTensor, width: int, initializer: str, momentum: float, block: Block = _double
) -> list[keras.KerasTensor]:
    """A block at each level, with pooling between: [finest, ..., coarsest]."""
    found = []
    for level in range(LEVELS):
        x = block(keras.layers.MaxPooling2D(2)(x) if level else x, width * 2**level, initializer, momentum)
        found.append(x)
    return found


@NETWORKS.register("unet", RIVAL)
def unet(image_size: Sequence[int], classes: int, width: int, initializer: str, momentum: float) -> keras.Model:
    """U-Net: Ronneberger, Fischer, Brox, MICCAI 2015 (width 64 there); here padding keeps the size."""
    image = _image(image_size)
    *skips, x = _encoder(image, width, initializer, momentum)
    for level in (3, 2, 1, 0):
        x = keras.layers.Concatenate()([_up(x, width * 2**level, initializer), skips[level]])
        x = _double(x, width * 2**level, initializer, momentum)
    return _model("unet", image, x, classes, initializer)


def _gate(
    skip: keras.KerasTensor, signals: Sequence[keras.KerasTensor], filters: int, initializer: str
) -> keras.KerasTensor:
    """Additive attention gate (Oktay et al., equation 1): weights a skip by its relevance to coarser feature maps.

    signals: feature maps of 1/2, 1/4, ... of the skip's resolution, projected and added; Oktay et al. have the first.
    """
    terms = [keras.layers.Conv2D(filters, 2, strides=2, use_bias=False, kernel_initializer=initializer)(skip)]
    for step, signal in enumerate(signals):
        term = keras.layers.Conv2D(filters, 1, use_bias=step == 0, kernel_initializer=initializer)(signal)
        terms.append(keras.layers.UpSampling2D(2**step, interpolation="bilinear")(term) if step else term)
    share = keras.layers.Conv2D(1, 1, activation="sigmoid")(keras.layers.ReLU()(keras.layers.Add()(terms)))
    return keras.layers.Multiply()([skip, keras.layers.UpSampling2D(2, interpolation="bilinear")(share)])


@NETWORKS.register("attention_unet", RIVAL)
def attention_unet(
    image_size: Sequence[int], classes: int, width: int, initializer: str, momentum: float
) -> keras.Model:
    """Attention U-Net: Oktay et al., MIDL 2018: the U-Net with a gate on every skip."""
    image = _image(image_size)
    *skips, x = _encoder(image, width, initializer, momentum)
    for level in (3, 2, 1, 0):
        filters = width * 2**level
        gated = _gate(skips[level], [x], filters, initializer)
        x = keras.layers.Concatenate()([_up(x, filters, initializer), gated])
        x = _double(x, filters, initializer, momentum)
    return _model("attention_unet", image, x, classes, initializer)


def _residual(
    x: keras.KerasTensor, filters: int, initializer: str, momentum: float, stride: int = 1
) -> keras.KerasTensor:
    """Residual block of two 3x3 convolutions (He et al., CVPR 2016, Figure 2), each with batch normalisation.

    Its shortcut is the identity, or a 1x1 convolution where the number of filters or the resolution changes.
    """
    same = stride == 1 and x.shape[-1] == filters
    shortcut = x if same else _conv(x, filters, initializer, momentum, size=1, stride=stride)
    x = keras.layers.ReLU()(_conv(x, filters, initializer, momentum, stride=stride))
    x = _conv(x, filters, initializer, momentum)
    return keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))


def _residuals(
    x: keras.KerasTensor, filters: int, initializer: str, momentum: float, count: int = 2, stride: int = 1
) -> keras.KerasTensor:
    """Residual blocks, of which the first changes the number of filters and the resolution."""
    for number in range(count):
        x = _residual(x, filters, initializer, momentum, stride if number == 0 else 1)
    return x


@NETWORKS.register("improved_attention_unet", RIVAL)
def improved_attention_unet(
    image_size: Sequence[int], classes: int, width: int, initializer: str, momentum: float
) -> keras.Model:
    """After Wang et al., Comput Intell Neurosci 2022:4259471 (doi 10.1155/2022/4259471), who segment lumbar MRI.

    Of the paper, only the abstract could be read, none of its figures and equations: this is one reading of it, and its
    scores are not those of the authors' network. The abstract says: an Attention U-Net with an attention module that
    fuses feature maps of several levels, and two residual modules in place of the convolution blocks. Chosen here:

    - two residual blocks of He et al., one after the other, in place of each double convolution;
    - a gate looks at the bottleneck and at all decoder levels coarser than its skip, not at the next one alone: their
      1x1 convolutions are brought to one resolution and added;
    - levels, filters, pooling and upsampling are those of `attention_unet`.
    """
    image = _image(image_size)
    *skips, x = _encoder(image, width, initializer, momentum, _residuals)
    coarser = [x]
    for level in (3, 2, 1, 0):
        filters = width * 2**level
        gated = _gate(skips[level], coarser, filters, initializer)
        x = keras.layers.Concatenate()([_up(x, filters, initializer), gated])
        x = _residuals(x, filters, initializer, momentum)
        coarser.insert(0, x)
    return _model("improved_attention_unet", image, x, classes, initializer)


@NETWORKS.register("unet_plus_plus", {**RIVAL, "deep_supervision": DEEP_SUPERVISION})
def unet_plus_plus(
    image_size: Sequence[int], classes: int, width: int, initializer: str, momentum: float, deep_supervision: bool
) -> keras.Model:
    """U-Net++: Zhou et al., DLMIA 2018: nested, dense skips.

    deep_supervision: a head on each decoder node of the finest level, X(0,1) to X(0,4), as in the paper's released
    program. The output is the mean of their probabilities (the paper's accurate mode); training takes the mean of their
    losses (`with_heads`).
    """
    image = _image(image_size)
    rows = [[x] for x in _encoder(image, width, initializer, momentum)]
    for column in range(1, LEVELS):
        for level in range(LEVELS - column):
            above = _up(rows[level + 1][column - 1], width * 2**level, initializer)
            x = keras.layers.Concatenate()([*rows[level], above])
            rows[level].append(_double(x, width * 2**level, initializer, momentum))
    if not deep_supervision:
        return _model("unet_plus_plus", image, rows[0][-1], classes, initializer)
    heads = [_head(x, classes, initializer, f"head_{column}") for column, x in enumerate(rows[0]) if column]
    mean = keras.layers.Average(dtype="float32", name=MEAN_OF_HEADS)(heads)
    return keras.Model(image, mean, name="unet_plus_plus")


@NETWORKS.register("residual_unet", {**RIVAL, "blocks": BLOCKS})
def residual_unet(
    image_size: Sequence[int], classes: int, width: int, initializer: str, momentum: float, blocks: Sequence[int]
) -> keras.Model:
    """U-Net with residual encoder and light decoder, after ResEnc of nnU-Net (Isensee et al. 2024, arXiv:2404.09556).

    A 3x3 convolution, then residual blocks at each resolution, where the first one's stride takes the place of pooling;
    the decoder has one convolution at each. Unlike nnU-Net: five resolutions for images of any size; batch
    normalisation and ReLU, not instance normalisation and leaky ReLU; a strided 1x1 convolution in a shortcut, not
    average pooling before it; one head, without deep supervision.
    """
    if len(blocks) != LEVELS or min(blocks) < 1:
        raise DataError(f"blocks must be {LEVELS} numbers of at least 1, not {blocks}")
    image = _image(image_size)
    x = keras.layers.ReLU()(_conv(image, width, initializer, momentum))
    found = []
    for level, count in enumerate(blocks):
        x = _residuals(x, width * 2**level, initializer, momentum, count, stride=2 if level else 1)
        found.append(x)
    *skips, x = found
    for level in (3, 2, 1, 0):
        x = keras.layers.Concatenate()([_up(x, width * 2**level, initializer), skips[level]])
        x = keras.layers.ReLU()(_conv(x, width * 2**level, initializer, momentum))
    return _model("residual_unet", image, x, classes, initializer)


@NETWORKS.register("ensemble", {"width": _width(16), "momentum": MOMENTUM, "members": MEMBERS})
def ensemble(
    image_size: Sequence[int], classes: int, width: int, momentum: float, members: Sequence[str]
) -> keras.Model:
    """Networks that see the same pictures, each trained by a loss of its own (`with_heads`); the output is the mean of
    their probabilities (Lakshminarayanan et al., NeurIPS 2017)."""
    image = _image(image_size)
    heads = []
    for number, name in enumerate(members):
        member = NETWORKS.get(name)(image_size, classes, width=width, momentum=momentum)
        member.name = f"{name}_{number}"
        heads.append(member(image))
    mean = keras.layers.Average(dtype="float32", name=MEAN_OF_HEADS)(heads)
    return keras.Model(image, mean, name="ensemble")


def neighbours(network: Mapping[str, Any]) -> int:
    """Slices on each side that a network also sees. network: its settings, which earlier versions wrote without
    them."""
    return int(network.get("neighbours", 0))


def divisor(name: str) -> int:
    """The number by which the image size of this network must be divisible."""
    return NETWORKS.get(name).more.get("divisor", DIVISOR)


def of_settings(network: Mapping[str, Any]) -> keras.Model:
    """Build the network of an experiment's settings; its input is the image size, padded to the network's divisor."""
    from .batches import padded_size  # imports numpy, which planning does not need

    size = padded_size(network["image_size"], divisor(network["name"]))
    return build(network["name"], size, neighbours=neighbours(network), **network["options"])


def build(name: str, image_size: Sequence[int], classes: int = 4, neighbours: int = 0, **options: Any) -> keras.Model:
    """A network by name: images [N, H, W, 2 neighbours + 1] in, class probabilities float32 [N, H, W, classes] out.

    name: a registered one, or `package.module:function`. image_size: [H, W], multiples of the network's divisor; with
    neighbours, its function is called with [H, W, channels].
    options: the built-in ones have width (filters of the first level), initializer and momentum (of batch
    normalisation); some have more, as registered. Raises DataError (a ValueError) for an unknown name, option or size,
    and for a network of the user's own with another input or output shape, or whose output is no probabilities.
    """
    step = divisor(name)
    if any(length % step or length < step for length in image_size):
        raise DataError(f"network: image size {list(image_size)} must be multiples of {step}")
    try:
        size = (*image_size, 2 * neighbours + 1) if neighbours else tuple(image_size)
        model = NETWORKS.get(name)(size, classes, **options)
    except DataError as error:
        raise DataError(f"network.options of {name}: {error}") from None
    except (TypeError, ValueError) as error:
        if name in NETWORKS.variants or not neighbours:
            raise
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"network.name {name}: fails for the size {list(size)} ({why}); with network.neighbours its images are "
            "[N, H, W, channels]"
        ) from error
    expected = ((None, *image_size, 2 * neighbours + 1), (None, *image_size, classes))
    found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    if found != expected:
        raise DataError(
            f"network.name {name}: it turns {found[0]} into {found[1]}; expected {expected[0]} into {expected[1]}"
        )
    if name not in NETWORKS.variants:
        _check_probabilities(name, model)
        _check_storable(name, model)
    return model


def _check_storable(name: str, model: keras.Model) -> None:
    """Raise DataError for a network of the user's own that could not be stored after hours of training."""
    try:
        keras.saving.serialize_keras_object(model)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"network.name {name}: Keras cannot store it ({reason}); let the layers take numbers, texts and lists as "
            "their arguments, or give them a get_config"
        ) from error


def _check_probabilities(name: str, model: keras.Model) -> None:
    """Raise DataError for a network of the user's own whose output is no probability of each class."""
    import numpy as np

    picture = np.random.default_rng(0).random((1, *model.input_shape[1:]), np.float32)
    p = keras.ops.convert_to_numpy(model(picture)).astype(np.float64)
    if p.min() < -1e-3 or np.abs(p.sum(-1) - 1).max() > 1e-2:
        raise DataError(
            f"network.name {name}: its output of a random picture lies between {p.min():.3g} and {p.max():.3g}, and "
            f"the classes of a pixel sum to {p.sum(-1).min():.3g} to {p.sum(-1).max():.3g}; expected probabilities, "
            "which sum to 1: end it by a softmax over the classes"
        )


def with_heads(model: keras.Model) -> keras.Model:
    """The network as it is trained: itself or, under deep supervision, a model of the same layers and weights whose
    output is the probabilities of each head, float32 [N, heads, H, W, classes]."""
    means = [layer for layer in model.layers if layer.name == MEAN_OF_HEADS]
    return keras.Model(model.input, keras.ops.stack(means[0].input, axis=1), name=model.name) if means else model


def _is_graph(layer: keras.Layer) -> bool:
    """Whether a layer is a model whose own layers have known outputs: no subclass of keras.Model that only calls."""
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def every_layer(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a model, and of an ensemble those of its members."""
    for layer in model.layers:
        yield from every_layer(layer) if _is_graph(layer) else (layer,)


def outline(model: keras.Model) -> tuple[list[Box], list[tuple[str, str]]]:
    """Layers of a model for charts.network: [(name, kind, height, width, filters)], and links [(name, name)].

    Normalisation, dropout and activations are left out; links run through them. The layers of a model within it, such
    as a member of an ensemble, are named `model/layer`; links run within a model.
    """
    kinds = {"Conv2D", "MaxPooling2D", "Conv2DTranspose", "UpSampling2D", "Concatenate", "Add", "Multiply"}
    names = {layer.name for layer in model.layers if type(layer).__name__ in kinds}

    def sources(layer: keras.Layer) -> Iterator[str]:
        for tensor in layer.input if isinstance(layer.input, list) else [layer.input]:
            before = tensor._keras_history.operation
            if before.name in names:
                yield before.name
            elif not isinstance(before, keras.layers.InputLayer):
                yield from sources(before)

    boxes: list[Box] = []
    links: list[tuple[str, str]] = []
    for layer in model.layers:
        if _is_graph(layer):
            inner, within = outline(layer)
            boxes += [(f"{layer.name}/{name}", kind, h, w, filters) for name, kind, h, w, filters in inner]
            links += [(f"{layer.name}/{a}", f"{layer.name}/{b}") for a, b in within]
        elif layer.name in names:
            boxes.append((layer.name, type(layer).__name__, *layer.output.shape[1:]))
            links += [(source, layer.name) for source in dict.fromkeys(sources(layer))]
    return boxes, links
