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
        name = Path(row["volume"], f"{int(row['index']):03d}.png")
        classes, half = (png.read(folder / kind / name, row[f"{kind}_sha256"]) for kind in ("classes", "half"))
        sums = {key: np.array([float(row[f"{key}_{k}"]) for k in CLASSES]) for key in SOFT}
        for entry in evaluation.image_rows(classes, truth, (1, 1), tau, sums):
            found.append({**_common(row), "index": row["index"], "grid": "network", "unit": "px", **entry})
        stack.append((row["position"], half, truth))
    return found, stack


def volume(
    rows: Sequence[Row], path: Path, structures: Path, source: Mapping[str, Any], tau: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of metrics.csv on the source grid, of metrics_3d.csv and metrics_instances.csv of one predicted volume.

    rows: the scored rows of predictions.csv; path: the predicted classes; structures: the labels
    made of them; source: volumes.read's arguments for the truth.
    """
    pred = volumes.read(path)
    stored = volumes.read(**source).array
    truth, common, images = labels.lut(stored), _common(rows[0]), []
    for row in rows:
        index = int(row["index"])
        for entry in evaluation.image_rows(pred.array[index], truth[index], pred.spacing[1:], tau):
            images.append({**common, "index": index, "grid": "source", "unit": "mm", **entry})
    in_3d = [{**common, **entry} for entry in evaluation.volume_rows(pred.array, truth, pred.spacing, tau)]
    found = instances.instance_rows(
        volumes.read(structures).array, stored, pred.spacing, pred.geometry.swapped_spacing()
    )
    return images, in_3d, [{**common, **entry} for entry in found]


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
            found.append({**_common(row), "index": row["index"], "grid": "network", "unit": "px", **entry})
    return found, stacks
