"""Segment a scan that is no part of a dataset: as test volumes are, but from memory, and by all networks of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .. import CLASSES, DataError
from ..images import slices
from . import decision, limits, networks, prediction
from .batches import PLANES, around

if TYPE_CHECKING:
    import keras

# of each view of some slices: class probabilities [N, H, W, 4] on the network grid, and its shift
_Said = list[tuple[NDArray[np.float32], tuple[float, float]]]


@dataclass(frozen=True)
class Model:
    """The networks of an experiment, of all folds and seeds, and what model.json of its package holds (models.SCHEMA,
    and more for people). sha256: of the package."""

    about: Mapping[str, Any]
    networks: Sequence[keras.Model]
    sha256: str = ""


@dataclass(frozen=True)
class Segmented:
    """What models say of a scan.

    classes: uint8 [slices, H, W] on the scan's own grid; entropy: of the networks' mean probabilities, float32 (nats)
    [slices, H, W]; doubt: for each model, the mean over its networks of their own mean entropy where they see
    structures; dice: the lowest mean over the foreground classes of the Dice between the masks of two networks, NaN
    of one network; grey: for each model, mean and standard deviation of the pictures that it was shown.
    """

    classes: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    doubt: tuple[float, ...]
    dice: float
    grey: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _View:
    """A model at work on one scan: its pictures and where they lie."""

    model: Model
    windows: NDArray[np.float64]
    place: slices.Placement
    row: Mapping[str, Any]  # as of a slice table
    sigma: float  # planes over which probabilities are averaged

    @classmethod
    def of(cls, model: Model, array: NDArray[Any], spacing: Sequence[float]) -> Self:
        recipe = model.about["recipe"]
        windows = slices.windows(array, recipe["window"], recipe["percentiles"])
        place = slices.place(array.shape[1:], spacing[1:], recipe["size"], recipe["fit"])
        row = {**asdict(place), "source_height": array.shape[1], "source_width": array.shape[2]}
        return cls(model, windows, place, row, model.about.get("slice_smoothing_mm", 0.0) / spacing[0])

    def canvases(self, array: NDArray[Any], part: slice) -> list[NDArray[np.uint8]]:
        """Pictures of some slices, as the slice recipe makes them."""
        recipe = self.model.about["recipe"]
        greys = (slices.to_grey(plane, *window) for plane, window in zip(array[part], self.windows[part], strict=True))
        return [slices.to_canvas(grey, self.place, recipe["size"], recipe["resize"]) for grey in greys]

    def each_canvas(self, array: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
        """The same of all slices, one at a time."""
        return (self.canvases(array, slice(number, number + 1))[0] for number in range(len(array)))

    @property
    def neighbours(self) -> int:
        """Slices on each side that the networks also see."""
        return networks.neighbours(self.model.about["settings"]["network"])

    def on_source(self, array: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
        """Class probabilities [networks, H, W, 4] on each source plane, as segmentation.Segmenter has them."""
        return prediction.smooth(self._planes(array), self.sigma)

    def _planes(self, array: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
        """on_source, before it is smoothed."""
        about, size = self.model.about, self.model.about["recipe"]["size"]
        for start in range(0, len(array), PLANES):
            part = slice(start, min(start + PLANES, len(array)))
            wide = slice(max(part.start - self.neighbours, 0), min(part.stop + self.neighbours, len(array)))
            canvases, seen = self.canvases(array, wide), _seen(part, wide, self.neighbours, len(array))
            said = [_views(canvases, seen, about["settings"], about["views"], each) for each in self.model.networks]
            for number in range(part.stop - part.start):
                yield np.stack(
                    [
                        prediction.mean(prediction.on_source(p[number], self.row, size, offset) for p, offset in each)
                        for each in said
                    ]
                )


def segment(array: NDArray[Any], spacing: Sequence[float], models: Sequence[Model]) -> Segmented:
    """Segment a scan by the mean of the probabilities of all networks of all models.

    array: [slices, H, W] in canonical orientation; spacing: mm of its axes. Raises DataError for an image without
    picture, and where memory does not suffice.
    """
    decided = _decision([model.about for model in models])
    views = [_View.of(model, array, spacing) for model in models]
    _check_memory(views, array.shape)
    count = sum(len(model.networks) for model in models)
    masks = np.empty((count, *array.shape), np.uint8)
    classes, entropy = np.empty(array.shape, np.uint8), np.empty(array.shape, np.float32)
    doubts = np.zeros((count, 2))
    for number, said in enumerate(zip(*(view.on_source(array) for view in views), strict=True)):
        of_networks = np.concatenate(said)
        masks[:, number] = [decided.decide(p) for p in of_networks]
        doubts += [prediction.doubt(p) for p in of_networks]
        p = prediction.mean(of_networks)
        classes[number], entropy[number] = decided.decide(p), prediction.entropy(p)
    for each in (classes, *masks):
        each[:] = decided.clean(each, spacing)
    of_models = np.split(doubts[:, 0] / np.maximum(doubts[:, 1], 1), np.cumsum([len(m.networks) for m in models])[:-1])
    doubt = tuple(float(each.mean()) for each in of_models)
    shown = tuple(grey(view.each_canvas(array), view.place) for view in views)
    return Segmented(classes, entropy, doubt, _agreement(masks), shown)


def _check_memory(views: Sequence[_View], shape: Sequence[int]) -> None:
    """Raise DataError where the masks and probabilities of all networks need more memory than there is."""
    voxels, networks = int(np.prod(shape)), sum(len(view.model.networks) for view in views)
    pixels = 0  # with a probability of each class
    for view in views:
        about, plane = view.model.about, int(np.prod(shape[1:]))
        said = PLANES * about["views"] ** 2 * int(np.prod(about["settings"]["network"]["image_size"]))
        averaged = min(len(prediction.gaussian(view.sigma)), shape[0])
        pixels += len(view.model.networks) * (said + (averaged + 2) * plane)
    needed = voxels * (networks + 14) + 4 * len(CLASSES) * pixels
    free = limits.available()
    if free is not None and needed > free:
        raise DataError(
            f"out of memory: {networks} networks and a scan of {' x '.join(map(str, shape))} need about "
            f"{needed / 2**30:.1f} GiB, of which {free / 2**30:.1f} GiB are free; average fewer models, or free some"
        )


def _decision(models: Sequence[Mapping[str, Any]]) -> decision.Decision:
    """Of several models together: the mean of their offsets; components that are smaller than every model keeps are
    dropped. models: model.json of each."""

    def of_each(key: str) -> dict[str, list[float]]:
        names = sorted({name for about in models for name in about.get(key, {})})
        return {name: [about.get(key, {}).get(name, 0.0) for about in models] for name in names}

    return decision.Decision(
        {name: float(np.mean(values)) for name, values in of_each("offsets").items()},
        {name: min(values) for name, values in of_each("smallest").items()},
    )


def _seen(part: slice, wide: slice, neighbours: int, count: int) -> list[list[int]]:
    """For each slice of `part` of a volume of `count` slices, the places in `wide` of it and its neighbours."""
    every = (around(index, neighbours, 0, count - 1) for index in range(part.start, part.stop))
    return [[index - wide.start for index in each] for each in every]


def _views(
    canvases: Sequence[NDArray[np.uint8]],
    seen: Sequence[Sequence[int]],
    settings: Mapping[str, Any],
    views: int,
    network: keras.Model,
) -> _Said:
    """(class probabilities [N, H, W, 4] on the network grid, its shift) of each view of some slices. seen: as of
    `_seen`."""
    grid = settings["network"]["image_size"], settings["network"]["resize"]
    found = []
    for offset in prediction.offsets(views):
        if views > 1:
            pictures = np.stack([prediction.view(canvas, *grid, offset) for canvas in canvases])
        else:
            pictures = np.stack([slices.resize(canvas, *grid) for canvas in canvases])
        pictures = np.moveaxis(pictures[np.array(seen)], 1, -1)
        if pictures.shape[-1] == 1:
            pictures = pictures[..., 0]
        found.append((prediction.probabilities(network, pictures, settings["normalisation"]), offset))
    return found


def _agreement(masks: Iterable[NDArray[np.uint8]]) -> float:
    """Lowest mean Dice over the foreground classes between two of the class masks; a class that neither shows is left
    out; NaN for fewer than two masks."""
    found = []
    for one, other in combinations(masks, 2):
        scores = []
        for k in range(1, len(CLASSES)):
            both = np.count_nonzero(one == k) + np.count_nonzero(other == k)
            if both:
                scores.append(2 * np.count_nonzero((one == k) & (other == k)) / both)
        found.append(float(np.mean(scores)) if scores else 1.0)
    return min(found, default=float("nan"))


def grey(canvases: Iterable[NDArray[np.uint8]], place: slices.Placement) -> tuple[float, float]:
    """Mean and standard deviation of the greys of a volume's slices, black bars apart."""
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    counts = sum(np.bincount(canvas[rows, columns].ravel(), minlength=256) for canvas in canvases)
    mean = np.average(np.arange(256), weights=counts)
    return float(mean), float(np.sqrt(np.average((np.arange(256) - mean) ** 2, weights=counts)))
