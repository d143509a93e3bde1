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


OUTSIDE = 4  # beyond the picture: does not vote


@njit(cache=True)
def _vote(image, y, x, offsets):
    """(majority colour, number of colours met, whether one neighbour has the pixel's own colour).

    The majority is -1 where nobody votes. Counts are packed, eight bits a colour.
    """
    packed = np.int64(0)
    for k in range(len(offsets)):
        packed += np.int64(1) << (8 * np.int64(image[y + offsets[k, 0], x + offsets[k, 1]]))
    most, met = np.int64(0), 0
    for colour in range(OUTSIDE):
        count = (packed >> (8 * colour)) & 255
        met += count > 0
        most = max(most, count)
    own = ((packed >> (8 * np.int64(image[y, x]))) & 255) > 0
    if met == 0:
        return -1, 0, own
    for k in range(len(offsets)):
        colour = np.int64(image[y + offsets[k, 0], x + offsets[k, 1]])
        if colour != OUTSIDE and (packed >> (8 * colour)) & 255 == most:
            return colour, met, own
    return -1, met, own


@njit(cache=True)
def _find_edges(image, y, edge):
    """Mark the pixels of a row whose 3 x 3 neighbourhood has more than one colour; simple enough to vectorise."""
    above, row, below = image[y - 1], image[y], image[y + 1]
    for x in range(len(edge)):
        own = row[x + 1]
        edge[x] = (
            (above[x] ^ own)
            | (above[x + 1] ^ own)
            | (above[x + 2] ^ own)
            | (row[x] ^ own)
            | (row[x + 2] ^ own)
            | (below[x] ^ own)
            | (below[x + 1] ^ own)
            | (below[x + 2] ^ own)
        )


@njit(cache=True)
def _passes(grey, eight, four):
    height, width = grey.shape
    image = np.full((height + 2, width + 2), OUTSIDE, np.uint8)
    colours = np.zeros(256, np.uint8)
    colours[1:11], colours[90:181], colours[181:] = 1, 2, 3
    for y in range(height):
        for x in range(width):
            image[y + 1, x + 1] = colours[grey[y, x]]
    edge = np.zeros(width, np.uint8)
    for step in range(4):
        result = image.copy()
        offsets = four if step == 1 else eight
        for y in range(1, height + 1):
            _find_edges(image, y, edge)
            for x in range(1, width + 1):
                if edge[x - 1] == 0:  # one colour all around: no pass changes anything
                    continue
                best, met, own = _vote(image, y, x, offsets)
                if step == 0:
                    if not own:
                        result[y, x] = 0
                elif best >= 0 and (step == 1 or (step == 2 and met >= 2) or (step == 3 and not own)):
                    result[y, x] = best
        image = result
    image = image[1:-1, 1:-1].copy()
    if not (image == 1).any():
        image = (image > 0).astype(np.uint8)
    return image


def repair(grey):
    """The released six passes: uint8 grey [H, W] -> uint8 classes 0-3 [H, W], pixel for pixel.

    Raises ValueError for anything but a two-dimensional uint8 array.
    """
    grey = np.asarray(grey)
    if grey.dtype != np.uint8 or grey.ndim != 2:
        raise ValueError(f"expected a uint8 array [H, W], got {grey.dtype} with shape {grey.shape}")
    return _passes(np.ascontiguousarray(grey), EIGHT, FOUR)
