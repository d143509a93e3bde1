"""Compare the predicted files of one trained network with the truth: rows of its metric tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES
from ..data import labels, volumes
from ..images import png, weights
from . import evaluation, instances

Row = Mapping[str, str]
Stacked = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]  # position in the test set, prediction, truth
SOFT = ("soft_overlap", "soft_pred", "soft_truth")


def _common(row: Row) -> dict[str, str]:
    return {key: row[key] for key in ("sequence", "patient", "volume")}


def pictures(
    rows: Sequence[Row], folder: Path, truths: NDArray[np.uint8], tau: float
) -> tuple[list[dict[str, Any]], list[Stacked]]:
    """(rows of metrics.csv on the network grid, (position, mask of p > 0.5, truth) of each image) of one volume.

    rows: the scored rows of predictions.csv; folder: that of the predicted masks; truths: classes [N, H, W] on the
    network grid.
    """
    found, stack = [], []
    for row, truth in zip(rows, truths, strict=True):
        classes, half = (
            png.read(png.slice_path(folder / kind, row), row[f"{kind}_sha256"]) for kind in ("classes", "half")
        )
        sums = {key: np.array([float(row[f"{key}_{k}"]) for k in CLASSES]) for key in SOFT}
        for entry in evaluation.image_rows(classes, truth, (1, 1), tau, sums):
            about = {**_common(row), "index": row["index"], "scored": True, "grid": "network", "unit": "px"}
            found.append({**about, **entry})
        stack.append((row["position"], half, truth))
    return found, stack


def planes(
    rows: Sequence[Row], classes: Mapping[int, NDArray[np.uint8]], truth: volumes.Volume, tau: float
) -> list[dict[str, Any]]:
    """Rows of metrics.csv on the source grid, against exact labels.

    rows: of predictions.csv; classes: {index: predicted classes [H, W] on the source plane}; truth: the volume's
    stored labels.
    """
    exact, found = labels.lut(truth.array), []
    for row in rows:
        index = int(row["index"])
        about = {**_common(row), "index": index, "scored": row["scored"], "grid": "source", "unit": "mm"}
        for entry in evaluation.image_rows(classes[index], exact[index], truth.spacing[1:], tau):
            found.append({**about, **entry})
    return found


def read_planes(rows: Sequence[Row], folder: Path) -> dict[int, NDArray[np.uint8]]:
    """{index: predicted classes [H, W] on the source plane} of single slices. folder: that of the predicted masks."""
    return {int(row["index"]): png.read(png.slice_path(folder, row), row["plane_sha256"]) for row in rows}


def volume(
    row: Row, pred: volumes.Volume, structures: Path | None, truth: volumes.Volume, tau: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of metrics_3d.csv and metrics_instances.csv of one predicted volume.

    row: any of the volume in predictions.csv; structures: file of the labels made of the predicted classes `pred`, or
    None where the truth does not tell structures apart; truth: SPIDER's labels.
    """
    exact = labels.lut(truth.array)
    in_3d = evaluation.volume_rows(pred.array, exact, pred.spacing, tau)
    if structures is None:
        return [{**_common(row), **entry} for entry in in_3d], []
    labelled = volumes.read(structures).array
    found = instances.instance_rows(labelled, truth.array, pred.spacing, pred.geometry.swapped_spacing())
    return [{**_common(row), **entry} for entry in in_3d], [{**_common(row), **entry} for entry in found]


def copied(
    rows: Sequence[Row], copies: Sequence[NDArray[np.uint8]], truths: NDArray[np.uint8], tau: float
) -> tuple[list[dict[str, Any]], dict[str, list[Stacked]]]:
    """Rows of copied.csv, and {sequence: (position, copy, truth) of each image}, for copied masks [H, W]
    scored as predictions.

    rows: test rows of a split; truths: classes [N, H, W].
    """
    found: list[dict[str, Any]] = []
    stacks: dict[str, list[Stacked]] = {}
    for row, copy, truth in zip(rows, copies, truths, strict=True):
        stacks.setdefault(row["sequence"], []).append((row["position"], copy, truth))
        sums = weights.soft_sums((copy[..., None] == np.arange(len(CLASSES))).astype(np.float32), truth)
        for entry in evaluation.image_rows(copy, truth, (1, 1), tau, sums):
            about = {**_common(row), "index": row["index"], "scored": True, "grid": "network", "unit": "px"}
            found.append({**about, **entry})
    return found, stacks
