"""SPIDER's score: each vertebra, disc and canal by itself, in three dimensions (van der Graaf et al. 2024)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..data.labels import LABELS
from .metrics import DETECTED, surface

PER_INSTANCE = (
    *("sequence", "patient", "volume", "class", "label", "voxels"),
    *("match", "dice", "asd_official_mm", "asd_mm"),
)
CLASS_OF = {label: name for name, labels in LABELS.items() for label in labels}
SCORES = ("official", "corrected", "strict")


def instance_rows(
    pred: NDArray[np.integer],
    truth: NDArray[np.integer],
    spacing: Sequence[float],
    swapped_spacing: Sequence[float],
) -> list[dict[str, Any]]:
    """One row for each true structure of one volume: how well it was found.

    pred, truth: SPIDER's labels [slices, H, W]. The match of a structure is the predicted label, of whatever class,
    that covers most of it; 0 where none does, then dice is 0 and there are no distances. ASD: mean over the points of
    both surfaces (voxels with a neighbour outside, also over edges and corners) together; in mm by the spacing, and as
    the organisers' program takes it (Geometry.swapped_spacing).
    """
    rows = []
    sizes = np.bincount(pred.ravel())
    boxes, found_in = ndimage.find_objects(truth), ndimage.find_objects(pred)
    for label, box in enumerate(boxes, 1):
        if box is None:
            continue
        structure = truth[box] == label
        voxels = int(structure.sum())
        row: dict[str, Any] = {"class": CLASS_OF[label], "label": label, "voxels": voxels, "match": 0, "dice": 0.0}
        overlaps = np.bincount(pred[box][structure])
        overlaps[:1] = 0
        if overlaps.any():
            match = int(overlaps.argmax())
            row |= {"match": match, "dice": float(2 * overlaps[match] / (sizes[match] + voxels))}
            both = tuple(
                slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, found_in[match - 1], strict=True)
            )
            for name, lengths in (("asd_mm", spacing), ("asd_official_mm", swapped_spacing)):
                row[name] = surface(pred[both] == match, truth[both] == label, lengths, corners=True).assd
        rows.append(row)
    return rows


def case_scores(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Scores of one case (volume): a row for each of SCORES and each class that the truth shows, and `all` for the
    official score's overall Dice.

    rows: of instance_rows, missing distances NaN. `official` as the organisers' program: Dice over the structures
    with a Dice of at least 0.1, all others are missed; the canal always counts; ASD over all structures, NaN where one
    of them is not overlapped at all. `corrected`: the same with distances by the right spacing, over the structures
    that are overlapped. `strict`: a structure whose match is of another class, a disc that is taken for a vertebra, is
    missed as well, and so are all but the best found of several with one match: vertebrae predicted as one are one that
    is found. A missed structure's Dice counts as 0, and its distance does not count. detection: share of structures
    found; missed: their number.
    """
    structures = list(rows)
    scores = []
    for name in LABELS:
        part = [row for row in structures if row["class"] == name]
        if not part:
            continue
        dice = np.array([row["dice"] for row in part])
        official, right = (np.array([row.get(key, np.nan) for row in part]) for key in ("asd_official_mm", "asd_mm"))
        overlapped, found = dice > 0, dice >= DETECTED
        matches = [int(row["match"]) for row in part]
        best = {matches[k]: k for k in np.argsort(dice, kind="stable")}
        same = np.array([CLASS_OF.get(match) == name and best[match] == k for k, match in enumerate(matches)])
        counted = np.ones_like(found) if name == "spinal_canal" else found
        seen = overlapped if name == "spinal_canal" else found
        values = {
            "official": (_mean(dice[counted]), float(official.mean()), seen),
            "corrected": (_mean(dice[counted]), _mean(right[overlapped]), seen),
            "strict": (_mean(np.where(counted & same, dice, 0)), _mean(right[seen & same]), seen & same),
        }
        for score, (mean, distance, detected) in values.items():
            row = {"score": score, "class": name, "dice": mean, "asd": distance, "detection": float(detected.mean())}
            scores.append({**row, "structures": len(part), "missed": int((~detected).sum())})
    overall = _mean(np.array([row["dice"] for row in structures]))
    return [*scores, {"score": "official", "class": "all", "dice": overall, "structures": len(structures)}]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan
