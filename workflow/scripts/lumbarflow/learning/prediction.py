"""Apply a trained network to slices."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, DataError
from ..images import png
from ..images.slices import Placement, resize, to_source
from ..registry import module_of
from .batches import Row, padded_size, predict, stacked
from .networks import divisor, neighbours, of_settings

TINY = 1e-7  # the least width that is divided by

if TYPE_CHECKING:
    import keras  # at run time, only `load` imports it, after the device is chosen


def load(path: str | Path, network: Mapping[str, Any] | None = None) -> "keras.Model":
    """Read a .keras file in safe mode: code in the file is never run.

    network: settings that it was built by. One of the user's own is built by its function once more and takes only its
    weights from the file, which knows nothing of the layers, functions and initializers of other modules. Raises
    DataError for a damaged or foreign file, or a model for another size or other classes.
    """
    import keras

    from . import layers as ours

    known = {
        name: each for name, each in vars(ours).items() if isinstance(each, type) and issubclass(each, keras.Layer)
    }
    own = of_settings(network) if network and module_of(network["name"]) else None
    try:
        if own is None:
            model = keras.models.load_model(path, custom_objects=known, compile=False, safe_mode=True)
        else:
            model = own
            model.load_weights(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: is not a model of this workflow ({reason}); delete it and run again") from None
    found = (model.input_shape, model.output_shape)
    if network:
        size, channels = padded_size(network["image_size"], divisor(network["name"])), channels_of(network)
        if found != ((None, *size, channels), (None, *size, len(CLASSES))):
            raise DataError(
                f"{path}: turns {found[0][1:]} into {found[1][1:]}, but network.image_size "
                f"{list(network['image_size'])} and {len(CLASSES)} classes need {(*size, channels)} into "
                f"{(*size, len(CLASSES))}; delete it and run again"
            )
    return model


def channels_of(network: Mapping[str, Any]) -> int:
    """Slices that a network of these settings sees at one time."""
    return 2 * neighbours(network) + 1


def probabilities(model: "keras.Model", images: NDArray[np.uint8], normalisation: str) -> NDArray[np.float32]:
    """Class probabilities float32 [N, H, W, 4] of uint8 images [N, H, W], or with neighbours [N, H, W, C], on the
    network grid."""
    return np.concatenate([p for _, p in predict(model, images, normalisation)])


def entropy(p: NDArray[np.floating]) -> NDArray[np.float32]:
    """Entropy (nats) of class probabilities [..., 4]."""
    return -(p * np.log(np.maximum(p, 1e-7))).sum(-1).astype(np.float32)


def doubt(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of class probabilities [..., 4], the sum of the entropy (nats) where a structure is most likely, and in how many
    places that is: sums over planes give the mean of a volume."""
    found = p.argmax(-1) > 0
    return np.array([entropy(p)[found].sum(dtype=np.float64), found.sum()])


def mean(arrays: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean of a few arrays, in their order."""
    total: Any = np.float32(0)
    count = 0
    for array in arrays:
        total, count = total + array, count + 1
    return total / count


def offsets(views: int) -> list[tuple[float, float]]:
    """Shifts (rows, columns), in pixels of the network grid, of views x views evenly interleaved grids. Together they
    sample a plane `views` times as finely in each direction."""
    steps = [(i + 0.5) / views - 0.5 for i in range(views)]
    return list(itertools.product(steps, steps))


def gaussian(sigma: float) -> NDArray[np.float32]:
    """Weights float32 [2 n + 1], of sum 1, of a Gaussian of standard deviation sigma, cut off at three of them."""
    steps = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    weights = np.exp(-0.5 * (steps / max(sigma, TINY)) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def smooth(planes: Iterable[NDArray[np.float32]], sigma: float) -> Iterator[NDArray[np.float32]]:
    """Class probabilities [..., H, W, 4] of a volume, plane by plane, averaged across planes under a Gaussian; those
    beyond an edge are as the plane at the edge. sigma: its standard deviation in planes."""
    weights = gaussian(sigma)
    reach = len(weights) // 2
    window: deque[NDArray[np.float32]] = deque(maxlen=len(weights))

    def padded() -> Iterator[NDArray[np.float32]]:
        for number, plane in enumerate(planes):
            yield from [plane] * (1 if number else 1 + reach)
        yield from [plane] * reach

    for plane in padded():
        window.append(plane)
        if len(window) == len(weights):
            yield sum(weight * each for weight, each in zip(weights, window, strict=True))


def load_view(
    rows: Sequence[Row],
    folder: str | Path,
    size: Sequence[int],
    how: str,
    offset: tuple[float, float],
    neighbours: int = 0,
    among: Sequence[Row] = (),
) -> NDArray[np.uint8]:
    """As batches.load_images, shifted by `offset` network pixels."""

    def read(row: Row) -> NDArray[np.uint8]:
        return view(png.read(png.slice_path(folder, row), row["image_sha256"]), size, how, offset)

    return stacked(rows, read, size, neighbours, among)


def view(canvas: NDArray[np.uint8], size: Sequence[int], how: str, offset: tuple[float, float]) -> NDArray[np.uint8]:
    """A slice uint8 [h, w] as uint8 [H, W] on the network grid, shifted by `offset` network pixels."""
    down, right = (move * have / want for move, have, want in zip(offset, canvas.shape, size, strict=True))
    matrix = np.array([[1, 0, -right], [0, 1, -down]], np.float32)
    moved = cv2.warpAffine(canvas, matrix, canvas.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return resize(moved, size, how)


def on_source(
    p: NDArray[np.float32], row: Mapping[str, Any], canvas_size: Sequence[int], offset: tuple[float, float] = (0, 0)
) -> NDArray[np.float32]:
    """Class probabilities float32 [H, W, 4] on the source plane of a slice table's row. p: those on the network grid,
    shifted by `offset` network pixels."""
    placement = Placement.of(row)
    down, right = (move * have / want for move, have, want in zip(offset, canvas_size, p.shape, strict=False))
    placement = replace(placement, top=placement.top - down, left=placement.left - right)
    plane = (int(row["source_height"]), int(row["source_width"]))
    return to_source(p, placement, canvas_size, plane)
