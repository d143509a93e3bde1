"""Slices as network input: loading, normalising, augmenting, batching."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..images import png
from ..images.slices import resize, resize_classes
from .normalisation import normalise

if TYPE_CHECKING:
    import keras  # scoring and figures use this module where Keras is not installed

Row = Mapping[str, str]  # of a split table
Augmentation = Mapping[str, float]
Batch = tuple[NDArray[np.float32], NDArray[np.uint8]]
KNOTS = 6  # of a random curve of the greys
# quantiles of the normal distribution: noise is looked up by random bytes, a tenth of the time that random floats take
NORMAL = np.array([NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)], np.float32)
Scalar = TypeVar("Scalar", bound=np.generic)


def padded_size(size: Sequence[int], divisor: int = 16) -> tuple[int, ...]:
    """Smallest [H, W] that is at least `size` and divisible by `divisor`."""
    return tuple(-(-length // divisor) * divisor for length in size)


def pad(array: NDArray[Scalar], size: Sequence[int]) -> NDArray[Scalar]:
    """Pad [..., H, W] at the bottom and right to `size` [H, W]."""
    widths = [(0, 0)] * (array.ndim - 2)
    widths += [(0, whole - part) for whole, part in zip(size, array.shape[-2:], strict=True)]
    return np.pad(array, widths)


def load_images(
    rows: Sequence[Row],
    folder: str | Path,
    size: Sequence[int],
    how: str,
    neighbours: int = 0,
    among: Sequence[Row] = (),
) -> NDArray[np.uint8]:
    """Slices of split rows as uint8 [N, H, W] on the network grid, or [N, H, W, C] with their neighbours (see
    `stacked`); how: slices.resize's `linear` or `area`; among: rows of all slices of their volumes.

    Raises DataError for files that changed since the manifest was written.
    """

    def read(row: Row) -> NDArray[np.uint8]:
        return resize(png.read(png.slice_path(folder, row), row["image_sha256"]), size, how)

    return stacked(rows, read, size, neighbours, among)


def stacked(
    rows: Sequence[Row],
    read: Callable[[Row], NDArray[np.uint8]],
    size: Sequence[int],
    neighbours: int,
    among: Sequence[Row],
) -> NDArray[np.uint8]:
    """The picture of `size` [H, W] that `read` makes of each row, as [N, H, W]; or, with neighbours on each side, as
    channels [N, H, W, 2 neighbours + 1], from right to left. They are of the same volume; beyond its ends, the last
    slice is repeated. among: rows of all slices of the volumes."""
    channels = (2 * neighbours + 1,) if neighbours else ()
    images = np.empty((len(rows), *size, *channels), np.uint8)
    if not neighbours:
        for image, row in zip(images, rows, strict=True):
            image[:] = read(row)
        return images
    of_volume: dict[str, list[int]] = {}
    known = {(row["volume"], int(row["index"])): row for row in among}
    for volume, index in known:
        of_volume.setdefault(volume, []).append(index)
    ends = {volume: (min(indices), max(indices)) for volume, indices in of_volume.items()}
    pictures: dict[tuple[str, int], NDArray[np.uint8]] = {}
    for image, row in zip(images, rows, strict=True):
        for channel, index in enumerate(around(int(row["index"]), neighbours, *ends[row["volume"]])):
            key = (row["volume"], index)
            if key not in pictures:
                pictures[key] = read(known[key])
            image[..., channel] = pictures[key]
    return images


def around(index: int, neighbours: int, first: int, last: int) -> list[int]:
    """A slice's index with those of its neighbours on each side; of those beyond the ends, the ends."""
    return [min(max(index + step, first), last) for step in range(-neighbours, neighbours + 1)]


def load_masks(rows: Sequence[Row], folder: str | Path, size: Sequence[int], how: str) -> NDArray[np.uint8]:
    """Class masks of split rows as uint8 [N, H, W] on the network grid: by nearest neighbour, or by
    majority if how is `area`."""
    masks = np.empty((len(rows), *size), np.uint8)
    for number, mask in enumerate(read_masks(rows, folder)):
        masks[number] = resize_classes(mask, size, how)
    return masks


def read_masks(rows: Sequence[Row], folder: str | Path) -> Iterator[NDArray[np.uint8]]:
    """Class masks of split rows, uint8 [h, w] on the canvas."""
    return (png.read(png.slice_path(folder, row), row["mask_sha256"]) for row in rows)


def augment(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    rng: np.random.Generator,
    rotation: float,
    scale: float,
    shift: float,
    elastic: float,
    gamma: float,
    contrast: float,
    invert: float,
    low_resolution: float,
    shading: float,
    noise: float,
    flip: float,
    reverse: float,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Randomly move one uint8 slice [H, W], or [H, W, C] with its neighbours, and its class mask [H, W] together, and
    change the greys. Returns (float32 of the slice's shape, uint8 [H, W]).

    rotation: degrees; scale: natural logarithm of the zoom; shift: share of width and height; elastic, low_resolution,
    shading, noise: see `_moved` and `_shot`; gamma, contrast, invert: see `_curve`. Each is drawn uniformly from
    [-value, value], low_resolution and noise from [0, value]. Probabilities: invert; flip, of exchanging front and
    back; reverse, of exchanging the neighbours on the left with those on the right.
    """
    height, width = mask.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    angle, zoom = rng.uniform(-rotation, rotation), np.exp(rng.uniform(-scale, scale))
    matrix: NDArray[Any] = cv2.getRotationMatrix2D(centre, angle, zoom)
    matrix[:, 2] += rng.uniform(-shift, shift, 2) * (width, height)
    moved, labels = _moved(image, mask, matrix, elastic, rng)
    if flip and rng.random() < flip:
        moved, labels = moved[:, ::-1], labels[:, ::-1]
    if reverse and moved.ndim > 2 and rng.random() < reverse:
        moved = moved[..., ::-1]
    grey = cv2.LUT(np.ascontiguousarray(moved), _curve(rng, gamma, contrast, invert))
    return _shot(np.asarray(grey, np.float32), rng, low_resolution, shading, noise), labels


def _moved(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], matrix: NDArray[np.floating], elastic: float, rng: Any
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A slice and its mask moved by an affine matrix [2, 3]. elastic: displacement of the knots of a coarse grid as a
    share of the height, interpolated between the knots."""
    height, width = mask.shape
    if not elastic:
        size: Any = (width, height)
        return (
            np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), np.uint8),
            np.asarray(cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST), np.uint8),
        )
    knots = rng.uniform(-elastic, elastic, (6, 5, 2)).astype(np.float32) * height
    sources: Any = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    back = cv2.invertAffineTransform(matrix).astype(np.float32)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    for axis in (0, 1):
        sources[..., axis] += (back[axis, 1] * y + back[axis, 2])[:, None] + back[axis, 0] * x
    # the stubs do not know that a map of both coordinates needs no second map
    grey: Any = cv2.remap(image, sources, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    labels: Any = cv2.remap(mask, sources, None, cv2.INTER_NEAREST)  # type: ignore[call-overload]
    return grey, labels


def _curve(rng: np.random.Generator, gamma: float, contrast: float, invert: float) -> NDArray[np.float32]:
    """What becomes of each of the 256 greys. gamma: natural logarithm of their exponent; contrast: how far the knots of
    a curve lie off the straight line, as a share of the grey range, so that tissues may change places; invert: how
    often bright becomes dark."""
    greys = 255 * np.linspace(0, 1, 256) ** np.exp(rng.uniform(-gamma, gamma))
    if contrast:
        knots = np.linspace(0, 255, KNOTS)
        greys = np.interp(greys, knots, np.clip(knots + rng.uniform(-contrast, contrast, KNOTS) * 255, 0, 255))
    if invert and rng.random() < invert:
        greys = 255 - greys
    return greys.astype(np.float32)


def _shot(
    grey: NDArray[np.float32], rng: np.random.Generator, low_resolution: float, shading: float, noise: float
) -> NDArray[np.float32]:
    """A slice as a worse scanner would show it. low_resolution: natural logarithm of the factor by which it is made
    smaller and larger again; shading: natural logarithm of a factor on the knots of a coarse grid, interpolated between
    them, as coils shade a picture; noise: standard deviation as a share of the grey range."""
    height, width = grey.shape[:2]
    found: Any = grey
    if low_resolution:
        factor = np.exp(rng.uniform(0, low_resolution))
        size = (max(round(width / factor), 1), max(round(height / factor), 1))
        small = [
            cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in np.atleast_3d(found).transpose(2, 0, 1)
        ]
        large = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in small]
        found = np.stack(large, -1).reshape(grey.shape)
    if shading:
        knots = rng.uniform(-shading, shading, (4, 3)).astype(np.float32)
        field: Any = cv2.exp(cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC))
        found = found * (field if grey.ndim == 2 else field[..., None])
    if noise:
        sd = np.float32(rng.uniform(0, noise) * 255)
        found = found + cv2.LUT(rng.integers(0, 256, grey.shape, np.uint8), sd * NORMAL)
    return found


