"""Score each vertebra, disc and canal by itself in three dimensions, as SPIDER does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import CLASSES
from ..data.labels import LABELS
from .metrics import DETECTED, surface

PER_INSTANCE = ("sequence", "patient", "volume", "class", "label", "voxels", "dice", "assd_mm", "detected")


def components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Connected components of a boolean mask [slices, H, W], voxels joined by their faces: int32, 0 outside."""
    return ndimage.label(mask)[0]


def instance_rows(
    pred: NDArray[np.uint8], truth: NDArray[np.integer], spacing: Sequence[float]
) -> list[dict[str, Any]]:
    """One row for each true structure of one volume: whether and how well it was found.

    pred: uint8 classes; truth: SPIDER's labels, both [slices, H, W]; spacing in mm. Predicted structures are the
    connected components of a class. Each true structure is matched to the component of largest overlap; it is detected
    where their Dice is at least 0.1. ASD: mean over both sets of surface distances together (SPIDER's official
    score, van der Graaf et al. 2024).
    """
    rows = []
    for name in CLASSES[1:]:
        found = components(pred == CLASSES.index(name))
        for label in sorted(set(np.unique(truth).tolist()) & set(LABELS[name])):
            structure = truth == label
            overlaps = np.bincount(found[structure])
            overlaps[:1] = 0
            row = {"class": name, "label": label, "voxels": int(structure.sum()), "dice": 0.0, "detected": False}
            if overlaps.any():
                match = found == overlaps.argmax()
                row["dice"] = float(2 * overlaps.max() / (match.sum() + structure.sum()))
                row["detected"] = row["dice"] >= DETECTED
            if row["detected"]:
                row["assd_mm"] = surface(match, structure, spacing).assd
            rows.append(row)
    return rows
