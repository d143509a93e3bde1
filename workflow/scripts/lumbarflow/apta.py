"""APTA, the paper's "Adaptive Pixel Transformation Algorithm", as its authors released it.

It repairs class masks that were rendered as grey pictures. Six passes, each reading the whole
picture that the one before left; colours are class numbers here (red 1, green 2, blue 3, black 0).
See the paper's Algorithm 1; where the box and the released program differ, this is the program.
"""

import numpy as np
from numba import njit

# the release scans the 8 neighbours column by column, the 4 neighbours right, left, down, up;
# the order matters, since a tie goes to the colour met first
EIGHT = np.array([(dy, dx) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dy, dx) != (0, 0)])
FOUR = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])


@njit(cache=True)
def _vote(image, y, x, offsets):
    """(majority colour, colours met, neighbours of the pixel's own colour); -1 where nobody votes."""
    counts = np.zeros(4, np.int64)
    first = np.full(4, len(offsets), np.int64)
    for k in range(len(offsets)):
        ny, nx = y + offsets[k, 0], x + offsets[k, 1]
        if 0 <= ny < image.shape[0] and 0 <= nx < image.shape[1]:
            colour = image[ny, nx]
            counts[colour] += 1
            first[colour] = min(first[colour], k)
    best, met = -1, 0
    for colour in range(4):
        if counts[colour] == 0:
            continue
        met += 1
        if (
            best < 0
            or counts[colour] > counts[best]
            or (counts[colour] == counts[best] and first[colour] < first[best])
        ):
            best = colour
    return best, met, counts[image[y, x]]


@njit(cache=True)
def _passes(grey, eight, four):
    height, width = grey.shape
    image = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            value = grey[y, x]
            if 1 <= value <= 10:
                image[y, x] = 1
            elif 90 <= value <= 180:
                image[y, x] = 2
            elif value >= 181:
                image[y, x] = 3
    for step in range(4):
        result = image.copy()
        offsets = four if step == 1 else eight
        for y in range(height):
            for x in range(width):
                # where the 3 x 3 neighbourhood has one colour no pass changes anything
                if 0 < y < height - 1 and 0 < x < width - 1:
                    c = image[y, x]
                    if (
                        image[y - 1, x] == c
                        and image[y + 1, x] == c
                        and image[y, x - 1] == c
                        and image[y, x + 1] == c
                        and image[y - 1, x - 1] == c
                        and image[y - 1, x + 1] == c
                        and image[y + 1, x - 1] == c
                        and image[y + 1, x + 1] == c
                    ):
                        continue
                best, met, own = _vote(image, y, x, offsets)
                if best < 0:
                    if step == 0:
                        result[y, x] = 0
                elif step == 0:
                    if own == 0:
                        result[y, x] = 0
                elif step == 1:
                    result[y, x] = best
                elif step == 2:
                    if met >= 2:
                        result[y, x] = best
                elif own == 0:
                    result[y, x] = best
        image = result
    if not (image == 1).any():
        for y in range(height):
            for x in range(width):
                if image[y, x] != 0:
                    image[y, x] = 1
    return image


def repair(grey):
    """The released six passes: uint8 grey [H, W] -> uint8 classes 0-3 [H, W], pixel for pixel.

    Raises ValueError for anything but a two-dimensional uint8 array.
    """
    grey = np.asarray(grey)
    if grey.dtype != np.uint8 or grey.ndim != 2:
        raise ValueError(f"expected a uint8 array [H, W], got {grey.dtype} with shape {grey.shape}")
    return _passes(np.ascontiguousarray(grey), EIGHT, FOUR)
