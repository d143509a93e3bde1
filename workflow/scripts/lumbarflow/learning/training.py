"""Training of one network on one split."""

import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from .. import CLASSES, DataError
from ..files import replacing
from . import limits
from .batches import Augmentation, Batch, iterate, predict
from .keras_losses import MeanOverHeads, Tensor
from .losses import make
from .networks import every_layer, with_heads

Settings = Mapping[str, Any]
Epoch = dict[str, float]  # a row of the history
Pictures = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images and masks

SCORES = ("loss", "accuracy", "mean_iou", "mean_dice")
HISTORY = (
    *("epoch", "learning_rate", *(f"{subset}_{name}" for subset in ("train", "validation") for name in SCORES)),
    "test_accuracy",
)
PLATEAU = 5  # epochs without a better validation mean IoU before the learning rate is halved
TOLD_EVERY = 60  # seconds between lines within an epoch
AHEAD = 4  # steps that may be on their way to the device while the loss of the one before is looked at


class Confusion(keras.metrics.Metric):
    """Confusion matrix [truth, prediction] pooled over every pixel since the last reset. Of probabilities with heads,
    [N, heads, H, W, C], it takes the mean over the heads."""

    def __init__(self, name: str = "confusion", **options: Any) -> None:
        super().__init__(name=name, dtype="float32", **options)
        self.classes = len(CLASSES)
        self.matrix = self.add_weight(shape=(self.classes, self.classes), initializer="zeros", name="matrix")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        if len(y_pred.shape) == 5:
            y_pred = ops.mean(y_pred, axis=1)
        pairs = ops.cast(y_true, "int32") * self.classes + ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        if keras.backend.backend() == "jax":  # to compile bincount, it must know its length in advance
            counts = ops.sum(ops.one_hot(ops.reshape(pairs, (-1,)), self.classes**2, dtype="float32"), axis=0)
        else:
            counts = ops.bincount(ops.reshape(pairs, (-1,)), minlength=self.classes**2)
        self.matrix.assign_add(ops.reshape(ops.cast(counts, "float32"), (self.classes, self.classes)))

    def result(self) -> Tensor:
        return ops.copy(ops.convert_to_tensor(self.matrix))  # a copy, which outlives the next reset


def summarise(matrix: ArrayLike) -> dict[str, float]:
    """accuracy, mean IoU and mean Dice over the four classes of a pooled confusion matrix [truth, prediction].

    A class absent from truth and prediction is left out of the means.
    """
    counts = np.asarray(matrix, np.float64)
    hits = np.diag(counts)
    both = counts.sum(0) + counts.sum(1)
    shown = both > 0
    return {
        "accuracy": float(hits.sum() / counts.sum()),
        "mean_iou": float(np.mean(hits[shown] / (both - hits)[shown])),
        "mean_dice": float(np.mean(2 * hits[shown] / both[shown])),
    }


def best_epoch(history: Sequence[Epoch]) -> int:
    """Epoch (from 1) with the best validation mean IoU, the first one on a tie; the last one without validation; 0
    without epochs."""
    scores = [row.get("validation_mean_iou", number) for number, row in enumerate(history)]
    return scores.index(max(scores)) + 1 if scores else 0


def _validated(history: Sequence[Epoch], best: int) -> str:
    """The part of a line of the log that speaks of the validation, if there is one."""
    if "validation_mean_iou" not in history[-1]:
        return ""
    now, highest = (history[epoch - 1]["validation_mean_iou"] for epoch in (len(history), best))
    return f"validation {now:.4f} (best {highest:.4f} in epoch {best}), "


def rate_at(history: Sequence[Epoch], settings: Settings) -> float:
    """Learning rate of the next epoch, given those before. schedule: `constant`; `cosine`: falls to a
    hundredth; `plateau`: halved after every PLATEAU epochs without a better validation mean IoU."""
    rate, schedule, epoch = settings["learning_rate"], settings["schedule"], len(history)
    if schedule == "constant":
        return rate
    if schedule == "cosine":
        done = epoch / max(settings["epochs"] - 1, 1)
        return float(rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done))))
    if schedule == "plateau":
        since = 0
        for number in range(1, epoch + 1):
            since = 0 if best_epoch(history[:number]) == number else since + 1
            if since == PLATEAU:
                rate, since = rate / 2, 0
        return rate
    raise DataError(f"training.schedule must be constant, cosine or plateau, not {schedule!r}")


@dataclass
class Fit:
    """Result of a training: the model with its best weights, the history rows and the best epoch (from 1)."""

    model: keras.Model
    history: list[Epoch]
    best_epoch: int


