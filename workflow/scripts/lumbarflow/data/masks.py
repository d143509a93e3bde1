"""Read masks of any label scheme with SPIDER's labels."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, DataError
from . import schemes, volumes
from .dataset import is_dicom
from .geometry import Geometry

NEAR = 0.01  # how far from a whole number a label may lie
COVERED = 0.5  # least part of a scan that its prediction must cover: less is of another scan, or its header is lost
MOST = 25  # structures of a kind that SPIDER has numbers for
FIRST = {"vertebrae": 1, "spinal_canal": 100, "ivd": 201}
# where structures are not told apart: numbers whose greys APTA reads as the classes
ALONE = {"vertebrae": 5, "spinal_canal": 100, "ivd": 201}


def read(
    path: str | Path,
    override: Mapping[str, Any] | None = None,
    scheme: Mapping[str, Any] | None = None,
    image: Mapping[str, Any] | None = None,
) -> volumes.Volume:
    """Read a mask as volumes.read does, with SPIDER's labels. scheme: of schemes.load; None: the labels are SPIDER's;
    override, image: as of `stored`. Raises DataError as `stored` and `translated`."""
    return translated(stored(path, override, image), path, scheme)


def stored(
    path: str | Path, override: Mapping[str, Any] | None = None, image: Mapping[str, Any] | None = None
) -> volumes.Volume:
    """Read a mask as volumes.read does, with the labels that it has.

    image: arguments of volumes.read for its image, whose override is the same. A mask that its header puts on the
    image's grid stays on those voxels when the grid is corrected, however it is stored; where the headers differ, one
    of them lies, and the override is believed for the stored axes of both. A DICOM segmentation may lack slices without
    labels. Raises DataError, naming the file, for DICOM that lies elsewhere than an image that is corrected.
    """
    if not image:
        return volumes.read(path, override)
    log, changes = logging.getLogger(__name__), dict(override or {})
    surplus = {key: changes.pop(key) for key in ("surplus",) if key in changes}
    try:
        said = volumes.read(**{**image, "override": surplus}).geometry
        own = _on(volumes.read(path, surplus), path, said)
    except DataError as error:  # a header says too little, or what cannot be
        log.info("%s", error)
        return _on(volumes.read(path, override), path, volumes.read(**image).geometry)
    if not changes:
        return own
    if own.geometry.same(said):
        from . import writing  # SimpleITK

        return volumes.canonical(writing.stored(own.array, said), said.corrected(**changes).checked(image["path"]))
    differ = f"{path}: its header ({own.geometry}) puts it elsewhere than the image's ({said})"
    if is_dicom(path):  # the order of its slices is its header's
        raise DataError(
            f"{differ}, so that `overrides` cannot correct both; store it anew on the image's grid, or as NIfTI"
        )
    log.warning("%s; `overrides` is taken for the stored axes of both", differ)
    return volumes.read(path, override)


def translated(volume: volumes.Volume, path: str | Path, scheme: Mapping[str, Any] | None = None) -> volumes.Volume:
    """A mask as stored with SPIDER's labels; arguments as of `read`.

    Raises DataError, naming the file `path`, for labels that are not whole numbers or that the scheme does not know.
    """
    try:
        array = whole(volume.array, path)
        return replace(volume, array=array if scheme is None else to_spider(array, scheme))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _on(volume: volumes.Volume, path: str | Path, grid: Geometry) -> volumes.Volume:
    """The volume of DICOM on a grid of which its own is a part, 0 elsewhere; any other as it is."""
    first = volume.geometry.place_in(grid) if is_dicom(path) else None
    if first is None:
        return volume
    array = np.zeros(grid.canonical_size(), volume.array.dtype)
    part = (slice(start, start + size) for start, size in zip(first, volume.array.shape, strict=True))
    array[tuple(part)] = volume.array
    return volumes.Volume(array, grid.canonical_spacing(), grid)


def whole(array: NDArray[Any], path: str | Path = "mask") -> NDArray[np.integer]:
    """Labels as whole numbers; floats up to 0.01 away from one are rounded, and a line in the log says how far.

    Raises DataError with the values that are none, and how many voxels have them.
    """
    if np.issubdtype(array.dtype, np.integer):
        return array
    bad = ~np.isfinite(array)
    rounded = np.rint(np.where(bad, 0, array))
    away = np.abs(np.where(bad, 0, array) - rounded)
    bad |= (away > NEAR) | (np.abs(rounded) > schemes.HIGHEST)
    if bad.any():
        raise DataError(f"the mask holds values that are not whole numbers: {counted(array[bad])}; expected labels")
    if away.any():
        logging.getLogger(__name__).info("%s: labels rounded, the farthest by %.2g", path, away.max())
    return rounded.astype(np.int32)


def counted(values: NDArray[Any], shown: int = 10) -> str:
    """Values with their numbers of voxels, as text."""
    found, counts = np.unique(values, return_counts=True)
    text = ", ".join(f"{value} ({count} voxels)" for value, count in zip(found[:shown], counts[:shown], strict=True))
    return text + (f" and {len(found) - shown} more" if len(found) > shown else "")


def to_spider(array: NDArray[np.integer], scheme: Mapping[str, Any]) -> NDArray[np.int16]:
    """SPIDER's labels of an array of a scheme's labels, of any shape.

    Where the scheme tells structures apart, those that are there are counted from the lowest up; else all vertebrae
    have one label, and all discs. Raises DataError for unknown labels, unless they become background, and for more
    structures than SPIDER has numbers for.
    """
    inside = (array >= 0) & (array <= schemes.HIGHEST)
    there = np.bincount(array[inside].ravel(), minlength=1) > 0
    table = np.full(schemes.HIGHEST + 2, -1, np.int16)  # the last: what lies outside
    for kind in CLASSES:
        known = [label for label in schemes.labels(scheme, kind) if label < len(there) and there[label]]
        if kind == CLASSES[0]:
            table[known] = 0
        elif scheme["structures"] == "spider":
            table[known] = known
        elif scheme["structures"] == "none" or kind == "spinal_canal":
            table[known] = ALONE[kind]
        elif len(known) > MOST:
            raise DataError(f"the mask holds {len(known)} {kind}; expected at most {MOST}")
        else:
            upwards = known if scheme["structures"] == "upwards" else known[::-1]
            table[upwards] = FIRST[kind] + np.arange(len(upwards))
    translated = table[np.where(inside, array, -1)]
    unknown = translated < 0
    if unknown.any():
        if scheme["unknown"] == "error":
            raise DataError(
                f"unknown labels {counted(array[unknown])}; the label scheme {scheme['name']!r} knows "
                + "; ".join(f"{kind} {_ranges(scheme[kind])}" for kind in CLASSES)
                + f"; name another one ({scheme['key']}), or set config.unknown_labels to background"
            )
        logging.getLogger(__name__).warning("unknown labels become background: %s", counted(array[unknown]))
        translated[unknown] = 0
    return translated


def _ranges(ranges: list[list[int]]) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges) or "-"


def tells_structures(scheme: Mapping[str, Any] | None) -> bool:
    """Whether masks of a scheme tell vertebrae and discs apart."""
    return scheme is None or scheme["structures"] != "none"


def _nearest(volume: volumes.Volume, grid: Geometry) -> tuple[volumes.Volume, float]:
    """The volume on another grid, 0 outside, and the share of that grid which it covers."""
    from scipy import ndimage

    inverse = np.linalg.inv(volume.geometry.steps())
    matrix, offset = inverse @ grid.steps(), inverse @ (grid.corners()[0] - volume.geometry.corners()[0])

    def moved(array: NDArray[Any]) -> NDArray[Any]:
        size = grid.canonical_size()
        return ndimage.affine_transform(array, matrix, offset, size, order=0, mode="grid-constant")

    covered = float(moved(np.ones(volume.array.shape, np.uint8)).mean())
    return volumes.Volume(moved(volume.array), grid.canonical_spacing(), grid), covered


def read_on_grid(path: str | Path, scheme: Mapping[str, Any] | None, grid: Geometry) -> volumes.Volume:
    """The labels of a prediction as SPIDER's, a volumes.Volume on the scan's grid; of another grid, the label nearest
    to the centre of each voxel.

    scheme: as of masks.read; grid: Geometry of the scan. Raises DataError as masks.read does, and for a prediction with
    exchanged axes or of another place.
    """
    found = _on(read(path, scheme=scheme), path, grid)
    if found.geometry.same(grid):
        return replace(found, geometry=grid)
    sizes = found.geometry.canonical_size(), grid.canonical_size()
    if sizes[0] != sizes[1] and sorted(sizes[0]) == sorted(sizes[1]):
        raise DataError(
            f"{path}: its size {sizes[0]} (slices, rows, columns) is that of the scan {sizes[1]} with axes exchanged; "
            "write it with the scan's own header"
        )
    moved, covered = _nearest(found, grid)
    if covered < COVERED:
        raise DataError(
            f"{path}: covers {covered:.0%} of the scan: its header places it at {found.geometry}, the scan lies at "
            f"{grid}; write it with the scan's own header"
        )
    logging.getLogger(__name__).warning(
        "%s: lies on another grid (%s; the scan: %s); brought to the scan's by the nearest voxel, covers %.0f %% of it",
        *(path, found.geometry, grid, 100 * covered),
    )
    return moved
