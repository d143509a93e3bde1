"""Medical volumes: read in canonical orientation, written back on the grid they came from.

Canonical array axes are [left-right, superior-inferior, anterior-posterior], indices growing
towards Left, Inferior and Posterior: `array[i]` is a sagittal slice as a radiologist sees it,
head up, face to the left.
"""

import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .. import DataError
from ..files import replacing
from . import headers

# Physical directions (ITK's patient space: x to Left, y to Posterior, z to Superior) of the
# canonical axes: (patient axis, sign).
CANONICAL = ((0, 1), (2, -1), (1, 1))
LONGEST, FARTHEST = 100, 100_000  # mm: largest spacing, and largest coordinate of an origin
LETTERS = ("RL", "AP", "IS")  # the two ends of each patient axis


@dataclass(frozen=True)
class Geometry:
    """Grid of a stored volume: size, spacing (mm), origin (mm) and direction cosines (row-major 3x3)."""

    size: Sequence[int]
    spacing: Sequence[float]
    origin: Sequence[float]
    direction: Sequence[float]

    def __str__(self) -> str:
        return ", ".join(f"{name} {tuple(map(float, getattr(self, name)))}" for name in self.__dataclass_fields__)

    def axes(self) -> tuple[tuple[int, bool], ...]:
        """For each canonical axis, (stored axis, flipped). Oblique volumes get their nearest axes."""
        cosines = np.array(self.direction).reshape(3, 3)
        nearest = max(itertools.permutations(range(3)), key=lambda p: sum(abs(cosines[a, p[a]]) for a in range(3)))
        return tuple((nearest[axis], bool(cosines[axis, nearest[axis]] * sign < 0)) for axis, sign in CANONICAL)

    def orientation(self) -> str:
        """Three letters such as LPS: for each stored axis, the side towards which its indices grow."""
        letters = ["", "", ""]
        for (stored, flipped), (axis, sign) in zip(self.axes(), CANONICAL, strict=True):
            letters[stored] = LETTERS[axis][int((sign > 0) != flipped)]
        return "".join(letters)

    def corrected(
        self,
        orientation: str | None = None,
        spacing: Sequence[float] | None = None,
        origin: Sequence[float] | None = None,
    ) -> Self:
        """This grid, with the given values in place of those of the header.

        orientation: three letters such as LPS, one per stored axis: the side towards which its indices
        grow; spacing (mm) of each stored axis; origin (mm).
        Raises DataError for letters that do not name three axes.
        """
        changes: dict[str, Any] = {"spacing": spacing, "origin": origin}
        if orientation is not None:
            cosines = np.zeros((3, 3))
            for stored, letter in enumerate(orientation):
                axis = next((a for a, ends in enumerate(LETTERS) if letter in ends), None)
                if axis is None or cosines[axis].any() or len(orientation) != 3:
                    raise DataError(
                        f"orientation {orientation!r} does not name three axes; expected such as LPS or PIR"
                    )
                cosines[axis, stored] = 1 if letter == LETTERS[axis][1] else -1
            changes["direction"] = tuple(cosines.ravel())
        return replace(self, **{name: tuple(value) for name, value in changes.items() if value is not None})

    def check(self, path: str | Path) -> None:
        """Raise DataError, naming the file, for a grid that no scanner makes."""
        spacing, cosines = np.array(self.spacing), np.array(self.direction).reshape(3, 3)
        if not (
            np.isfinite([*self.spacing, *self.origin, *self.direction]).all()
            and ((spacing > 0) & (spacing <= LONGEST)).all()
            and np.abs(self.origin).max() <= FARTHEST
            and np.allclose(cosines.T @ cosines, np.eye(3), atol=0.01)
        ):
            raise DataError(
                f"{path}: its header places it at {self}; expected spacings above 0 and up to {LONGEST} mm, an origin "
                f"within {FARTHEST} mm, and directions at right angles; repair the header, or tell what is right "
                "under `overrides`"
            )

    def canonical_spacing(self) -> tuple[float, ...]:
        """Spacing (mm) of the canonical axes."""
        return tuple(self.spacing[stored] for stored, _ in self.axes())

    def swapped_spacing(self) -> tuple[float, ...]:
        """What SPIDER's program takes for the spacing of the canonical axes: it lays ITK's x, y, z on arrays that run
        z, y, x."""
        return tuple(self.spacing[2 - stored] for stored, _ in self.axes())

    def canonical_size(self) -> tuple[int, ...]:
        """Voxels along the canonical axes."""
        return tuple(self.size[stored] for stored, _ in self.axes())

    def differs(self, other: "Geometry", tolerance: float = 1e-3) -> str | None:
        """Name of the first property in which two grids differ by more than `tolerance` (sizes: at all), or None."""
        if tuple(self.size) != tuple(other.size):
            return "size"
        for name in ("spacing", "direction", "origin"):
            if not np.allclose(getattr(self, name), getattr(other, name), rtol=tolerance, atol=tolerance):
                return name
        return None


