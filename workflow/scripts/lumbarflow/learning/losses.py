"""Losses by name: class masks [N, H, W] against probabilities [N, H, W, C].

A loss is a function (options...) -> keras.losses.Loss, registered with the options that the config may set. The
classes are in keras_losses, so that Snakemake, which reads this registry at every start, does not import Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..registry import Registry, option

if TYPE_CHECKING:
    import keras

LOSSES = Registry("loss.name")
ALPHA = option(
    None,
    "factor of each class in the focal loss: `none` (released), four numbers (background, vertebrae, canal, discs), or "
    "`weights`: the inverse of the training images' class weights, scaled to mean 1; the one option of `cross_entropy`",
    anyOf=[
        {"enum": ["none", "weights"]},
        {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 4, "maxItems": 4},
    ],
)
COMBINED = {
    "focal_weight": option(
        0.6,
        "weight of the focal loss, the paper's alpha; the Dice loss has the rest",
        type="number",
        minimum=0,
        maximum=1,
    ),
    "alpha": ALPHA,
    "gamma": option(4.0, "exponent of the focal loss; the paper: 4.0 and, once, 0.4", type="number", minimum=0),
    "dice_over": option(
        "joint", "Dice loss `joint` over pixels and classes (released) or by `class`", enum=["joint", "class"]
    ),
    "focal_reduction": option(
        "mean",
        "focal loss as the `mean` over pixels and classes (released), or their `sum`, the paper's formula",
        enum=["mean", "sum"],
    ),
}


@LOSSES.register("combined", COMBINED)
def combined(**options: Any) -> keras.losses.Loss:
    """The paper's loss: focal and dice."""
    from .keras_losses import CombinedLoss

    return CombinedLoss(**options)


@LOSSES.register("cross_entropy", {"alpha": ALPHA})
def cross_entropy(alpha: Sequence[float] | None) -> keras.losses.Loss:
    from .keras_losses import CrossEntropy

    return CrossEntropy(alpha)


def make(name: str, **options: Any) -> keras.losses.Loss:
    """The loss of an experiment's settings, by a registered name or `package.module:function`. Raises DataError."""
    return LOSSES.get(name)(**options)
