"""APTA, the paper's "Adaptive Pixel Transformation Algorithm" (Algorithm 1): as released, and as printed.

It repairs class masks that were rendered as grey pictures, in six passes. Each pass reads the whole
result of the pass before. Colours are class numbers here (red 1, green 2, blue 3, black 0).
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

# the release scans the 8 neighbours column by column, the 4 neighbours right, left, down, up;
# the order matters, since a tie goes to the colour met first
EIGHT = np.array([(dy, dx) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dy, dx) != (0, 0)])
FOUR = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])


OUTSIDE = 4  # value beyond the border of the picture; it does not vote


@njit(cache=True)
def _vote(
    image: NDArray[np.uint8], y: int, x: int, offsets: NDArray[np.int64]
) -> tuple[int | np.signedinteger, int | np.signedinteger, np.bool_]:
    """(majority colour, number of colours met, whether one neighbour has the pixel's own colour).

    The majority is -1 if no neighbour votes. The counts are packed into one integer, eight bits per colour.
    """
    packed = np.int64(0)
    for k in range(len(offsets)):
        packed += np.int64(1) << (8 * np.int64(image[y + offsets[k, 0], x + offsets[k, 1]]))
    most = np.int64(0)
    met: int | np.signedinteger = 0
    for colour in range(OUTSIDE):
        count = (packed >> (8 * colour)) & 255
        met += count > 0
        most = max(most, count)
    own = ((packed >> (8 * np.int64(image[y, x]))) & 255) > 0
    if met == 0:
        return -1, 0, own
    for k in range(len(offsets)):
        candidate = np.int64(image[y + offsets[k, 0], x + offsets[k, 1]])
        if candidate != OUTSIDE and (packed >> (8 * candidate)) & 255 == most:
            return candidate, met, own
    return -1, met, own


@njit(cache=True)
def _find_edges(image: NDArray[np.uint8], y: int, edge: NDArray[np.uint8]) -> None:
    """Mark the pixels of a row whose 3 x 3 neighbourhood has more than one colour. The compiler can vectorise this."""
    above, row, below = image[y - 1], image[y], image[y + 1]
    for x in range(len(row) - 2):
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
def _passes(
    grey: NDArray[np.uint8], eight: NDArray[np.int64], four: NDArray[np.int64], literal: bool
) -> NDArray[np.uint8]:
    height, width = grey.shape
    image = np.full((height + 2, width + 2), OUTSIDE, np.uint8)
    colours = np.zeros(256, np.uint8)
    colours[1:11], colours[90:181], colours[181:] = 1, 2, 3
    for y in range(height):
        for x in range(width):
            image[y + 1, x + 1] = colours[grey[y, x]]
    edge = np.zeros(-(-width // 8) * 8, np.uint8)
    eights = edge.view(np.uint64)  # most pixels are not on an edge: skip them eight at a time
    for step in range(4):
        if literal and step == 0:
            continue
        result = image.copy()
        offsets = four if step == 1 and not literal else eight
        for y in range(1, height + 1):
            _find_edges(image, y, edge)
            for place in range(len(eights)):
                if eights[place] == 0:
                    continue
                for x in range(8 * place + 1, min(8 * place + 8, width) + 1):
                    if edge[x - 1] == 0:  # all neighbours have its colour: no pass changes it
                        continue
                    best, met, own = _vote(image, y, x, offsets)
                    if step == 0:
                        if not own:
                            result[y, x] = 0
                    elif step == 2:
                        left, right = image[y, x - 1], image[y, x + 1]
                        between = left != right and left != OUTSIDE and right != OUTSIDE
                        if between if literal else met >= 2:
                            result[y, x] = best
                    elif best >= 0 and (step == 1 or not own):
                        result[y, x] = best
        image = result
    image = image[1:-1, 1:-1].copy()
    if not (image == 1).any():
        image = (image > 0).astype(np.uint8)
    return image


def repair(grey: ArrayLike, version: str = "released") -> NDArray[np.uint8]:
    """The six passes: uint8 grey [H, W] -> uint8 classes 0-3 [H, W].

    version `released`: pixel for pixel what the authors' program does:
    1. grey 1-10 red, 90-180 green, 181-255 blue, anything else black;
    2. a pixel turns black if none of its 8 neighbours has its colour;
    3. every pixel takes the majority colour of its 4 neighbours;
    4. a pixel takes the majority colour of its 8 neighbours if they have two or more colours;
    5. a pixel takes the majority colour of its 8 neighbours if none of them has its colour;
    6. if no red is left in the picture, green and blue turn red.

    version `literal`: the paper's box where it differs from the program. It is read as follows:
    - the box leaves the ranges open: they are the released ones;
    - the loop over pixels is one pass per operation, because pixels not yet reached have no class
      colour to vote with;
    - operation 3, "replace with the color of the first matching adjacent pixel if it matches",
      changes nothing, because the two colours are equal;
    - operation 4, "the most common neighboring color", is a vote of the 8 neighbours;
    - operation 5, "if both adjacent pixels have different colors", means that the pixels to the left
      and to the right differ from each other;
    - a tie goes to the colour met first, as released;
    - operations 7 (isolated pixels) and 8 (no red) are the released ones.

    Raises ValueError for anything but a two-dimensional uint8 array, or another version.
    """
    if version not in ("released", "literal"):
        raise ValueError(f"version must be released or literal, not {version!r}")
    grey = np.asarray(grey)
    if grey.dtype != np.uint8 or grey.ndim != 2:
        raise ValueError(f"expected a uint8 array [H, W], got {grey.dtype} with shape {grey.shape}")
    return _passes(np.ascontiguousarray(grey), EIGHT, FOUR, version == "literal")
