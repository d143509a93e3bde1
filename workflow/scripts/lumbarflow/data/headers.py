"""What readers of volumes check before they use what a header says.

Volumes come from unknown sources. A header may name another file to read, or a size that does not fit into memory: no
memory is reserved and no file is opened only because a header says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import DataError
from .geometry import Geometry

LIMIT = 1 << 30  # bytes of voxels: ten times the largest volume of SPIDER


@dataclass(frozen=True)
class Stored:
    """A volume as a file holds it. array: voxels [z, y, x], the geometry's axes in reverse; geometry: as the header
    says, with any numbers where it says none; untold: {key of `overrides`: what is wrong} of those; modality: of DICOM
    (MR, CT, ...; empty if it does not say), else None."""

    array: NDArray[Any]
    geometry: Geometry
    untold: Mapping[str, str] = field(default_factory=dict)
    modality: str | None = None


def check_size(path: str | Path, size: Sequence[int], voxel: int) -> int:
    """Bytes of a grid of `size` with `voxel` bytes per voxel. Raises DataError if they are none or more than LIMIT."""
    wanted = math.prod(size) * voxel
    if not size or min(size) < 1 or wanted > LIMIT:
        raise DataError(
            f"{path}: its header claims {' x '.join(map(str, size))} voxels of {voxel} bytes; expected at least one "
            f"voxel and at most {LIMIT >> 20} MiB; the header is damaged, or this is no volume for this workflow"
        )
    return wanted


def check_surplus(path: str | Path, surplus: int, allowed: bool) -> None:
    """Raise DataError for bytes behind the voxels, unless `overrides` allows them: then the voxels may begin
    elsewhere."""
    if surplus and not allowed:
        raise DataError(
            f"{path}: holds {surplus} bytes more than its header claims, so its voxels may begin elsewhere; store it "
            "anew, or, in a dataset, if the picture is right, add `surplus: true` under `overrides`"
        )


def damaged(path: str | Path, what: str) -> DataError:
    """The error for a file that is not what its header says."""
    return DataError(f"{path}: cannot be read as a volume: {what}; replace the file or take it away")


def flat(path: str | Path, dimensions: int, values: int) -> DataError:
    """The error for a picture that is no volume."""
    return DataError(
        f"{path}: expected a 3-D volume with one value a voxel, found {dimensions}-D "
        f"with {values} values; convert it to a plain 3-D volume"
    )
