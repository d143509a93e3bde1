"""Describe one volume, and count what a repair changed in one mask."""

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, FOREGROUND
from .labels import LABELS, hidden

if TYPE_CHECKING:  # only the type is needed here, not the reader of volumes
    from .volumes import Volume

DESCRIPTION = (
    *("volume", "patient", "sequence", "orientation", "slices", "height", "width"),
    *("slice_mm", "row_mm", "column_mm", "minimum", "maximum", "values", "labels", "hidden"),
    *("defect_hidden", "defect_values", "defect_axis", "defect_turned", "corrected", "remarks", "image_sha256"),
)
# the paper's four "primary issues" (section 3.2.1), and how each one shows in the stored file
DEFECTS = {
    "defect_hidden": "1. vertebrae not to be seen: a label at grey 10 of 255 or less when stretched",
    "defect_values": "2. more than 4 values in the mask",
    "defect_axis": "3. sagittal slices not along the first stored axis",
    "defect_turned": "4. stored sagittal planes rotated or flipped",
}
FIDELITY = (
    *("volume", "patient", "sequence", "index", "pixels", "changed"),
    *(f"{kind}_{name}" for kind in ("exact", "repaired", "both") for name in FOREGROUND),
)
SHIFTS = 6.0, 12.0  # mm: half and all of the way from a vertebra to its disc
COARSER = 1.1  # how much coarser another axis must be, for slices not to be sagittal; less is the same
BETWEEN = 1.5  # but not in a stack that is flat from left to right, up to this
FLATTER = 2  # or, in voxels with equal edges, how much shorter than from left to right the stack


def describe(
    image: "Volume", mask: "Volume | None", vertebrae: Collection[int] = LABELS["vertebrae"]
) -> dict[str, Any]:
    """Describe one volume: a dict of DESCRIPTION's columns except volume, patient, sequence, corrected and remarks.

    image, mask: volumes.Volume in canonical orientation, as stored; vertebrae: labels of vertebrae. The defects are the
    paper's (DEFECTS); a plane is upright if its rows grow towards inferior and its columns towards posterior. What is
    said of a mask is empty where there is none.
    """
    (first, _), (down, down_flipped), (back, back_flipped) = image.geometry.axes()
    labelled: dict[str, Any] = dict.fromkeys(("values", "labels", "hidden", "defect_hidden", "defect_values"), "")
    if mask is not None:
        found, dark = np.unique(mask.array), hidden(mask.array, vertebrae)
        labelled = {"values": len(found), "labels": " ".join(map(str, found)), "hidden": len(dark)}
        labelled |= {"defect_hidden": bool(dark), "defect_values": len(found) > len(CLASSES)}
    return {
        "orientation": image.geometry.orientation(),
        **dict(zip(("slices", "height", "width"), image.array.shape, strict=True)),
        **dict(zip(("slice_mm", "row_mm", "column_mm"), map(float, image.spacing), strict=True)),
        **{"minimum": image.array.min(), "maximum": image.array.max()},
        **labelled,
        "defect_axis": first != 0,
        # ITK's first axis is the column index of a stored plane
        "defect_turned": down < back or down_flipped or back_flipped,
        "image_sha256": hashlib.sha256(np.ascontiguousarray(image.array).data).hexdigest(),
    }


def remarks(image: "Volume", classes: NDArray[np.uint8] | None) -> list[str]:
    """What is odd about a volume, in words. classes: its class mask, or None where there is none on its grid."""
    said = []
    if image.modality not in (None, "", "MR"):
        said.append(f"{image.modality}, not MR")
    if (seen := plane(image)) != "sagittal":
        said.append(f"{seen}, not sagittal")
    low, high = np.percentile(image.array, [1, 99])
    if low == high:
        said.append("nearly constant")
    if classes is not None and classes.any() and not said:
        best = better_place(image.array, classes, image.spacing)
        said += [f"mask fits better {best}"] if best else []
    return said


