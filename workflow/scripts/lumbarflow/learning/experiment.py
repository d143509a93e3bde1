"""Run one training of an experiment: from the rows of its split to the network, its history and its description."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from .. import files
from ..images import weights
from . import batches, device, losses, networks, splits, training

Row = Mapping[str, str]
Settings = Mapping[str, Any]
# the settings of an experiment that determine a training
SETTINGS = ("split", "normalisation", "network", "loss", "augmentation", "training")


# the split of a training on all patients
EVERYONE = {"kind": "all"}


def on_everyone(
    rows: Sequence[Row], settings: Settings, trained: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Rows and settings, as `run` takes them, of a training on all patients with the settings of an experiment.

    rows: a split of it; trained: model.json of its trainings, whose median best epoch, rounded up, is this training's
    number of epochs: without validation, nothing else can tell when to stop.
    """
    epochs = math.ceil(np.median([each["best_epoch"] for each in trained]))
    length = {**settings["training"], "epochs": epochs, "patience": epochs}
    everyone = [{**row, "subset": "train" if row["kept"] == "true" else "none"} for row in rows]
    return everyone, {**settings, "split": EVERYONE, "training": length}


def resume_file(folder: Path, settings: Settings, code: str, split: Path, used: str) -> Path:
    """Path of the checkpoint of a training. Its name is a digest of everything that determines the result.

    Checkpoints of other settings, inputs or code are deleted: no training will resume from them. code: digest of the
    code; split: the split table, which contains the digests of all images; used: cpu or gpu, since `auto` is another
    precision on another device.
    """
    precision = device.precision(settings["training"]["precision"], used)
    decisive = json.dumps([settings, precision, device.versions(), code], sort_keys=True).encode()
    key = files.sha256(decisive + b"\n" + split.read_bytes())[:16]
    for other in folder.glob("*.npz"):
        if other.stem != key:
            other.unlink()
    return folder / f"{key}.npz"


def load(
    rows: Sequence[Row], subset: str, network: Settings, slice_folder: Path, label_folder: Path
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images uint8 [N, H, W], or with neighbours [N, H, W, C], and masks uint8 [N, H, W] of one subset of a split, on
    the network grid."""
    chosen, grid = [row for row in rows if row["subset"] == subset], (network["image_size"], network["resize"])
    images = batches.load_images(chosen, slice_folder, *grid, networks.neighbours(network), rows)
    return images, batches.load_masks(chosen, label_folder, *grid)


def run(
    rows: Sequence[Row],
    settings: Settings,
    seed: int,
    used: str,
    slice_folder: Path,
    label_folder: Path,
    resume: Path,
    workers: int = 1,
) -> tuple[keras.Model, list[dict[str, Any]], dict[str, Any]]:
    """Train on `used` (cpu or gpu); return the network in float32, the rows of its history and what model.json holds.

    rows: rows of the split; settings: the experiment's SETTINGS, or those of `on_everyone`; workers: threads that
    prepare batches.
    """
    splits.check_disjoint(rows, settings["split"]["kind"])
    everyone = settings["split"] == EVERYONE
    subsets = {"train": "train"}
    if chooses := splits.VALIDATED_ON.get(settings["split"].get("validation", "none")):
        subsets["validation"] = chooses
    network = settings["network"]
    sets = {name: load(rows, subset, network, slice_folder, label_folder) for name, subset in subsets.items()}
    loss = weights.resolve_alpha(settings["loss"], [row for row in rows if row["subset"] == "train"])
    precision = device.precision(settings["training"]["precision"], used)
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    learning = networks.of_settings(network)
    layers, links = networks.outline(learning)
    fit = training.train(
        learning,
        training=sets["train"],
        validation=sets.get("validation"),
        settings=settings["training"],
        loss=loss,
        normalisation=settings["normalisation"],
        augmentation=settings["augmentation"],
        seed=seed,
        resume=resume,
        workers=workers,
    )
    keras.config.set_dtype_policy("float32")  # independent of the training, so that all machines predict the same
    model = networks.of_settings(network)
    model.set_weights(fit.model.get_weights())
    scores: dict[str, float] = {}
    if not everyone:
        test = load(rows, "test", network, slice_folder, label_folder)
        scores = training.evaluate(model, *test, batches.PLANES, settings["normalisation"], losses.make(**loss))
        fit.history[-1]["test_accuracy"] = scores["accuracy"]
    about = {"best_epoch": fit.best_epoch, "parameters": model.count_params(), "seed": seed, "device": used}
    about |= {"settings": settings, "images": {name: len(images) for name, (images, _) in sets.items()}}
    about |= {"loss": loss, "precision": precision, "test": scores, "versions": device.versions()}
    about |= {"layers": layers, "links": links}
    return model, fit.history, about
