"""The paper's combined loss (section 4) and cross-entropy of class masks [N, H, W] and probabilities [N, H, W, C]."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from .. import DataError

Tensor = Any  # of any backend, or an array


@keras.saving.register_keras_serializable(package="lumbarflow")
class CombinedLoss(keras.losses.Loss):
    """focal_weight * focal + (1 - focal_weight) * dice, in float32.

    focal = mean over pixels and classes of -alpha (1 - p)^gamma y log p, p clipped to [1e-7, 1 - 1e-7],
    with one alpha per class (None: 1, as released). focal_reduction `sum`: the sum over the pixels and
    classes of each image instead (the paper's formula), averaged over images.
    dice = 1 - mean over images of (2 sum yp + 1) / (sum y + sum p + 1). dice_over `joint`: the sums run
    over pixels and classes together, as released, so that the background dominates; `class`: one
    fraction per class, averaged over the classes.
    """

    def __init__(
        self,
        focal_weight: float = 0.6,
        alpha: Sequence[float] | None = None,
        gamma: float = 4.0,
        dice_over: str = "joint",
        focal_reduction: str = "mean",
        name: str = "combined",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        for key, value, known in (
            ("dice_over", dice_over, ("joint", "class")),
            ("focal_reduction", focal_reduction, ("mean", "sum")),
        ):
            if value not in known:
                raise DataError(f"loss.{key} must be {' or '.join(known)}, not {value!r}")
        self.focal_weight, self.alpha, self.gamma = focal_weight, alpha, gamma
        self.dice_over, self.focal_reduction = dice_over, focal_reduction

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        p = ops.cast(y_pred, "float32")
        y = ops.one_hot(ops.cast(y_true, "int32"), p.shape[-1], dtype="float32")
        return self.focal_weight * self.focal(y, p) + (1 - self.focal_weight) * self.dice(y, p)

    def focal(self, y: Tensor, p: Tensor) -> Tensor:
        # y is 0 or 1: only the true class's term of each pixel is not zero, and the costly functions see one number
        true = ops.clip(ops.sum(y * p, axis=-1), 1e-7, 1 - 1e-7)
        terms = -ops.power(1 - true, self.gamma) * ops.log(true)
        if self.alpha is not None:
            terms *= ops.sum(y * ops.convert_to_tensor(self.alpha, "float32"), axis=-1)
        of_image = ops.sum(terms, axis=(1, 2))
        pixels = 1 if self.focal_reduction == "sum" else p.shape[1] * p.shape[2] * p.shape[3]
        return ops.mean(of_image) / pixels

    def dice(self, y: Tensor, p: Tensor) -> Tensor:
        axes = (1, 2, 3) if self.dice_over == "joint" else (1, 2)
        overlap = ops.sum(y * p, axis=axes)
        return 1 - ops.mean((2 * overlap + 1) / (ops.sum(y, axis=axes) + ops.sum(p, axis=axes) + 1))

    def get_config(self) -> dict[str, Any]:
        own = {"focal_weight": self.focal_weight, "alpha": self.alpha, "gamma": self.gamma}
        return {**super().get_config(), **own, "dice_over": self.dice_over, "focal_reduction": self.focal_reduction}


@keras.saving.register_keras_serializable(package="lumbarflow")
class CrossEntropy(keras.losses.Loss):
    """Mean over pixels of -alpha log p of the true class, p clipped to [1e-7, 1 - 1e-7], in float32."""

    def __init__(self, alpha: Sequence[float] | None = None, name: str = "cross_entropy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.alpha = alpha

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        p = ops.clip(ops.cast(y_pred, "float32"), 1e-7, 1 - 1e-7)
        y = ops.one_hot(ops.cast(y_true, "int32"), p.shape[-1], dtype="float32")
        alpha = 1.0 if self.alpha is None else ops.convert_to_tensor(self.alpha, "float32")
        return ops.mean(ops.sum(-alpha * y * ops.log(p), axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class MeanOverHeads(keras.losses.Loss):
    """Deep supervision: the mean of a loss over the heads of probabilities [N, heads, H, W, C]."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(name=getattr(loss, "name", None) or getattr(loss, "__name__", "loss"))
        self.loss = loss

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.stack([self.loss(y_true, head) for head in ops.unstack(y_pred, axis=1)]))
