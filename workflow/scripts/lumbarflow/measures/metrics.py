"""Overlap and surface metrics on class masks: pure functions, explicit spacing.

A structure that is absent from both masks has no score (NaN). A structure that is absent from one of
them is missed: Dice 0, NSD 0, ASD infinite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    predicted surface; both float64 [points]. Distances and tau are in units of spacing.
    """

    to_truth: NDArray[np.float64]
    to_pred: NDArray[np.float64]
    tau: float

    def _value(self, missed: float, value: Callable[[], float]) -> float:
        """`missed` if one surface is empty, NaN if both are, otherwise value()."""
        if len(self.to_truth) and len(self.to_pred):
            return float(value())
        return missed if len(self.to_truth) or len(self.to_pred) else np.nan

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: mean over both surfaces' points together (the paper's ASD, 3.3)."""
        return self._value(np.inf, lambda: np.concatenate([self.to_truth, self.to_pred]).mean())

    @property
    def asd_mean_of_means(self) -> float:
        """Mean of the two directed means (the paper's release)."""
        return self._value(np.inf, lambda: (self.to_truth.mean() + self.to_pred.mean()) / 2)

    @property
    def nsd_paper(self) -> float:
        """Share of the true surface closer than tau (strictly) to the predicted one (paper, section 3.3)."""
        return self._value(0.0, lambda: (self.to_pred < self.tau).mean())

    @property
    def nsd_symmetric(self) -> float:
        """Share of both surfaces' points within tau of the other one (Nikolov et al. 2018)."""
        return self._value(0.0, lambda: (np.concatenate([self.to_truth, self.to_pred]) <= self.tau).mean())

    @property
    def nsd_mean_of_means(self) -> float:
        """Mean of the two directed shares within tau (the paper's release)."""
        shares = [(distances <= self.tau) for distances in (self.to_truth, self.to_pred)]
        return self._value(0.0, lambda: (shares[0].mean() + shares[1].mean()) / 2)

    @property
    def hd95(self) -> float:
        """Larger of the two directed 95th percentiles."""
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
    points = [int(edge.sum()) for edge in edges]
    if not all(points):
        return Surface(np.full(points[0], np.inf), np.full(points[1], np.inf), tau)
    return Surface(_nearest(edges[0], edges[1], lengths), _nearest(edges[1], edges[0], lengths), tau)


def crop(pred: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Crop both boolean masks [*shape] to the bounding box of their union. Their surfaces do not change, because
    everything beyond the box is outside of both."""
    box = []
    for axis in range(pred.ndim):
        others = tuple(other for other in range(pred.ndim) if other != axis)
        shown = np.flatnonzero(pred.any(others) | truth.any(others))
        box.append(slice(shown[0], shown[-1] + 1) if len(shown) else slice(0, 0))
    return pred[tuple(box)], truth[tuple(box)]


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

    Exact: rows are visited outwards from the point's own row, until the row itself is farther than the best distance.
    """
    depth, height, width = edge.shape
    gaps = _gaps(edge)
    distances = np.empty(points.sum())
    found = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                if points[z, y, x]:
                    distances[found] = np.sqrt(_squared(gaps, z, y, x, spacing))
                    found += 1
    return distances


@njit(cache=True)
def _squared(gaps: NDArray[np.int32], z: int, y: int, x: int, spacing: NDArray[np.float64]) -> float:
    """Square of the distance from one voxel to the nearest surface point, given the gaps of every row."""
    depth, height, _ = gaps.shape
    best = np.inf
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
                for row in (y - dy, y + dy):
                    if 0 <= row < height and gaps[plane, row, x] != FAR:
                        best = min(best, along_y + (gaps[plane, row, x] * spacing[2]) ** 2)
    return best
