"""From predictions and truth to rows of metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, FOREGROUND
from .metrics import count, overlap, scores, surface, surface_by_area

# properties of metrics.Surface, every surface point counted once
BY_VOXELS = (
    "assd",
    "asd_mean_of_means",
    "nsd_paper",
    "nsd_symmetric",
    "hd95",
)
# and every point counted by the length or area of its element: column, property
BY_AREA = {"assd_area": "assd", "nsd_area": "nsd_symmetric"}
SURFACES = (*BY_VOXELS, *BY_AREA)
PER_IMAGE = (
    *("sequence", "patient", "volume", "index", "scored", "grid", "unit", "class"),
    *("tp", "fp", "fn", "iou", "dice", "precision", "recall", "f1", "soft_dice"),
    *(*SURFACES, "missed"),
)
PER_VOLUME = (
    *("sequence", "patient", "volume", "class", "dice", "assd_mm", "nsd_mm", "hd95_mm"),
    *("assd_area_mm", "nsd_area_mm", "missed"),
)
PER_STACK = ("sequence", "order", "class", "asd", "nsd")


def image_rows(
    pred: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    spacing: Sequence[float],
    tau: float,
    soft: Mapping[str, NDArray[np.float64]] | None = None,
) -> list[dict[str, Any]]:
    """One row of metrics for each class of one image: counts, overlap, surface distances in units of spacing.

    pred, truth: uint8 class masks [H, W]. soft: from weights.soft_sums, for the soft Dice of the
    release: (2 overlap + 1) / (pred + truth + 1).
    """
    counts = count(pred, truth, len(CLASSES))
    shared = scores(counts)
    rows = []
    for k, name in enumerate(CLASSES):
        tp, fp, fn = (int(value) for value in counts[k])
        distances = surface(pred == k, truth == k, spacing, tau)
        row = {"class": name, "tp": tp, "fp": fp, "fn": fn}
        row |= {metric: float(values[k]) for metric, values in shared.items()}
        row |= {metric: getattr(distances, metric) for metric in BY_VOXELS}
        weighted = surface_by_area(pred == k, truth == k, spacing, tau)
        row |= {column: getattr(weighted, metric) for column, metric in BY_AREA.items()}
        row["missed"] = (tp + fp == 0) != (tp + fn == 0)
        if soft is not None:
            row["soft_dice"] = float(
                (2 * soft["soft_overlap"][k] + 1) / (soft["soft_pred"][k] + soft["soft_truth"][k] + 1)
            )
        rows.append(row)
    return rows


def stack_rows(
    stacks: Mapping[str, Sequence[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]], tau: float
) -> list[dict[str, Any]]:
    """ASD and NSD as the release computes them: on the whole test stack of a sequence, as if it were one volume.

    An artefact, for reproduction only: the nearest surface may be in a slice of another patient, so
    distances are too small; how small depends on the order. stacks: {sequence: [(position in the shuffled order of
    a split of slices, or "", mask of p > 0.5, truth), ...]}, uint8 [H, W], by volume and index. order `shuffled`: as
    the release; `sorted`: by volume and index.
    """
    rows = []
    for sequence, images in stacks.items():
        orders = {"sorted": images}
        if all(position != "" for position, *_ in images):
            orders = {"shuffled": sorted(images, key=lambda image: int(image[0])), **orders}
        for order, ordered in orders.items():
            preds, truths = (np.stack([image[part] for image in ordered]) for part in (1, 2))
            for k, name in enumerate(CLASSES):
                distances = surface(preds == k, truths == k, (1, 1, 1), tau)
                row = {"sequence": sequence, "order": order, "class": name, "asd": distances.asd_mean_of_means}
                rows.append({**row, "nsd": distances.nsd_mean_of_means})
    return rows


def volume_rows(
    pred: NDArray[np.uint8], truth: NDArray[np.uint8], spacing: Sequence[float], tau: float
) -> list[dict[str, Any]]:
    """Dice and surface distances (mm) of each foreground class of one volume.

    pred, truth: uint8 classes [slices, H, W]; spacing and tau in mm.
    """
    shared = overlap(pred, truth)
    rows = []
    for k, name in enumerate(FOREGROUND, 1):
        found = [bool((mask == k).any()) for mask in (pred, truth)]
        if not any(found):
            continue
        distances = surface(pred == k, truth == k, spacing, tau)
        weighted = surface_by_area(pred == k, truth == k, spacing, tau)
        rows.append(
            {
                "class": name,
                "dice": float(shared["dice"][k]),
                "assd_mm": distances.assd,
                "nsd_mm": distances.nsd_symmetric,
                "hd95_mm": distances.hd95,
                **{f"{column}_mm": getattr(weighted, metric) for column, metric in BY_AREA.items()},
                "missed": not all(found),
            }
        )
    return rows