@dataclass(frozen=True)
class Volume:
    """A volume in canonical orientation: array [slices, rows, columns], spacing in mm of those axes,
    and the geometry of the stored file, which `write` needs to restore the stored grid."""

    array: NDArray[Any]
    spacing: tuple[float, ...]
    geometry: Geometry


def _geometry(image: sitk.Image) -> Geometry:
    return Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _reader(path: str | Path) -> sitk.ImageFileReader:
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    headers.check(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    # ITK must not try other formats for this file name
    reader.SetImageIO("NiftiImageIO" if path.name.endswith((".nii", ".nii.gz")) else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        raise _flat(path, reader.GetDimension(), reader.GetNumberOfComponents())
    return reader


def _flat(path: str | Path, dimensions: int, values: int) -> DataError:
    return DataError(
        f"{path}: expected a 3-D volume with one value a voxel, found {dimensions}-D "
        f"with {values} values; convert it to a plain 3-D volume"
    )


def _unreadable(path: str | Path, error: RuntimeError) -> DataError:
    # the end of ITK's message is misleading ("No such file or directory" for any fault): only log it
    logging.getLogger(__name__).info("ITK on %s: %s", path, error)
    return DataError(
        f"{path}: cannot be read as a volume: damaged, cut short or of another format "
        f"({os.path.getsize(path)} bytes); replace the file or take it out of the dataset"
    )


def _read_series(folder: str | Path) -> sitk.Image:
    """The one DICOM series of a folder, its slices in order, as an ITK image. Raises DataError."""
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        names = ", ".join(series[:3]) + (" ..." if len(series) > 3 else "")
        raise DataError(
            f"{folder}: expected the slices of one DICOM series, found "
            + (f"{len(series)} series ({names}); give each a folder of its own" if series else "none")
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    first = sitk.ImageFileReader()
    first.SetFileName(files[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        first.ReadImageInformation()
        headers.check_size(folder, [*first.GetSize()[:2], len(files)], 8)
        image = reader.Execute()
        positions = [reader.GetMetaData(i, "0020|0032") for i in range(len(files))]
    except RuntimeError as error:
        logging.getLogger(__name__).info("ITK on %s: %s", folder, error)
        raise DataError(f"{folder}: the DICOM slices cannot be read; replace the damaged or foreign files") from None
    if len(files) > 1:
        steps = np.diff([[float(number) for number in position.split("\\")] for position in positions], axis=0)
        gaps = np.linalg.norm(steps, axis=1)
        if gaps.min() <= 0 or gaps.max() > 1.1 * gaps.min():
            raise DataError(
                f"{folder}: the DICOM slices are {gaps.min():.3g} to {gaps.max():.3g} mm apart; expected equal steps: "
                "a slice is missing or there twice"
            )
    return image


def read(path: str | Path, override: Mapping[str, Any] | None = None) -> Volume:
    """Read a volume (.mha, .mhd, .nii, .nii.gz, or a folder with one DICOM series) in canonical orientation.

    override: values that replace those of the header, see Geometry.corrected. Returns a Volume; its
    array keeps the stored dtype. Raises DataError, naming the file, if it is missing, damaged or not
    a 3-D volume with one value per voxel.
    """
    if os.path.isdir(path):
        image = _read_series(path)
    else:
        reader = _reader(path)
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise _unreadable(path, error) from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise _flat(path, image.GetDimension(), image.GetNumberOfComponentsPerPixel())
    geometry = _geometry(image)
    if override:
        geometry = geometry.corrected(**override)
    geometry.check(path)
    # ITK's arrays run z, y, x: stored axis a is array axis 2 - a
    array = sitk.GetArrayFromImage(image).transpose([2 - stored for stored, _ in geometry.axes()])
    array = np.flip(array, tuple(axis for axis, (_, flipped) in enumerate(geometry.axes()) if flipped))
    return Volume(array, geometry.canonical_spacing(), geometry)


def write(path: str | Path, array: NDArray[Any], geometry: Geometry) -> None:
    """Write a canonical array [slices, rows, columns] as a compressed volume on its stored grid."""
    axes = geometry.axes()
    array = np.flip(array, tuple(axis for axis, (_, flipped) in enumerate(axes) if flipped))
    array = array.transpose(np.argsort([2 - stored for stored, _ in axes]))
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            logging.getLogger(__name__).info("ITK on %s: %s", path, error)
            raise DataError(f"{path}: cannot be written; is the disk full, or the folder not yours?") from None
