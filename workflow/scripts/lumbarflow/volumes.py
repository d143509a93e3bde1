"""Medical volumes: read in canonical orientation, written back on the grid they came from.

Canonical array axes are [left-right, superior-inferior, anterior-posterior], indices growing
towards Left, Inferior and Posterior: `array[i]` is a sagittal slice as a radiologist sees it,
head up, face to the left.
"""

import gzip
import logging
import math
import os
import struct
import zlib
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from . import DataError
from .files import replacing

EXTENSIONS = (".mha", ".mhd", ".nii", ".nii.gz")
# Physical directions (ITK's patient space: x to Left, y to Posterior, z to Superior) of the
# canonical axes: (patient axis, sign).
CANONICAL = ((0, 1), (2, -1), (1, 1))


@dataclass(frozen=True)
class Geometry:
    """Grid of a stored volume: size, spacing (mm), origin (mm) and direction cosines (row-major 3x3)."""

    size: tuple
    spacing: tuple
    origin: tuple
    direction: tuple

    def __str__(self):
        return ", ".join(f"{name} {tuple(map(float, getattr(self, name)))}" for name in self.__dataclass_fields__)

    def axes(self):
        """For each canonical axis, (stored axis, flipped). Oblique volumes get their nearest axes."""
        cosines = np.array(self.direction).reshape(3, 3)
        nearest = max(permutations(range(3)), key=lambda p: sum(abs(cosines[a, p[a]]) for a in range(3)))
        return tuple((nearest[axis], bool(cosines[axis, nearest[axis]] * sign < 0)) for axis, sign in CANONICAL)

    def orientation(self):
        """Three letters, one a stored axis, for the side that its indices grow towards, such as LPS."""
        letters = ["", "", ""]
        for (stored, flipped), (axis, sign) in zip(self.axes(), CANONICAL, strict=True):
            letters[stored] = ("RL", "AP", "IS")[axis][int((sign > 0) != flipped)]
        return "".join(letters)

    def canonical_spacing(self):
        return tuple(self.spacing[stored] for stored, _ in self.axes())

    def canonical_size(self):
        return tuple(self.size[stored] for stored, _ in self.axes())

    def differs(self, other, tolerance=1e-3):
        """Name of the first property in which two grids differ by more than `tolerance`, or None."""
        for name in ("size", "spacing", "direction", "origin"):
            if not np.allclose(getattr(self, name), getattr(other, name), rtol=tolerance, atol=tolerance):
                return name
        return None


@dataclass(frozen=True)
class Volume:
    """A volume in canonical orientation: array [slices, rows, columns], spacing in mm of those axes,
    and the geometry of the stored file, which is all that is needed to go back."""

    array: np.ndarray
    spacing: tuple
    geometry: Geometry


def stem(path):
    """Name of a volume file without its ending."""
    name = Path(path).name
    return next(name.removesuffix(e) for e in (*reversed(EXTENSIONS), "") if name.endswith(e))


def _geometry(image):
    return Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _reader(path):
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise DataError(
            f"{path}: expected a 3-D volume with one value a voxel, found {reader.GetDimension()}-D "
            f"with {reader.GetNumberOfComponents()} values; convert it to a plain 3-D volume"
        )
    return reader


def _unreadable(path, error):
    # ITK's own last words are of the kind "No such file or directory", whatever is wrong
    logging.getLogger(__name__).info("ITK on %s: %s", path, error)
    return DataError(
        f"{path}: cannot be read as a volume: damaged, cut short or of another format "
        f"({os.path.getsize(path)} bytes); replace the file or take it out of the dataset"
    )


def _check_nifti(path):
    """Raise DataError where a NIfTI file is shorter than its header says; ITK would fill up with zeros."""
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
        try:
            header = file.read(348)
            order = "<" if struct.unpack("<i", header[:4])[0] == 348 else ">"
            dimensions = struct.unpack(order + "8h", header[40:56])
            bits = struct.unpack(order + "h", header[72:74])[0]
            expected = int(struct.unpack(order + "f", header[108:112])[0])  # where the voxels begin
            expected += math.prod(dimensions[1 : 1 + dimensions[0]]) * bits // 8
            found = len(header)
            while chunk := file.read(1 << 20):
                found += len(chunk)
        except (EOFError, OSError, zlib.error, struct.error) as error:
            raise _unreadable(path, error) from None
    if found < expected:
        raise _unreadable(path, f"{found} bytes, expected {expected}")


def read_geometry(path):
    """Grid of a volume, from its header alone. Raises DataError."""
    return _geometry(_reader(path))


def read(path):
    """Read a volume (.mha, .mhd, .nii, .nii.gz) in canonical orientation.

    Returns a Volume; its array keeps the stored number type. Raises DataError, naming the file,
    where it is missing, damaged or not a 3-D volume of single values.
    """
    reader = _reader(path)
    if str(path).endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    geometry = _geometry(image)
    # ITK's arrays run z, y, x: stored axis a is array axis 2 - a
    array = sitk.GetArrayFromImage(image).transpose([2 - stored for stored, _ in geometry.axes()])
    array = np.flip(array, [axis for axis, (_, flipped) in enumerate(geometry.axes()) if flipped])
    return Volume(array, geometry.canonical_spacing(), geometry)


def write(path, array, geometry):
    """Write a canonical array [slices, rows, columns] as a compressed volume on its stored grid."""
    axes = geometry.axes()
    array = np.flip(array, [axis for axis, (_, flipped) in enumerate(axes) if flipped])
    array = array.transpose(np.argsort([2 - stored for stored, _ in axes]))
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    with replacing(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