def evaluate(
    model: keras.Model,
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    batch: int,
    normalisation: str,
    loss: keras.losses.Loss,
) -> dict[str, float]:
    """Loss and scores, pooled over every pixel, of a model on uint8 images and masks [N, H, W]."""
    classes, total = len(CLASSES), 0.0
    matrix = np.zeros(classes**2, np.int64)
    for chunk, predicted in predict(model, images, normalisation, batch):
        truth = masks[chunk]
        total += float(loss(truth.astype(np.float32), predicted)) * len(truth)  # the type that training gives it
        pairs = truth.astype(np.int64) * classes + predicted.argmax(-1)
        matrix += np.bincount(pairs.ravel(), minlength=classes**2)
    return {"loss": total / len(images), **summarise(matrix.reshape(classes, classes))}


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Everything that a training changes: weights, moving averages, dropout's seeds, the optimiser's moments."""
    return [*model.variables, *model.optimizer.variables]


def save_state(
    path: str | Path, model: keras.Model, best_weights: Sequence[NDArray[Any]], history: Sequence[Epoch]
) -> None:
    """Write a checkpoint from which training can resume after this epoch, as one file that is never incomplete."""
    arrays = {f"now{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(_variables(model))}
    arrays |= {f"best{i}": weight for i, weight in enumerate(best_weights)}
    with replacing(path) as temporary:
        np.savez(temporary, history=np.array(json.dumps(history)), **arrays)


def load_state(path: str | Path | None, model: keras.Model) -> tuple[list[NDArray[Any]] | None, list[Epoch]]:
    """Load a checkpoint into the model and its optimiser; return (best weights, history). (None, []) if there is
    no checkpoint, or if it does not fit the model."""
    if path is None or not Path(path).is_file():
        return None, []
    variables = _variables(model)
    try:
        with np.load(path, allow_pickle=False) as state:
            values = [state[f"now{i}"] for i in range(len(variables))]
            best = [state[f"best{i}"] for i in range(len(model.weights))]
            history = json.loads(str(state["history"]))
        if any(tuple(v.shape) != value.shape for v, value in zip(variables, values, strict=True)):
            raise ValueError("other shapes")
    except Exception as error:  # a damaged file only costs time: training starts again
        logging.getLogger(__name__).warning("%s: cannot be resumed from (%s); starting anew", path, error)
        return None, []
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return best, history


def step_memory(model: keras.Model, batch: int) -> int:
    """Estimated bytes of memory of one training step: output and gradient of each layer, in float32; value, gradient
    and Adam's two moments of each weight."""
    made = (tensor for layer in every_layer(model) for tensor in keras.tree.flatten(layer.output))
    outputs = sum(int(np.prod([length or 1 for length in tensor.shape[1:]])) for tensor in made)
    return 4 * (2 * batch * outputs + 4 * model.count_params())


def _explained(batch: int, needed: int, epoch: int, resume: str | Path | None) -> AbstractContextManager[None]:
    """What to do about too little memory, and a device that is lost. needed: from step_memory."""
    kept = f"; epoch {epoch - 1} is kept in {resume}, from which the next run goes on" if resume and epoch > 1 else ""
    return limits.explained(
        f"out of memory: a step of training.batch_size {batch} takes about {needed / 2**30:.1f} GiB; lower "
        "training.batch_size or network.image_size, or give the job more memory",
        f"the device stopped answering in epoch {epoch}{kept}; look at nvidia-smi and the system's log",
    )


def _train_epoch(
    model: keras.Model,
    batches: Iterable[Batch],
    count: int,
    rate: float,
    epoch: int,
    log: logging.Logger,
) -> dict[str, float]:
    """One pass over the batches; returns the loss and scores of the training images, all batches together."""
    model.optimizer.learning_rate.assign(rate)
    told, steps = time.perf_counter(), deque[Mapping[str, Any]]()
    losses, counts = list[float](), np.zeros((len(CLASSES), len(CLASSES)))

    def look(ahead: int) -> None:
        """Read the results of all but the last steps."""
        nonlocal counts
        while len(steps) > ahead:
            step = steps.popleft()
            losses.append(float(step["loss"]))
            counts = counts + np.asarray(ops.convert_to_numpy(step["confusion"]), np.float64)
            if not np.isfinite(losses[-1]):
                raise DataError(
                    f"the loss became {losses[-1]} in epoch {epoch}, batch {len(losses)}; lower training.learning_rate"
                )

    for images, masks in batches:
        steps.append(_step(model, images, masks))
        look(AHEAD)
        if losses and time.perf_counter() - told > TOLD_EVERY:
            told, done = time.perf_counter(), len(losses) * len(images)
            log.info("epoch %d: %d of about %d images, loss %.4f", epoch, done, count, losses[-1])
    look(0)
    return {"loss": float(np.mean(losses)), **summarise(counts)}


def _step(model: keras.Model, images: NDArray[np.float32], masks: NDArray[np.uint8]) -> Mapping[str, Any]:
    """One step; its loss and confusion matrix, under TensorFlow as tensors for which nothing waits: the device goes on
    with the next batch meanwhile."""
    if keras.backend.backend() != "tensorflow":  # each has its own way to call a step; this one waits
        return model.train_on_batch(images, masks, return_dict=True)
    model.make_train_function()
    model.reset_metrics()
    return model.train_function(iter([(images, masks, None)]))


def _average(momentum: float) -> dict[str, Any]:
    """Options of an optimiser that keeps an exponential moving average of the weights, or none for 0."""
    return {"use_ema": True, "ema_momentum": momentum, "ema_overwrite_frequency": None} if momentum else {}


