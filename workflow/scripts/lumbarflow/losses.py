"""The paper's combined loss (section 4), in keras.ops; class masks [N, H, W] against probabilities [N, H, W, C]."""

import keras
from keras import ops

from . import DataError


@keras.saving.register_keras_serializable(package="lumbarflow")
class CombinedLoss(keras.losses.Loss):
    """focal_share * focal + (1 - focal_share) * dice, in float32.

    focal = mean over pixels and classes of -alpha (1 - p)^gamma y log p, p clipped to [1e-7, 1 - 1e-7],
    with one alpha a class (None: 1, as released);
    dice = 1 - mean over images of (2 sum yp + 1) / (sum y + sum p + 1). dice_over `joint` sums over
    pixels and classes together, as released, which lets the background dominate; `class` takes the
    fraction for each class by itself and averages.
    """

    def __init__(self, focal_share=0.6, alpha=None, gamma=4.0, dice_over="joint", name="combined", **options):
        super().__init__(name=name, **options)
        if dice_over not in ("joint", "class"):
            raise DataError(f"loss.dice_over must be joint or class, not {dice_over!r}")
        self.focal_share, self.alpha, self.gamma, self.dice_over = focal_share, alpha, gamma, dice_over

    def call(self, y_true, y_pred):
        p = ops.cast(y_pred, "float32")
        y = ops.one_hot(ops.cast(y_true, "int32"), p.shape[-1], dtype="float32")
        return self.focal_share * self.focal(y, p) + (1 - self.focal_share) * self.dice(y, p)

    def focal(self, y, p):
        p = ops.clip(p, 1e-7, 1 - 1e-7)
        alpha = 1.0 if self.alpha is None else ops.convert_to_tensor(self.alpha, "float32")
        return ops.mean(alpha * ops.power(1 - p, self.gamma) * (-y * ops.log(p)))

    def dice(self, y, p):
        axes = (1, 2, 3) if self.dice_over == "joint" else (1, 2)
        overlap = ops.sum(y * p, axis=axes)
        return 1 - ops.mean((2 * overlap + 1) / (ops.sum(y, axis=axes) + ops.sum(p, axis=axes) + 1))

    def get_config(self):
        own = {"focal_share": self.focal_share, "alpha": self.alpha, "gamma": self.gamma, "dice_over": self.dice_over}
        return {**super().get_config(), **own}
