"""Write volumes on the grid they came from."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .. import DataError
from ..files import replacing, sha256
from .geometry import Geometry


def stored(array: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """A canonical array [slices, rows, columns] as it lies on its stored grid, whose last axis is ITK's first."""
    axes = geometry.axes()
    array = np.flip(array, tuple(axis for axis, (_, flipped) in enumerate(axes) if flipped))
    return np.ascontiguousarray(array.transpose(np.argsort([2 - axis for axis, _ in axes])))


def write(path: str | Path, array: NDArray[Any], geometry: Geometry) -> str:
    """Write a canonical array [slices, rows, columns] as a compressed volume on its stored grid; returns the file's
    SHA-256."""
    image = sitk.GetImageFromArray(stored(array, geometry))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    with replacing(path) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            logging.getLogger(__name__).info("ITK on %s: %s", path, error)
            raise DataError(f"{path}: cannot be written; is the disk full, or the folder not yours?") from None
        return sha256(temporary.read_bytes())
