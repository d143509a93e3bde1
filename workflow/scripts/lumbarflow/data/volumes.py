"""Medical volumes, read in canonical orientation; data.writing puts them back on the grid they came from.

Canonical array axes are [left-right, superior-inferior, anterior-posterior], indices growing
towards Left, Inferior and Posterior: `array[i]` is a sagittal slice as a radiologist sees it,
head up, face to the left.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import DataError
from . import metaimage
from .dataset import is_dicom
from .geometry import Geometry
from .headers import Stored


@dataclass(frozen=True)
class Volume:
    """A volume in canonical orientation: array [slices, rows, columns], spacing in mm of those axes,
    the geometry of the stored file, which writing.write needs to restore the stored grid, and of DICOM
    the modality (empty if it does not say), else None."""

    array: NDArray[Any]
    spacing: tuple[float, ...]
    geometry: Geometry
    modality: str | None = None


def read(path: str | Path, override: Mapping[str, Any] | None = None, series: str = "") -> Volume:
    """Read a volume (.mha, .mhd, .nii, .nii.gz, DICOM of any name, a folder of DICOM slices, or, with its spacing under
    `override`, a .png of one slice) in canonical orientation.

    override: values that replace those of the header, see Geometry.corrected, and `surplus`: allow bytes behind the
    voxels; series: which of several DICOM series. Returns a Volume; its array keeps the stored dtype. Raises DataError,
    naming the file, if it is missing, damaged, not a 3-D volume with one finite value per voxel, or if nothing says
    where its voxels lie.
    """
    changes = dict(override or {})
    stored = _stored(path, bool(changes.pop("surplus", False)), series)
    untold = {key: what for key, what in stored.untold.items() if key not in changes}
    if untold:
        raise DataError(
            f"{path}: {'; '.join(untold.values())}; store it anew, or, in a dataset, tell what is right under "
            f"`overrides` ({', '.join(untold)})"
        )
    bad = 0 if stored.array.dtype.kind in "iu" else np.count_nonzero(~np.isfinite(stored.array))
    if bad:
        raise DataError(f"{path}: holds {bad} voxels that are NaN or infinite; repair or remove it")
    return canonical(stored.array, stored.geometry.corrected(**changes).checked(path), stored.modality)


def canonical(array: NDArray[Any], geometry: Geometry, modality: str | None = None) -> Volume:
    """The volume of voxels [z, y, x], the geometry's axes in reverse: what writing.stored undoes."""
    array = array.transpose([2 - axis for axis, _ in geometry.axes()])
    array = np.flip(array, tuple(axis for axis, (_, flipped) in enumerate(geometry.axes()) if flipped))
    return Volume(array, geometry.canonical_spacing(), geometry, modality)


def _stored(path: str | Path, surplus: bool, series: str) -> Stored:
    """What a file or folder holds, by the reader of its ending."""
    name = str(path).lower()
    if not os.path.exists(path):
        raise DataError(f"{path}: no such file")
    # imported here: most datasets need one of them
    if is_dicom(path):
        from . import dicom

        return dicom.read(path, series)
    if name.endswith(".png"):
        from . import picture

        return picture.read(path)
    if name.endswith((".nii", ".nii.gz")):
        from . import nifti

        return nifti.read(path, surplus)
    return metaimage.read(path, surplus)
