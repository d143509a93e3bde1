"""Read NIfTI files (.nii, .nii.gz), versions 1 and 2."""

import gzip
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from .. import DataError
from .geometry import ROUNDING, Geometry
from .headers import Stored, check_size, check_surplus, damaged, flat

HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by their length in bytes
UNITS = {0: "unknown", 1: "metres", 2: "mm", 3: "micrometres"}
SLACK = 1e-3  # by which the squares of a rounded quaternion may sum to more than 1
TO_LPS = np.diag([-1.0, -1.0, 1.0])  # NIfTI's patient space has x to Right and y to Anterior


def read(path: str | Path, surplus: bool = False) -> Stored:
    """Read a NIfTI file, packed by gzip or not, whatever its ending says.

    The sform counts where its code is set, else the qform. surplus: allow bytes behind the voxels. Raises DataError,
    naming the file, for a header that does not match the file and for what is no volume with one value a voxel.
    """
    path, log = str(path), logging.getLogger(__name__)
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed != path.lower().endswith(".gz"):
        log.info("%s: is%s packed by gzip, in spite of its name; read all the same", path, "" if packed else " not")
    try:
        with (gzip.open if packed else open)(path, "rb") as file:
            header = _header(path, file.read(540))
            count, *dimensions = map(int, header["dim"])
            if not 1 <= count <= 7:
                raise damaged(path, f"its header claims {count} dimensions")
            size, voxel = dimensions[:count], _voxel(path, header)
            wanted = check_size(path, size, voxel.itemsize)
            if len(size) < 3 or max(size[3:], default=1) > 1 or voxel.kind not in "iuf" or voxel.itemsize > 8:
                values = size[4] if count > 4 else len(voxel.fields or [0])
                raise flat(path, count if values == 1 else 3, values)
            begins = int(header["vox_offset"]) or header.single_vox_offset
            file.seek(begins)
            content = file.read(wanted)
            behind = len(file.read(1 << 20))
            slope, intercept = header.get_slope_inter()  # None for those of a file without
    except DataError:
        raise
    except (EOFError, OSError, ValueError, OverflowError, zlib.error, nib.spatialimages.HeaderDataError) as error:
        raise damaged(path, f"no sound NIfTI file ({error or type(error).__name__})") from None
    if len(content) < wanted:
        raise damaged(path, f"cut short: its header claims {begins + wanted} bytes, found {begins + len(content)}")
    check_surplus(path, behind, surplus)
    array = np.frombuffer(content, voxel).reshape(size[2::-1])
    array = array.astype(voxel.newbyteorder("="), copy=False)
    if slope is not None and (slope, intercept or 0) != (1, 0):  # whole numbers stay so without
        array = array * float(slope) + float(intercept or 0)
    return Stored(array, *_place(path, header, size[:3]))


def _header(path: str, content: bytes) -> Any:
    """nibabel's header, unchecked: its repairs would set a spacing of 0 to 1 mm. Raises DataError."""
    lengths = {int.from_bytes(content[:4], order): order for order in ("little", "big")}
    length = next((each for each in HEADERS if each in lengths), 0)
    if len(content) < max(length, 4) or not length:
        raise damaged(path, "no sound NIfTI file (it does not begin with the length of a header)")
    kind = HEADERS[length]
    header = kind(content[:length], "<" if lengths[length] == "little" else ">", check=False)
    if header["magic"].item().rstrip(b"\0") != kind.single_magic.rstrip(b"\0"):
        raise damaged(path, f"no NIfTI file with its voxels in it (its magic is {header['magic'].item()!r})")
    if not 0 <= header["vox_offset"] <= 1 << 20 or 0 < header["vox_offset"] < length:
        raise damaged(path, f"its voxels begin at byte {header['vox_offset']}")
    return header


def _voxel(path: str, header: Any) -> np.dtype[Any]:
    """Type of the voxels. Raises DataError."""
    try:
        return header.get_data_dtype()
    except KeyError:
        raise damaged(path, f"its datatype is {header['datatype']}, which NIfTI does not know") from None


def _place(path: str, header: Any, size: Sequence[int]) -> tuple[Geometry, dict[str, str]]:
    """Geometry, and what the header does not tell of it."""
    log = logging.getLogger(__name__)
    pixdim = header["pixdim"]
    if (pixdim[1:4] < 0).any():
        log.warning("%s: has negative spacings %s; NIfTI has none, their signs are left out", path, pixdim[1:4])
        pixdim[1:4] = np.abs(pixdim[1:4])
    pixdim[0] = -1 if pixdim[0] < 0 else 1  # 0 counts as 1
    unit = UNITS.get(int(header["xyzt_units"]) & 7, "none that NIfTI knows")
    untold = {"spacing": f"its unit is {unit}, expected mm"} if unit not in ("mm", "unknown") else {}
    length = float(np.linalg.norm([float(header[f"quatern_{axis}"]) for axis in "bcd"]))
    if 1 < length**2 <= 1 + SLACK:  # a half turn, rounded; ITK does so too
        for axis in "bcd":
            header[f"quatern_{axis}"] /= length
    sform, qform = (_affine(header, name) for name in ("sform", "qform"))
    if sform is not None:
        grids = [_grid(affine, size) for affine in (sform, qform) if affine is not None]
        apart = np.linalg.norm(grids[0].corners() - grids[-1].corners(), axis=1).max()
        if apart > ROUNDING * min(grids[0].spacing):
            log.warning("%s: its qform differs from its sform by up to %.3g mm; the sform is used", path, apart)
        return grids[0], untold
    if (pixdim[1:4] == 0).any():
        untold["spacing"] = f"its spacings are {' '.join(f'{mm:g}' for mm in pixdim[1:4])}, and it has no sform"
    if qform is not None:
        return _grid(qform, size), untold
    untold["orientation"] = (
        f"the quaternion (b, c, d) of its qform has a length of {length:.4g}, expected at most 1, and it has no sform"
        if header["qform_code"] > 0 and length**2 > 1 + SLACK
        else "neither its qform nor its sform is set, so that nothing says which way it lies"
    )
    spacing = tuple(float(mm) for mm in pixdim[1:4])
    return Geometry(size, spacing, (0.0, 0.0, 0.0), tuple(map(float, np.eye(3).ravel()))), untold


def _affine(header: Any, name: str) -> NDArray[np.float64] | None:
    """The qform or sform [4, 4], or None if it is not set or holds no place."""
    try:
        affine, code = (header.get_sform if name == "sform" else header.get_qform)(coded=True)
    except (ValueError, nib.spatialimages.HeaderDataError):
        return None
    sound = code > 0 and affine is not None and np.linalg.norm(affine[:3, :3], axis=0).all()
    return np.asarray(affine, float) if sound else None


def _grid(affine: NDArray[np.float64], size: Sequence[int]) -> Geometry:
    """Grid of an affine. Spacings are rounded to nanometres, since most files hold numbers of 32 bits: 3.6, and not
    3.599999905."""
    matrix, origin = TO_LPS @ affine[:3, :3], TO_LPS @ affine[:3, 3]
    spacing = np.linalg.norm(matrix, axis=0)
    cosines = matrix / spacing
    places = (np.round(spacing, 6), origin, cosines)
    return Geometry(size, *(tuple(map(float, each.ravel())) for each in places))
