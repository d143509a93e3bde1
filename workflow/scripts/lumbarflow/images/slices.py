"""Convert sagittal planes to 8-bit pictures of one size, and fields on these back to the planes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, DataError

PLACE = ("top", "left", "height", "width")


@dataclass(frozen=True)
class Placement:
    """Where a source plane lies on the canvas, in canvas pixels."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The placement that a row of a slice table holds."""
        return cls(*(int(row[name]) for name in PLACE))


def place(plane_size: Sequence[int], spacing: Sequence[float], canvas_size: Sequence[int], fit: str) -> Placement:
    """Where a plane of plane_size [H, W] and spacing (mm a row, mm a column) goes on the canvas.

    fit `stretch` fills the canvas and ignores the aspect ratio (the paper's release); `letterbox` keeps
    the physical aspect ratio and centres the plane between black bars.
    """
    if fit == "stretch":
        return Placement(0, 0, *canvas_size)
    if fit != "letterbox":
        raise DataError(f"slices: fit must be stretch or letterbox, not {fit!r}")
    extent = [pixels * mm for pixels, mm in zip(plane_size, spacing, strict=True)]
    mm = max(length / pixels for length, pixels in zip(extent, canvas_size, strict=True))
    height, width = (min(max(round(length / mm), 1), limit) for length, limit in zip(extent, canvas_size, strict=True))
    return Placement((canvas_size[0] - height) // 2, (canvas_size[1] - width) // 2, height, width)


def windows(array: NDArray[Any], window: str, percentiles: Sequence[float]) -> NDArray[np.float64]:
    """(low, high) grey window of each slice of a canonical array [slices, H, W], as floats [slices, 2].

    window `slice`: percentiles of each slice by itself; `volume`: of the whole volume, so that a
    tissue has the same grey in all slices. Padding (see `padding`) does not count, and is black. Raises DataError for
    NaN, infinite and constant volumes.
    """
    if not np.isfinite(array).all():
        raise DataError("the volume holds NaN or infinite intensities; repair or remove it")
    padded = padding(array)
    if padded is not None:
        logging.getLogger(__name__).warning(
            "%.3g %% of the voxels are %s, far below all others: taken for padding, left out of the grey window",
            100 * np.count_nonzero(array == padded) / array.size,
            padded,
        )
    pictured = array if padded is None else array[array != padded]
    if pictured.min() == pictured.max():
        raise DataError(f"every voxel is {pictured.min()}: there is no picture in the volume; repair or remove it")
    if window == "slice" and padded is None:
        return np.array([np.percentile(plane, percentiles) for plane in array], float)
    if window == "slice":
        planes = (plane[plane != padded] for plane in array)
        return np.array([np.percentile(plane, percentiles) if plane.size else [padded] * 2 for plane in planes], float)
    return np.tile(np.percentile(pictured, percentiles), (len(array), 1)).astype(float)


def padding(array: NDArray[Any]) -> Any:
    """The value of voxels outside of the picture, or None: the lowest, if it is farther below the next one than that
    one is below the highest, and at least a thousandth of the voxels have it."""
    lowest = array.min()
    above = array[array > lowest]
    if not above.size or array.size - above.size < array.size / 1000:
        return None
    following, highest = float(above.min()), float(above.max())
    return lowest if following < highest and following - float(lowest) > highest - following else None


def to_grey(plane: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Scale [low, high] of a plane [H, W] to [0, 255], clip values outside, truncate to uint8. The result is black if
    high <= low (constant planes)."""
    if high <= low:
        return np.zeros(plane.shape, np.uint8)
    scaled = (plane.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def resize(array: NDArray[Any], size: Sequence[int], how: str) -> NDArray[Any]:
    """Resize an array [H, W] or [H, W, C] to size [H, W]; pixel centres are kept in place.

    how: `nearest`; `linear` (released), which skips pixels when it shrinks an array to less than half;
    `area`: the mean over the area of each new pixel if both sides shrink, otherwise linear.
    """
    if array.shape[:2] == tuple(size):
        return array
    shrinks = array.shape[0] >= size[0] and array.shape[1] >= size[1]
    flags = {
        "nearest": cv2.INTER_NEAREST_EXACT,
        "linear": cv2.INTER_LINEAR,
        "area": cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    }
    if how not in flags:
        raise DataError(f"resize must be one of {', '.join(flags)}, not {how!r}")
    return cv2.resize(np.ascontiguousarray(array), (size[1], size[0]), interpolation=flags[how])


def resize_classes(mask: NDArray[np.uint8], size: Sequence[int], how: str) -> NDArray[np.uint8]:
    """Resize a uint8 class mask [H, W]: `nearest`, or `area`: the class that covers most of each pixel."""
    if how != "area" or mask.shape == tuple(size):
        return resize(mask, size, "nearest")
    shares = np.stack([resize((mask == k).astype(np.float32), size, how) for k in range(len(CLASSES))])
    return shares.argmax(0).astype(np.uint8)


def to_canvas(
    plane: NDArray[np.uint8], placement: Placement, canvas_size: Sequence[int], how: str
) -> NDArray[np.uint8]:
    """Put a uint8 plane [h, w] on a black canvas uint8 [H, W] of canvas_size; how: see resize."""
    canvas = np.zeros(canvas_size, np.uint8)
    area = resize(plane, (placement.height, placement.width), how)
    canvas[placement.top : placement.top + placement.height, placement.left : placement.left + placement.width] = area
    return canvas


def to_source(
    values: NDArray[np.float32], placement: Placement, canvas_size: Sequence[int], plane_size: Sequence[int]
) -> NDArray[np.float32]:
    """Resample a field [h, w] or [h, w, C] from any grid that spans the canvas to the source plane.

    Interpolates linearly at the centres of the source pixels: for probabilities, not for classes.
    """
    scale_y, scale_x = values.shape[0] / canvas_size[0], values.shape[1] / canvas_size[1]
    rows = (np.arange(plane_size[0]) + 0.5) * placement.height / plane_size[0] + placement.top
    columns = (np.arange(plane_size[1]) + 0.5) * placement.width / plane_size[1] + placement.left
    map_x, map_y = np.meshgrid(columns * scale_x - 0.5, rows * scale_y - 0.5)
    sampled: NDArray[Any] = cv2.remap(
        values,
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return sampled
