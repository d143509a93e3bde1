"""Overlap and surface metrics on class masks: pure functions, explicit spacing.

A structure that is absent from both masks has no score (NaN). A structure that is absent from one of
them is missed: Dice 0, NSD 0, ASD infinite.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

DETECTED = 0.1  # smallest Dice at which SPIDER counts a structure as found


def _ratio(above: ArrayLike, below: ArrayLike) -> NDArray[np.float64]:
    above, below = np.asarray(above, float), np.asarray(below, float)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def count(pred: ArrayLike, truth: ArrayLike, classes: int = 4) -> NDArray[np.int64]:
    """True positive, false positive and false negative pixels of each class: int64 [classes, 3].

    pred, truth: integer class masks of one shape. Raises ValueError if the shapes
    differ or a value is not a class.
    """
    pred, truth = np.asarray(pred), np.asarray(truth)
    if pred.shape != truth.shape:
        raise ValueError(f"prediction {pred.shape} and truth {truth.shape} differ in shape")
    matrix = _confusion(np.ascontiguousarray(pred).ravel(), np.ascontiguousarray(truth).ravel(), classes)
    hits = np.diag(matrix)
    return np.stack([hits, matrix.sum(0) - hits, matrix.sum(1) - hits], axis=1)


@njit(cache=True)
def _confusion(pred: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Pixels of each true class (rows) and predicted class (columns): int64 [classes, classes]."""
    matrix = np.zeros((classes, classes), np.int64)
    for i in range(len(pred)):
        if not (0 <= pred[i] < classes and 0 <= truth[i] < classes):
            raise ValueError("a mask holds a class beyond the last one")
        matrix[truth[i], pred[i]] += 1
    return matrix


