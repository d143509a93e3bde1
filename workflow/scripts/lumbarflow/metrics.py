"""Overlap and surface metrics on class masks: pure functions, explicit spacing.

A structure absent from both masks has no score (NaN); one absent from one of them is missed:
Dice 0, NSD 0, ASD infinite.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree


def _ratio(above, below):
    above, below = np.asarray(above, float), np.asarray(below, float)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def count(pred, truth, classes=4):
    """True positive, false positive and false negative pixels of each class: int64 [classes, 3].

    pred, truth: integer class masks of one shape. Raises ValueError where the shapes differ.
    """
    pred, truth = np.asarray(pred), np.asarray(truth)
    if pred.shape != truth.shape:
        raise ValueError(f"prediction {pred.shape} and truth {truth.shape} differ in shape")
    pairs = np.bincount((truth.astype(np.int64) * classes + pred).ravel(), minlength=classes**2)
    matrix = pairs.reshape(classes, classes)
    hits = np.diag(matrix)
    return np.stack([hits, matrix.sum(0) - hits, matrix.sum(1) - hits], axis=1)


def scores(counts):
    """IoU, Dice, precision, recall and F1 from counts [..., 3] (tp, fp, fn): dict of float arrays [...].

    Formulas: paper section 3.3. Precision is NaN where nothing was predicted and recall where
    nothing is there; F1 then counts as Dice does, since the two are equal.
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


def overlap(pred, truth, classes=4):
    """IoU, Dice, precision, recall and F1 of each class: dict of float arrays [classes]."""
    return scores(count(pred, truth, classes))


def boundary(mask):
    """Surface of a boolean mask of any dimension: its voxels with a face neighbour outside it.

    Beyond the array counts as outside.
    """
    mask = np.asarray(mask, bool)
    padded = np.pad(mask, 1)
    inner = mask.copy()
    middle = (slice(1, -1),) * mask.ndim
    for axis in range(mask.ndim):
        for step in (slice(0, -2), slice(2, None)):
            inner &= padded[(*middle[:axis], step, *middle[axis + 1 :])]
    return mask & ~inner


@dataclass(frozen=True)
class Surface:
    """Distances between two surfaces, from which every variant follows.

    to_truth: of each predicted surface point, to_pred: of each true one; both in units of spacing.
    """

    to_truth: np.ndarray
    to_pred: np.ndarray
    tau: float

    def _value(self, missed, value):
        """`missed` where one surface is empty, NaN where both are, else value()."""
        if len(self.to_truth) and len(self.to_pred):
            return float(value())
        return missed if len(self.to_truth) or len(self.to_pred) else np.nan

    @property
    def asd_pooled(self):
        """Mean over both surfaces' points together (the paper's formula, section 3.3)."""
        return self._value(np.inf, lambda: np.concatenate([self.to_truth, self.to_pred]).mean())

    @property
    def asd_mean_of_means(self):
        """Mean of the two directed means (the paper's release)."""
        return self._value(np.inf, lambda: (self.to_truth.mean() + self.to_pred.mean()) / 2)

    @property
    def nsd_paper(self):
        """Share of the true surface closer than tau (strictly) to the predicted one (paper, section 3.3)."""
        return self._value(0.0, lambda: (self.to_pred < self.tau).mean())

    @property
    def nsd_symmetric(self):
        """Share of both surfaces' points within tau of the other one (Nikolov et al. 2018)."""
        return self._value(0.0, lambda: (np.concatenate([self.to_truth, self.to_pred]) <= self.tau).mean())

    @property
    def nsd_mean_of_means(self):
        """Mean of the two directed shares within tau (the paper's release)."""
        shares = [(distances <= self.tau) for distances in (self.to_truth, self.to_pred)]
        return self._value(0.0, lambda: (shares[0].mean() + shares[1].mean()) / 2)

    @property
    def hd95(self):
        """Larger of the two directed 95th percentiles."""
        return self._value(np.inf, lambda: max(np.percentile(self.to_truth, 95), np.percentile(self.to_pred, 95)))


def surface(pred, truth, spacing, tau=1.0):
    """Surface distances between two boolean masks [*shape]; spacing: one length an axis (px or mm).

    Returns a Surface. Raises ValueError where shapes or spacing do not match.
    """
    pred, truth = np.asarray(pred, bool), np.asarray(truth, bool)
    if pred.shape != truth.shape or len(spacing) != pred.ndim:
        raise ValueError(f"prediction {pred.shape}, truth {truth.shape} and spacing {tuple(spacing)} do not match")
    points = [np.argwhere(boundary(mask)) * np.asarray(spacing, float) for mask in (pred, truth)]
    if not len(points[0]) or not len(points[1]):
        return Surface(np.full(len(points[0]), np.inf), np.full(len(points[1]), np.inf), tau)
    trees = [cKDTree(each) for each in points]
    return Surface(trees[1].query(points[0])[0], trees[0].query(points[1])[0], tau)