def _check_pictures(name: str, pictures: Pictures) -> None:
    images, masks = pictures
    if len(images) == 0:
        raise DataError(f"the {name} set is empty; lower split.n_folds or relax the filter")
    if len(np.unique(masks)) < 2:
        raise DataError(f"the {name} masks hold one class only; check the labels recipe and the filter")


def _compiled(model: keras.Model, criterion: keras.losses.Loss, settings: Settings) -> keras.Model:
    """The model as it is trained: with the heads of deep supervision, if it has any, and with its optimiser."""
    fitted = with_heads(model)
    fitted.compile(
        optimizer=keras.optimizers.Adam(settings["learning_rate"], **_average(settings["averaging"])),
        loss=criterion if fitted is model else MeanOverHeads(criterion),
        metrics=[Confusion()],
    )
    fitted.optimizer.build(fitted.trainable_variables)
    return fitted


def _row(epoch: int, rate: float, trained: Mapping[str, float], validated: Mapping[str, float]) -> Epoch:
    """A row of the history."""
    row: Epoch = {"epoch": epoch, "learning_rate": rate}
    row |= {f"train_{name}": value for name, value in trained.items()}
    return row | {f"validation_{name}": value for name, value in validated.items()}


def train(
    model: keras.Model,
    training: Pictures,
    validation: Pictures | None,
    settings: Settings,
    loss: Settings,
    normalisation: str,
    augmentation: Augmentation,
    seed: int,
    resume: str | Path | None = None,
    workers: int = 1,
) -> Fit:
    """Fit `model` with Adam and keep the weights of the epoch with the best validation mean IoU, or of the last one
    without validation. Under deep supervision the training loss is the mean over the heads, the validation loss that
    of the mean prediction.

    With settings["averaging"] m above 0, what is validated and kept is the exponential moving average of the weights,
    a <- m a + (1 - m) w after each batch (Polyak and Juditsky 1992, as in mean teachers), while w goes on learning.

    training, validation: (images uint8 [N, H, W], masks uint8 [N, H, W]). settings: learning_rate, schedule,
    batch_size, averaging, epochs, patience (epochs without a better validation mean IoU, pooled over the whole
    validation set, before training stops). loss: arguments of losses.make. resume: file of the checkpoint that is
    written after each epoch; if it exists, training resumes from it, on the CPU with the same result to the last bit.
    workers: threads that prepare batches. Returns a Fit. Raises DataError for an empty set, masks of
    one class only, a loss that is not finite, and when memory runs out.
    """
    log = logging.getLogger(__name__)
    _check_pictures("training", training)
    if validation is not None:
        _check_pictures("validation", validation)
    criterion, averaging, batch_size = make(**loss), settings["averaging"], settings["batch_size"]
    fitted = _compiled(model, criterion, settings)
    best_weights, history = load_state(resume, fitted)
    if history:
        log.info("goes on after epoch %d of a training that was cut off", len(history))
    # the kernel kills a process without a message when memory runs out: then this line gives the reason
    needed = step_memory(model, batch_size)
    level = logging.INFO if needed > 2**30 else logging.DEBUG
    log.log(level, "a step of batch %d takes about %.1f GiB", batch_size, needed / 2**30)
    began, first = time.perf_counter(), len(history)
    while len(history) < settings["epochs"] and len(history) - best_epoch(history) < settings["patience"]:
        started, epoch, rate = time.perf_counter(), len(history), rate_at(history, settings)
        # PyTorch draws dropout from a global generator, which no checkpoint contains
        keras.utils.set_random_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        size = model.input_shape[1:3]
        batches = iterate(*training, batch_size, seed, epoch, normalisation, augmentation, size, workers)
        with _explained(batch_size, needed, epoch + 1, resume):
            trained = _train_epoch(fitted, batches, len(training[0]), rate, epoch + 1, log)
            took = time.perf_counter() - started
            learning = fitted.get_weights() if averaging else []
            if averaging:
                fitted.optimizer.finalize_variable_values(fitted.trainable_variables)
            scores = evaluate(model, *validation, batch_size, normalisation, criterion) if validation else {}
        history.append(_row(epoch + 1, rate, trained, scores))
        best = best_epoch(history)
        if best == epoch + 1:
            best_weights = fitted.get_weights()
        if averaging:
            fitted.set_weights(learning)
        if resume is not None:
            assert best_weights is not None  # the first epoch is the best so far
            save_state(resume, fitted, best_weights, history)
        remaining = (time.perf_counter() - began) / (epoch + 1 - first) * (settings["epochs"] - epoch - 1)
        log.info(
            "epoch %d/%d loss %.4f mean IoU %.4f, %s%.1f images/s, at most %.0f s left",
            *(epoch + 1, settings["epochs"], trained["loss"], trained["mean_iou"], _validated(history, best)),
            *(len(training[0]) / took, remaining),
        )
    if len(history) < settings["epochs"]:
        log.info("stopped: no better validation mean IoU for %d epochs", settings["patience"])
    fitted.set_weights(best_weights)
    return Fit(model, history, best_epoch(history))
