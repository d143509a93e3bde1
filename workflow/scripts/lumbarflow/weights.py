"""Class weights of images, the paper's imbalance ratio, and the filter built on it (paper section 3.2.2)."""

import numpy as np

from . import CLASSES, DataError

PIXELS = tuple(f"pixels_{name}" for name in CLASSES)
WEIGHTS = tuple(f"weight_{name}" for name in CLASSES)
COLUMNS = ("volume", "patient", "sequence", "index", *PIXELS, *WEIGHTS, "classes", "imbalance_ratio")


def count_pixels(mask):
    """Pixels of each class in a uint8 class mask: int64 [4]."""
    return np.bincount(np.asarray(mask).ravel(), minlength=len(CLASSES))[: len(CLASSES)]


def imbalance_ratio(pixels):
    """Highest / lowest class weight over the four classes, background included; inf where one is absent.

    Class weight = pixels of the class / pixels of the image. A ratio, though the paper prints it
    with a percent sign.
    """
    pixels = np.asarray(pixels, float)
    return float(pixels.max() / pixels.min()) if pixels.min() > 0 else float("inf")


def describe(mask):
    """The weight columns of one image's row."""
    pixels = count_pixels(mask)
    share = pixels / pixels.sum()
    return {
        **dict(zip(PIXELS, map(int, pixels), strict=True)),
        **dict(zip(WEIGHTS, map(float, share), strict=True)),
        "classes": int((pixels > 0).sum()),
        "imbalance_ratio": imbalance_ratio(pixels),
    }


def row_pixels(rows):
    """Pixel counts of weight rows: int64 [rows, 4]."""
    return np.array([[int(row[name]) for name in PIXELS] for row in rows], np.int64).reshape(-1, len(CLASSES))


def select(rows, criterion, limit, classes):
    """Decide which images train: [(kept, reason)], one for each weight row.

    classes: fewest classes an image must show (the paper: 4). criterion `image_ratio`: the image's
    imbalance ratio must not exceed `limit` (the paper: 55); `none`: no such test.
    """
    if criterion not in ("image_ratio", "none"):
        raise DataError(f"filters: criterion must be image_ratio or none, not {criterion!r}")
    decisions = []
    for row in rows:
        if int(row["classes"]) < classes:
            decisions.append((False, f"fewer than {classes} classes"))
        elif criterion == "image_ratio" and float(row["imbalance_ratio"]) > limit:
            decisions.append((False, f"imbalance ratio above {limit:g}"))
        else:
            decisions.append((True, ""))
    return decisions
