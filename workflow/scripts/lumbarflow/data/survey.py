"""Describe one volume, and count what a repair changed in one mask."""

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES
from .labels import hidden

if TYPE_CHECKING:  # only the type is needed here, not the reader of volumes
    from .volumes import Volume

FOREGROUND = CLASSES[1:]
DESCRIPTION = (
    *("volume", "patient", "sequence", "orientation", "slices", "height", "width"),
    *("slice_mm", "row_mm", "column_mm", "minimum", "maximum", "values", "labels", "hidden"),
    *("defect_hidden", "defect_values", "defect_axis", "defect_turned", "corrected", "image_sha256"),
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


def describe(image: "Volume", mask: "Volume") -> dict[str, Any]:
    """Describe one volume: a dict of DESCRIPTION's columns except volume, patient, sequence and corrected.

    image, mask: volumes.Volume in canonical orientation. The defects are the paper's (DEFECTS); a
    plane is upright if its row index grows towards inferior and its column index towards posterior.
    """
    (first, _), (down, down_flipped), (back, back_flipped) = image.geometry.axes()
    found = np.unique(mask.array)
    return {
        "orientation": image.geometry.orientation(),
        **dict(zip(("slices", "height", "width"), image.array.shape, strict=True)),
        **dict(zip(("slice_mm", "row_mm", "column_mm"), map(float, image.spacing), strict=True)),
        **{"minimum": image.array.min(), "maximum": image.array.max()},
        **{"values": len(found), "labels": " ".join(map(str, found)), "hidden": len(hidden(mask.array))},
        "defect_hidden": bool(hidden(mask.array)),
        "defect_values": len(found) > len(CLASSES),
        "defect_axis": first != 0,
        # ITK's first axis is the column index of a stored plane
        "defect_turned": down < back or down_flipped or back_flipped,
        "image_sha256": hashlib.sha256(np.ascontiguousarray(image.array).data).hexdigest(),
    }


def compare(exact: NDArray[np.uint8], repaired: NDArray[np.uint8]) -> dict[str, int]:
    """What a repair changed in one class mask: a dict of pixel counts, see FIDELITY. Masks: uint8 [H, W]."""
    row = {"pixels": exact.size, "changed": int((exact != repaired).sum())}
    for k, name in enumerate(FOREGROUND, 1):
        row[f"exact_{name}"] = int((exact == k).sum())
        row[f"repaired_{name}"] = int((repaired == k).sum())
        row[f"both_{name}"] = int(((exact == k) & (repaired == k)).sum())
    return row