def plane(image: "Volume") -> str:
    """How slices were taken: as DICOM stores them, if sagittal; else along the coarsest axis, or, if there is none, the
    one that is much the shortest. In a stack that is shortest from left to right, planes of square pixels are slices,
    however close they lie."""
    sides, extent = np.array(image.spacing), np.array(image.spacing) * image.array.shape
    names = ("sagittal", "axial", "coronal")
    if image.modality is not None and image.geometry.axes()[0][0] == 2:
        return names[0]  # in DICOM, what follows each other along the last axis are the slices
    if extent[0] < extent[1:].min() and sides[1:].max() <= COARSER * sides[1:].min():
        return names[0]
    if extent[0] * FLATTER <= extent[1:].min() and sides.max() < BETWEEN * sides[0]:
        return names[0]  # a stack of thin slices
    if sides.max() > COARSER * sides[0]:
        return names[int(sides.argmax())]
    if sides[0] > COARSER * sides[1:].max():
        return names[0]
    return names[int(extent.argmin())] if extent.min() * FLATTER < extent[0] else names[0]


def better_place(array: NDArray[Any], classes: NDArray[np.uint8], spacing: Sequence[float]) -> str:
    """Where a mask would fit its image better: moved by SHIFTS up, down, to the front or back, or mirrored left to
    right; empty if nowhere.

    array, classes: canonical [slices, rows, columns]; spacing (mm). A mask fits by the share of the greys' variance
    around it that its classes explain (correlation ratio; Roche et al. 1998). Of 30 masks of SPIDER one fits elsewhere,
    of 30 exchanged between patients all do.
    """
    both = classes | classes[::-1]
    where = [np.flatnonzero(both.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    margins = (1, *(round(20 / mm) for mm in spacing[1:]))
    box = tuple(
        slice(max(found[0] - margin, 0), found[-1] + margin + 1) for found, margin in zip(where, margins, strict=True)
    )
    greys, mask = array[box].astype(np.float32)[:, ::2, ::2], classes[box]
    places = {"mirrored left to right": classes[::-1][box]}
    for mm in SHIFTS:
        down, back = (max(round(mm / step), 1) for step in spacing[1:])
        places |= {f"{mm:g} mm up": _moved(mask, -down, 1), f"{mm:g} mm down": _moved(mask, down, 1)}
        places |= {f"{mm:g} mm to the front": _moved(mask, -back, 2), f"{mm:g} mm to the back": _moved(mask, back, 2)}
    shares = {name: _explained(greys, moved[:, ::2, ::2]) for name, moved in places.items()}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] > _explained(greys, mask[:, ::2, ::2]) else ""


def _moved(mask: NDArray[np.uint8], steps: int, axis: int) -> NDArray[np.uint8]:
    """A mask moved along an axis, 0 where it comes from nowhere."""
    moved = np.roll(mask, steps, axis)
    empty = [slice(None)] * mask.ndim
    empty[axis] = slice(0, steps) if steps > 0 else slice(steps, None)
    moved[tuple(empty)] = 0
    return moved


def _explained(greys: NDArray[np.float32], mask: NDArray[np.uint8]) -> float:
    """Share of the variance of greys that lies between the classes of a mask (eta squared)."""
    mean, total = greys.mean(), float(greys.var()) * greys.size
    parts = [greys[mask == k] for k in range(len(CLASSES))]
    between = sum(len(part) * float(part.mean() - mean) ** 2 for part in parts if len(part))
    return between / total if total else 0.0


def compare(exact: NDArray[np.uint8], repaired: NDArray[np.uint8]) -> dict[str, int]:
    """What a repair changed in one class mask: a dict of pixel counts, see FIDELITY. Masks: uint8 [H, W]."""
    row = {"pixels": exact.size, "changed": int((exact != repaired).sum())}
    for k, name in enumerate(FOREGROUND, 1):
        row[f"exact_{name}"] = int((exact == k).sum())
        row[f"repaired_{name}"] = int((repaired == k).sum())
        row[f"both_{name}"] = int(((exact == k) & (repaired == k)).sum())
    return row
