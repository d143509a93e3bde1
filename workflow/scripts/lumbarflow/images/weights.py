"""Class weights of images, the paper's imbalance ratio, and the filter built on it (paper section 3.2.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import CLASSES, DataError

PIXELS = tuple(f"pixels_{name}" for name in CLASSES)
WEIGHTS = tuple(f"weight_{name}" for name in CLASSES)
COLUMNS = ("volume", "patient", "sequence", "index", *PIXELS, *WEIGHTS, "classes", "imbalance_ratio")


def count_pixels(mask: ArrayLike) -> NDArray[np.int64]:
    """Pixels of each class in a uint8 class mask: int64 [4]."""
    return np.bincount(np.asarray(mask).ravel(), minlength=len(CLASSES))[: len(CLASSES)]


def soft_sums(p: NDArray[np.float32], truth: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Sums that the soft Dice of one image needs, for each class: dict of float64 [4].

    p: class probabilities [H, W, 4]; truth: classes [H, W].
    """
    y = truth[..., None] == np.arange(len(CLASSES))
    return {
        "soft_overlap": (p * y).sum((0, 1), dtype=np.float64),
        "soft_pred": p.sum((0, 1), dtype=np.float64),
        "soft_truth": y.sum((0, 1)).astype(np.float64),
    }


def imbalance_ratio(pixels: ArrayLike) -> float:
    """Highest / lowest class weight over the four classes, background included; inf if one is absent.

    Class weight = pixels of the class / pixels of the image. The value is a plain ratio, although the
    paper prints it with a percent sign.
    """
    pixels = np.asarray(pixels, float)
    return float(pixels.max() / pixels.min()) if pixels.min() > 0 else float("inf")


def describe(mask: NDArray[np.uint8]) -> dict[str, Any]:
    """The weight columns of one image's row, from its uint8 class mask [H, W]."""
    pixels = count_pixels(mask)
    share = pixels / pixels.sum()
    return {
        **dict(zip(PIXELS, map(int, pixels), strict=True)),
        **dict(zip(WEIGHTS, map(float, share), strict=True)),
        "classes": int((pixels > 0).sum()),
        "imbalance_ratio": imbalance_ratio(pixels),
    }


def row_pixels(rows: Sequence[Mapping[Any, Any]]) -> NDArray[np.int64]:
    """Pixel counts of weight rows: int64 [rows, 4]."""
    return np.array([[int(row[name]) for name in PIXELS] for row in rows], np.int64).reshape(-1, len(CLASSES))


def foreground_share(pixels: ArrayLike) -> float:
    """Share (0-1) of the largest foreground class in the whole foreground, from the pixels of each class [4]; NaN
    without a foreground."""
    foreground = np.asarray(pixels, float)[1:]
    return float(foreground.max() / foreground.sum()) if foreground.sum() else float("nan")


def focal_alpha(pixels: ArrayLike) -> NDArray[np.float64]:
    """Factor of each class in the focal loss, from its pixels over all training images: float [4], mean 1.

    Inversely proportional to the class weights (paper section 3.2.2), so that a rare class counts as
    much as a common one. Raises DataError where a class is absent.
    """
    pixels = np.asarray(pixels, float)
    if not (pixels > 0).all():
        absent = ", ".join(name for name, n in zip(CLASSES, pixels, strict=True) if not n)
        raise DataError(f"loss.alpha `weights` needs every class in the training images; {absent} is in none")
    return 1 / pixels / np.mean(1 / pixels)


def resolve_alpha(loss: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Loss settings with alpha as numbers or None: `none` becomes None, `weights` becomes focal_alpha of the training
    images. rows: the training rows, with pixel counts."""
    if "alpha" not in loss:  # a loss without this option
        return dict(loss)
    alpha = loss["alpha"]
    if alpha == "weights":
        alpha = focal_alpha(row_pixels(rows).sum(0)).tolist()
    return {**loss, "alpha": None if alpha == "none" else alpha}


def _excess(rows: Sequence[Mapping[str, Any]], limit: float) -> set[int]:
    """Indices of rows to drop, most imbalanced image first, until the pooled ratio of the rest is at most `limit`."""
    order = sorted(range(len(rows)), key=lambda i: -float(rows[i]["imbalance_ratio"]))
    pooled = row_pixels(rows).sum(0)
    dropped: set[int] = set()
    for i in order:
        if imbalance_ratio(pooled) <= limit:
            break
        dropped.add(i)
        pooled = pooled - row_pixels([rows[i]])[0]
    return dropped


def select(
    rows: Sequence[Mapping[str, Any]],
    criterion: str,
    limit: float,
    min_classes: int,
    max_images: int | None = None,
    seed: int = 0,
) -> list[tuple[bool, str]]:
    """Decide which images train: [(kept, reason)], one for each weight row of a sequence.

    min_classes: smallest number of classes that an image must show (the paper: 4). criterion: the quantity that
    must not exceed `limit`: `image_ratio`: imbalance ratio of each image (the paper's text: 55);
    `dataset_ratio`: ratio of the pooled pixels, for which the most imbalanced images are dropped;
    `foreground_share`: share of the largest foreground class in the foreground; `none`: no limit.
    max_images: keep at most so many images, drawn at random by `seed`.
    """
    reasons = [f"fewer than {min_classes} classes" if int(row["classes"]) < min_classes else "" for row in rows]
    left = [i for i, reason in enumerate(reasons) if not reason]
    if criterion == "image_ratio":
        for i in left:
            if float(rows[i]["imbalance_ratio"]) > limit:
                reasons[i] = f"imbalance ratio above {limit:g}"
    elif criterion == "dataset_ratio":
        for i in _excess([rows[i] for i in left], limit):
            reasons[left[i]] = f"among the worst, to bring the pooled ratio to {limit:g}"
    elif criterion == "foreground_share":
        for i in left:
            if foreground_share(row_pixels([rows[i]])[0]) > limit:
                reasons[i] = f"one class above {limit:g} of the foreground"
    elif criterion != "none":
        raise DataError(
            f"filters: criterion must be image_ratio, dataset_ratio, foreground_share or none, not {criterion!r}"
        )
    left = [i for i, reason in enumerate(reasons) if not reason]
    if max_images is not None and len(left) > max_images:
        for i in np.random.default_rng(seed).permutation(left)[max_images:]:
            reasons[i] = f"beyond max_images, {max_images}"
    return [(not reason, reason) for reason in reasons]
