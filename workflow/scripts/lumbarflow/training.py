"""Training of one network on one split."""

import logging
import time
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from . import CLASSES, DataError
from .batches import iterate, predict
from .losses import CombinedLoss

SCORES = ("loss", "accuracy", "mean_iou", "mean_dice")
HISTORY = ("epoch", "rate", *(f"{subset}_{name}" for subset in ("train", "validation") for name in SCORES))


class Confusion(keras.metrics.Metric):
    """Confusion matrix [truth, prediction] pooled over every pixel since the last reset."""

    def __init__(self, name="confusion", **options):
        super().__init__(name=name, dtype="float32", **options)
        self.classes = len(CLASSES)
        self.matrix = self.add_weight(shape=(self.classes, self.classes), initializer="zeros", name="matrix")

    def update_state(self, y_true, y_pred, sample_weight=None):
        pair = ops.cast(y_true, "int32") * self.classes + ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        counts = ops.bincount(ops.reshape(pair, (-1,)), minlength=self.classes**2)
        counts = ops.reshape(counts[: self.classes**2], (self.classes, self.classes))
        self.matrix.assign_add(ops.cast(counts, "float32"))

    def result(self):
        return ops.convert_to_tensor(self.matrix)


def summarise(matrix):
    """accuracy, mean IoU and mean Dice over the four classes of a pooled confusion matrix.

    A class absent from both sides is left out of the means.
    """
    matrix = np.asarray(matrix, np.float64)
    hits = np.diag(matrix)
    both = matrix.sum(0) + matrix.sum(1)
    shown = both > 0
    return {
        "accuracy": float(hits.sum() / matrix.sum()),
        "mean_iou": float(np.mean(hits[shown] / (both - hits)[shown])),
        "mean_dice": float(np.mean(2 * hits[shown] / both[shown])),
    }


def rate_at(epoch, settings):
    """Learning rate of an epoch (from 0): `constant`, or `cosine` down to a hundredth of it."""
    rate, schedule = settings["rate"], settings["schedule"]
    if schedule == "constant":
        return rate
    if schedule == "cosine":
        done = epoch / max(settings["epochs"] - 1, 1)
        return rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done)))
    raise DataError(f"training.schedule must be constant or cosine, not {schedule!r}")


@dataclass
class Fit:
    """What a training leaves: the model with its best weights, the history rows and the best epoch (from 1)."""

    model: keras.Model
    history: list
    best_epoch: int


def evaluate(model, images, masks, batch, normalisation, loss):
    """Loss and scores, pooled over every pixel, of a model on uint8 images and masks [N, H, W]."""
    classes, total = len(CLASSES), 0.0
    matrix = np.zeros(classes**2, np.int64)
    for chunk, predicted in predict(model, images, normalisation, batch):
        truth = masks[chunk]
        total += float(loss(truth, predicted)) * len(truth)
        pairs = truth.astype(np.int64) * classes + predicted.argmax(-1)
        matrix += np.bincount(pairs.ravel(), minlength=classes**2)
    return {"loss": total / len(images), **summarise(matrix.reshape(classes, classes))}


def train(model, training, validation, settings, loss, normalisation, augmentation, seed):
    """Fit `model` with Adam and keep the weights of the epoch with the best validation mean IoU.

    training, validation: (images uint8 [N, H, W], masks uint8 [N, H, W]). settings: rate, schedule,
    batch, epochs, patience (epochs without a better validation mean IoU, pooled over the whole
    validation set, before it stops). Returns a Fit. Raises DataError for a loss that is not finite.
    """
    log = logging.getLogger(__name__)
    for name, (images, masks) in (("training", training), ("validation", validation)):
        if len(images) == 0:
            raise DataError(f"the {name} set is empty; lower split.parts or relax the filter")
        if len(np.unique(masks)) < 2:
            raise DataError(f"the {name} masks hold one class only; check the labels recipe and the filter")
    loss = CombinedLoss(**loss)
    model.compile(optimizer=keras.optimizers.Adam(settings["rate"]), loss=loss, metrics=[Confusion()])
    history, best, best_weights, best_epoch, began = [], -1.0, None, 0, time.perf_counter()
    for epoch in range(settings["epochs"]):
        started = time.perf_counter()
        rate = float(rate_at(epoch, settings))
        model.optimizer.learning_rate.assign(rate)
        model.reset_metrics()
        batches = iterate(*training, settings["batch"], seed, epoch, normalisation, augmentation)
        for number, (images, masks) in enumerate(batches):
            result = model.train_on_batch(images, masks, return_dict=True)
            if not np.isfinite(result["loss"]):
                raise DataError(
                    f"the loss became {result['loss']} in epoch {epoch + 1}, batch {number + 1}; lower training.rate"
                )
        row = {"epoch": epoch + 1, "rate": rate, "train_loss": float(result["loss"])}
        row |= {f"train_{name}": value for name, value in summarise(result["confusion"]).items()}
        took = time.perf_counter() - started
        scores = evaluate(model, *validation, settings["batch"], normalisation, loss)
        row |= {f"validation_{name}": value for name, value in scores.items()}
        history.append(row)
        if scores["mean_iou"] > best:
            best, best_weights, best_epoch = scores["mean_iou"], model.get_weights(), epoch + 1
        remaining = (time.perf_counter() - began) / (epoch + 1) * (settings["epochs"] - epoch - 1)
        log.info(
            "epoch %d/%d loss %.4f mean IoU %.4f, validation %.4f (best %.4f in epoch %d), "
            "%.1f images/s, at most %.0f s left",
            *(epoch + 1, settings["epochs"], row["train_loss"], row["train_mean_iou"]),
            *(scores["mean_iou"], best, best_epoch, len(training[0]) / took, remaining),
        )
        if epoch + 1 - best_epoch >= settings["patience"]:
            log.info("stopped: no better validation mean IoU for %d epochs", settings["patience"])
            break
    model.set_weights(best_weights)
    return Fit(model, history, best_epoch)