def scores(counts: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """IoU, Dice, precision, recall and F1 from counts [..., 3] (tp, fp, fn): dict of float arrays [...].

    Formulas: paper section 3.3. Precision is NaN if nothing is predicted, recall is NaN if the
    truth is empty. F1 is a copy of Dice, since the two are equal.
    """
    tp, fp, fn = np.moveaxis(np.asarray(counts), -1, 0)
    dice = _ratio(2 * tp, 2 * tp + fp + fn)
    return {
        "iou": _ratio(tp, tp + fp + fn),
        "dice": dice,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": dice.copy(),
    }


def overlap(pred: ArrayLike, truth: ArrayLike, classes: int = 4) -> dict[str, NDArray[np.float64]]:
    """IoU, Dice, precision, recall and F1 of each class: dict of float arrays [classes]."""
    return scores(count(pred, truth, classes))


def boundary(mask: ArrayLike, corners: bool = False) -> NDArray[np.bool_]:
    """Surface of a boolean mask of any dimension: its voxels with a face neighbour outside it, or with `corners` any
    neighbour, also over an edge or corner.

    Everything beyond the array is outside.
    """
    mask = np.asarray(mask, bool)
    if corners:
        return mask & ~ndimage.binary_erosion(mask, np.ones((3,) * mask.ndim))
    padded = np.pad(mask, 1)
    inner = mask.copy()
    middle = (slice(1, -1),) * mask.ndim
    for axis in range(mask.ndim):
        for step in (slice(0, -2), slice(2, None)):
            inner &= padded[(*middle[:axis], step, *middle[axis + 1 :])]
    return mask & ~inner


@dataclass(frozen=True)
class Surface:
    """Distances between two surfaces; every surface metric is computed from them.

    to_truth: from each predicted surface point to the true surface; to_pred: from each true surface point to the
    predicted surface; both float64 [points]. Distances and tau are in units of spacing. of_pred, of_truth: length or
    area of each point's surface element, by which it counts; None: every point counts once.
    """

    to_truth: NDArray[np.float64]
    to_pred: NDArray[np.float64]
    tau: float
    of_pred: NDArray[np.float64] | None = None
    of_truth: NDArray[np.float64] | None = None

    def _value(self, missed: float, value: Callable[[], float]) -> float:
        """`missed` if one surface is empty, NaN if both are, otherwise value()."""
        if len(self.to_truth) and len(self.to_pred):
            return float(value())
        return missed if len(self.to_truth) or len(self.to_pred) else np.nan

    def _mean(self, of: Callable[[NDArray[np.float64]], NDArray[Any]]) -> float:
        """Mean of a function of the distances, over both surfaces' points together."""
        weights = None if self.of_pred is None else np.concatenate([self.of_pred, self.of_truth])
        return float(np.average(of(np.concatenate([self.to_truth, self.to_pred])), weights=weights))

    def _means(self, of: Callable[[NDArray[np.float64]], NDArray[Any]]) -> tuple[float, float]:
        """The same of each surface by itself: predicted, true."""
        pairs = ((self.to_truth, self.of_pred), (self.to_pred, self.of_truth))
        first, second = (float(np.average(of(distances), weights=weights)) for distances, weights in pairs)
        return first, second

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: mean over both surfaces' points together (the paper's ASD, 3.3)."""
        return self._value(np.inf, lambda: self._mean(lambda distances: distances))

    @property
    def asd_mean_of_means(self) -> float:
        """Mean of the two directed means (the paper's release)."""
        return self._value(np.inf, lambda: sum(self._means(lambda distances: distances)) / 2)

    @property
    def nsd_paper(self) -> float:
        """Share of the true surface closer than tau (strictly) to the predicted one (paper, section 3.3)."""
        return self._value(0.0, lambda: self._means(lambda distances: distances < self.tau)[1])

    @property
    def nsd_symmetric(self) -> float:
        """Share of both surfaces' points within tau of the other one (Nikolov et al. 2018)."""
        return self._value(0.0, lambda: self._mean(lambda distances: distances <= self.tau))

    @property
    def nsd_mean_of_means(self) -> float:
        """Mean of the two directed shares within tau (the paper's release)."""
        return self._value(0.0, lambda: sum(self._means(lambda distances: distances <= self.tau)) / 2)

    @property
    def hd95(self) -> float:
        """Larger of the two directed 95th percentiles, every point counted once."""
        return self._value(np.inf, lambda: max(np.percentile(self.to_truth, 95), np.percentile(self.to_pred, 95)))


def surface(
    pred: ArrayLike, truth: ArrayLike, spacing: Sequence[float], tau: float = 1.0, corners: bool = False
) -> Surface:
    """Surface distances between two boolean masks [*shape]; spacing: one length an axis (px or mm); corners: as in
    boundary.

    Returns a Surface. Raises ValueError if shapes or spacing do not match.
    """
    pred, truth = np.asarray(pred, bool), np.asarray(truth, bool)
    if pred.shape != truth.shape or len(spacing) != pred.ndim or pred.ndim > 3:
        raise ValueError(f"prediction {pred.shape}, truth {truth.shape} and spacing {tuple(spacing)} do not match")
    depth = 3 - pred.ndim
    lengths = np.array([*[1.0] * depth, *spacing], float)
    edges = [boundary(mask, corners)[(None,) * depth] for mask in crop(pred, truth)]
    return _between(edges, lengths, tau)


def _between(
    edges: Sequence[NDArray[np.bool_]], lengths: NDArray[np.float64], tau: float, *weights: NDArray[np.float64]
) -> Surface:
    """Distances between the elements [D, H, W] of two surfaces; infinite where one of them has none."""
    counts = [int(edge.sum()) for edge in edges]
    if not all(counts):
        return Surface(np.full(counts[0], np.inf), np.full(counts[1], np.inf), tau, *weights)
    return Surface(_nearest(edges[0], edges[1], lengths), _nearest(edges[1], edges[0], lengths), tau, *weights)


def surface_by_area(pred: ArrayLike, truth: ArrayLike, spacing: Sequence[float], tau: float = 1.0) -> Surface:
    """Surface distances between two boolean masks [*shape], weighted by the length (2-D) or area (3-D) of the surface
    elements, so that an oblique surface counts as much as a straight one and a long edge of a pixel for its length.

    Elements lie between the pixels' centres, one for each 2 x 2 (x 2) neighbourhood that is partly inside, as in
    DeepMind's surface-distance (Nikolov et al. 2018). spacing, tau: as in surface. Raises ValueError as surface.
    """
    pred, truth = np.asarray(pred, bool), np.asarray(truth, bool)
    if pred.shape != truth.shape or len(spacing) != pred.ndim or pred.ndim not in (2, 3):
        raise ValueError(f"prediction {pred.shape}, truth {truth.shape} and spacing {tuple(spacing)} do not match")
    depth = 3 - pred.ndim
    lengths = np.array([*[1.0] * depth, *spacing], float)
    known = element_sizes(tuple(float(length) for length in spacing))
    sizes = [known[_neighbourhoods(mask)][(None,) * depth] for mask in crop(pred, truth)]
    edges = [size > 0 for size in sizes]
    weights = [size[edge] for size, edge in zip(sizes, edges, strict=True)]
    return _between(edges, lengths, tau, *weights)


def _neighbourhoods(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Which pixels of each 2 x 2 (x 2) neighbourhood of a mask [*shape] are inside, one bit each, in the order of
    np.ndindex: uint8 [*(shape + 1)]."""
    padded = np.pad(mask, 1)
    codes = np.zeros([length + 1 for length in mask.shape], np.uint8)
    for bit, corner in enumerate(np.ndindex((2,) * mask.ndim)):
        window = tuple(slice(step, step + length) for step, length in zip(corner, codes.shape, strict=True))
        codes |= padded[window].astype(np.uint8) << bit
    return codes


Point = tuple[float, ...]
SQUARE = ((0, 0), (0, 1), (1, 1), (1, 0))  # corners, one after the other


def _segments(inside: Sequence[bool], corners: Sequence[tuple[int, ...]], apart: bool) -> list[tuple[Point, Point]]:
    """Where a surface crosses a square with these corners: segments between the middles of its sides. Where opposite
    corners are inside, the two corners that are `apart` (inside or not) are cut off, each by itself."""
    middles = [tuple((a + b) / 2 for a, b in zip(corners[i], corners[i - 3], strict=True)) for i in range(4)]
    crossed = [middles[i] for i in range(4) if inside[i] != inside[i - 3]]
    if len(crossed) == 4:
        return [(middles[i - 1], middles[i]) for i in range(4) if inside[i] == apart]
    return [(crossed[0], crossed[1])] if crossed else []


def _loops(segments: Iterable[tuple[Point, Point]]) -> list[list[Point]]:
    """Join segments to closed loops."""
    left = list(segments)
    loops = []
    while left:
        first, last = left.pop()
        loop = [first]
        while last != first:
            loop.append(last)
            place = next(i for i, ends in enumerate(left) if last in ends)
            a, b = left.pop(place)
            last = b if a == last else a
        loops.append(loop)
    return loops


def _area(loop: Sequence[Point], spacing: Sequence[float]) -> float:
    """Area of a loop of points in the unit cube. A loop that is not flat has several fans of triangles: the one that is
    largest in the unit cube counts (so does DeepMind's table), or the mean of those."""

    def areas(points: NDArray[np.float64]) -> NDArray[np.float64]:
        fans = [np.roll(points, -start, 0) for start in range(len(points))]
        sides = [np.cross(fan[1:-1] - fan[0], fan[2:] - fan[0]) for fan in fans]
        return np.array([np.linalg.norm(side, axis=1).sum() / 2 for side in sides])

    in_cube = areas(np.array(loop))
    return float(areas(np.array(loop) * spacing)[in_cube > in_cube.max() - 1e-9].mean())


@lru_cache(maxsize=1024)
def element_sizes(spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Length [16] or area [256] of the surface element of each neighbourhood (see _neighbourhoods): by marching squares
    or cubes (Lorensen and Cline 1987) with the surface half-way between the pixels; where a face of the cube leaves two
    ways, the corners that are fewer are set apart. spacing: 2 or 3 lengths."""
    corners = list(np.ndindex((2,) * len(spacing)))
    squares: list[list[tuple[int, ...]]] = [list(SQUARE)]
    if len(spacing) == 3:
        squares = [[(*pair[:axis], side, *pair[axis:]) for pair in SQUARE] for axis in range(3) for side in (0, 1)]
    sizes = np.zeros(2 ** len(corners))
    for code in range(len(sizes)):
        inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(corners)}
        apart = sum(inside.values()) <= len(corners) / 2
        segments = [s for square in squares for s in _segments([inside[each] for each in square], square, apart)]
        if len(spacing) == 2:
            sizes[code] = sum(np.linalg.norm((np.array(a) - b) * spacing) for a, b in segments)
        else:
            sizes[code] = sum(_area(loop, spacing) for loop in _loops(segments))
    return sizes


def crop(pred: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Crop both boolean masks [*shape] to the bounding box of their union. Their surfaces do not change, because
    everything beyond the box is outside of both."""
    both = pred | truth
    box = (ndimage.find_objects(both.view(np.uint8)) or [(slice(0, 0),) * both.ndim])[0]
    return pred[box], truth[box]


FAR = np.iinfo(np.int32).max  # no surface in this row


@njit(cache=True)
def _gaps(edge: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pixels along the last axis to the nearest surface point in the same row, or FAR: int32 [Z, H, W]."""
    depth, height, width = edge.shape
    gaps = np.empty(edge.shape, np.int32)
    for z in range(depth):
        for y in range(height):
            row, last = gaps[z, y], -1
            for x in range(width):
                if edge[z, y, x]:
                    last = x
                row[x] = x - last if last >= 0 else FAR
            for x in range(last, -1, -1):
                if edge[z, y, x]:
                    last = x
                row[x] = min(row[x], last - x)
    return gaps


@njit(cache=True)
def _nearest(points: NDArray[np.bool_], edge: NDArray[np.bool_], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each true voxel of `points` to the nearest one of `edge`, both bool [Z, H, W]: float64 [N].

    Exact, in two ways. Where the surfaces are close, rows are searched outwards from each point's own. Where they are
    not (a network that has learnt nothing), this would take a thousand rows a point; as soon as more rows were looked
    at than there are voxels, the nearest row of each voxel is found in one pass, for all that remain.
    """
    depth, height, width = edge.shape
    gaps = _gaps(edge)
    rows = np.empty((0, 0, 0), np.int32)
    distances = np.empty(points.sum())
    found, seen = 0, 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if not points[z, y, x]:
                    continue
                if seen <= edge.size:
                    squared, looked_at = _by_row(gaps, z, y, x, spacing)
                    seen += looked_at
                else:
                    if not rows.size:
                        rows = _nearest_rows(gaps, spacing)
                    squared = _by_plane(gaps, rows, z, y, x, spacing)
                distances[found] = np.sqrt(squared)
                found += 1
    return distances


@njit(cache=True)
def _by_row(gaps: NDArray[np.int32], z: int, y: int, x: int, spacing: NDArray[np.float64]) -> tuple[float, int]:
    """(square of the distance from one voxel to the nearest surface point, rows looked at), given the gaps of each row:
    outwards from the voxel's own, until the row itself is farther than the best distance."""
    depth, height, _ = gaps.shape
    best, seen = np.inf, 0
    for dz in range(max(z, depth - 1 - z) + 1):
        along_z = (dz * spacing[0]) ** 2
        if along_z >= best:
            break
        for plane in (z - dz, z + dz):
            if plane < 0 or plane >= depth:
                continue
            for dy in range(max(y, height - 1 - y) + 1):
                along_y = along_z + (dy * spacing[1]) ** 2
                if along_y >= best:
                    break
                seen += 2
                for row in (y - dy, y + dy):
                    if 0 <= row < height and gaps[plane, row, x] != FAR:
                        best = min(best, along_y + (gaps[plane, row, x] * spacing[2]) ** 2)
    return best, seen


@njit(cache=True)
def _by_plane(
    gaps: NDArray[np.int32], rows: NDArray[np.int32], z: int, y: int, x: int, spacing: NDArray[np.float64]
) -> float:
    """Square of the distance from one voxel to the nearest surface point, given the nearest row of each plane."""
    depth = len(gaps)
    best = np.inf
    for dz in range(max(z, depth - 1 - z) + 1):
        along_z = (dz * spacing[0]) ** 2
        if along_z >= best:
            break
        for plane in (z - dz, z + dz):
            if 0 <= plane < depth and rows[plane, y, x] >= 0:
                row = rows[plane, y, x]
                along_y = along_z + ((row - y) * spacing[1]) ** 2
                best = min(best, along_y + (gaps[plane, row, x] * spacing[2]) ** 2)
    return best


@njit(cache=True)
def _nearest_rows(gaps: NDArray[np.int32], spacing: NDArray[np.float64]) -> NDArray[np.int32]:
    """The row in which the nearest surface point of the same plane lies, or -1 where the plane has none: int32
    [Z, H, W]. Each row is a parabola over its column, and their lower envelope is found (Felzenszwalb and Huttenlocher
    2012): in `winners` those on it, from which place in `start` on."""
    depth, height, width = gaps.shape
    rows = np.full(gaps.shape, -1, np.int32)
    winners, start, squares = np.empty(height, np.int64), np.empty(height), np.empty(height)
    step = spacing[1] ** 2
    for z in range(depth):
        for x in range(width):
            last = -1
            for y in range(height):
                if gaps[z, y, x] == FAR:
                    continue
                squares[y] = (gaps[z, y, x] * spacing[2]) ** 2
                begin = -np.inf
                while last >= 0:
                    other = winners[last]
                    begin = (squares[y] - squares[other] + (y * y - other * other) * step) / (2 * (y - other) * step)
                    if begin > start[last]:
                        break
                    last -= 1
                last += 1
                winners[last], start[last] = y, begin if last else -np.inf
            current = 0
            for y in range(height if last >= 0 else 0):
                while current < last and start[current + 1] < y:
                    current += 1
                rows[z, y, x] = winners[current]
    return rows