def make_batch(
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    chosen: NDArray[np.intp],
    rng: np.random.Generator,
    normalisation: str,
    augmentation: Augmentation,
    input_size: Sequence[int] | None = None,
) -> Batch:
    """One batch: (float32 [n, H', W', C], uint8 [n, H', W']), padded to the network's input_size [H', W'] (default:
    the next multiples of 16). images: uint8 [N, H, W], or [N, H, W, C] with neighbours."""
    images, masks = images[chosen], masks[chosen]
    if any(augmentation.values()):
        pairs = [augment(i, m, rng, **augmentation) for i, m in zip(images, masks, strict=True)]
        images, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    size = input_size or padded_size(masks.shape[1:])
    return prepared(images, normalisation, size), pad(masks, size)


def prepared(images: NDArray[np.number], normalisation: str, size: Sequence[int]) -> NDArray[np.float32]:
    """Network input float32 [N, H', W', C] of pictures [N, H, W] or [N, H, W, C], each normalised by itself and padded
    to `size` [H', W']."""
    if images.ndim == 3:
        return pad(normalise(images, normalisation), size)[..., None]
    planes = np.moveaxis(images, -1, 1)
    every = pad(normalise(planes.reshape(-1, *planes.shape[2:]), normalisation), size)
    return np.ascontiguousarray(np.moveaxis(every.reshape(*planes.shape[:2], *every.shape[1:]), 1, -1))


def iterate(
    images: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    size: int,
    seed: int,
    epoch: int,
    normalisation: str,
    augmentation: Augmentation,
    input_size: Sequence[int] | None = None,
    workers: int = 1,
) -> Iterator[Batch]:
    """Batches of one epoch in random order, prepared by `workers` threads while those before are in use.

    Order and augmentation depend only on (seed, epoch, batch), not on the workers. All batches have the same size, so
    that the network is compiled once; the images left over are not used in this epoch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(images))
    size = min(size, len(order))
    starts = range(0, len(order) - size + 1, size)

    def prepare(number: int) -> Batch:
        chosen = order[starts[number] : starts[number] + size]
        rng = np.random.default_rng([seed, epoch, number])
        return make_batch(images, masks, chosen, rng, normalisation, augmentation, input_size)

    with ThreadPoolExecutor(workers) as pool:
        numbers = iter(range(len(starts)))
        ahead = deque(pool.submit(prepare, number) for number in islice(numbers, workers + 1))
        try:
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(prepare, number) for number in islice(numbers, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)  # of a training that stops here


PLANES = 8  # segmented at one time: as many as a network takes in a batch


def predict(
    model: "keras.Model", images: NDArray[np.uint8], normalisation: str, size: int = PLANES
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Class probabilities of uint8 images [N, H, W], or with neighbours [N, H, W, C], batch by batch: yields (slice of
    N, float32 [n, H, W, 4]).

    Every call of the model has the same input shape: the last batch is padded, and its output cropped.
    """
    height, width = images.shape[1:3]
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        batch = np.zeros((size, *images.shape[1:]), images.dtype)
        batch[: len(chunk)] = chunk
        p = np.asarray(model.predict_on_batch(prepared(batch, normalisation, model.input_shape[1:3])), np.float32)
        yield slice(start, start + len(chunk)), p[: len(chunk), :height, :width]
