from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lumbarflow import apta, png

EIGHT = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
FOUR = [(1, 0), (-1, 0), (0, 1), (0, -1)]


def neighbours(image, x, y, offsets):
    height, width = len(image), len(image[0])
    return [image[y + dy][x + dx] for dx, dy in offsets if 0 <= y + dy < height and 0 <= x + dx < width]


def majority(colours):
    return Counter(colours).most_common(1)[0][0]  # of equals, the one counted first


def slow_reference(grey):
    """The six passes as FACTS words them, in plain Python; shares no code with the library."""

    def colour(value):
        if 1 <= value <= 10:
            return 1
        if 90 <= value <= 180:
            return 2
        return 3 if value >= 181 else 0

    def isolated(own, around):
        return own not in around

    passes = [
        (EIGHT, lambda own, around: 0 if isolated(own, around) else own),
        (FOUR, lambda own, around: majority(around) if around else own),
        (EIGHT, lambda own, around: majority(around) if len(set(around)) >= 2 else own),
        (EIGHT, lambda own, around: majority(around) if around and isolated(own, around) else own),
    ]
    image = [[colour(int(value)) for value in row] for row in grey]
    for offsets, rule in passes:
        image = [
            [rule(own, neighbours(image, x, y, offsets)) for x, own in enumerate(row)] for y, row in enumerate(image)
        ]
    if not any(1 in row for row in image):
        image = [[1 if own else 0 for own in row] for row in image]
    return np.array(image, np.uint8)


@st.composite
def masks(draw):
    """Blocks and noise of the greys that matter, borders of the ranges among them."""
    height, width = draw(st.integers(1, 23)), draw(st.integers(1, 23))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.lists(st.sampled_from([0, 1, 10, 11, 89, 90, 180, 181, 255]), min_size=1, max_size=5))
    block = draw(st.integers(1, 6))
    coarse = rng.choice(levels, (height // block + 1, width // block + 1))
    grey = np.kron(coarse, np.ones((block, block)))[:height, :width]
    noise = rng.random((height, width)) < draw(st.floats(0, 0.3))
    return np.where(noise, rng.choice(levels, (height, width)), grey).astype(np.uint8)


@settings(max_examples=500, deadline=None)
@given(masks())
def test_equals_the_slow_reference(grey):
    np.testing.assert_array_equal(apta.repair(grey), slow_reference(grey))


def test_equals_every_golden_pair(real_data):
    """Pairs made with the released program, real masks among them."""
    pairs = sorted((real_data / "apta_golden").glob("*.grey.png"))
    assert len(pairs) >= 13
    for path in pairs:
        colours = np.array(Image.open(str(path).replace(".grey.", ".apta.")).convert("RGB"))
        expected = (colours > 0) @ np.array([1, 2, 3], np.uint8)
        np.testing.assert_array_equal(apta.repair(png.read(path)), expected, err_msg=path.name)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), np.int16), np.zeros((2, 2, 3), np.uint8)])
def test_refuses_what_is_no_grey_picture(wrong):
    with pytest.raises(ValueError, match="uint8 array"):
        apta.repair(wrong)
