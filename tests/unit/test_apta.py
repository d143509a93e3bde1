import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lumbarflow.images import apta, png

EIGHT = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
FOUR = [(1, 0), (-1, 0), (0, 1), (0, -1)]


def neighbours(image, x, y, offsets):
    height, width = len(image), len(image[0])
    return [image[y + dy][x + dx] for dx, dy in offsets if 0 <= y + dy < height and 0 <= x + dx < width]


def majority(colours):
    return Counter(colours).most_common(1)[0][0]  # of equals, the one counted first


def classes_of(grey):

    def colour(value):
        if 1 <= value <= 10:
            return 1
        if 90 <= value <= 180:
            return 2
        return 3 if value >= 181 else 0

    return [[colour(int(value)) for value in row] for row in grey]


def all_red_if_none(image):
    if not any(1 in row for row in image):
        image = [[1 if own else 0 for own in row] for row in image]
    return np.array(image, np.uint8)


def isolated(own, around):
    return own not in around


def slow_reference(grey):
    """The six passes as FACTS words them, in plain Python; shares no code with the library."""
    passes = [
        (EIGHT, lambda own, around: 0 if isolated(own, around) else own),
        (FOUR, lambda own, around: majority(around) if around else own),
        (EIGHT, lambda own, around: majority(around) if len(set(around)) >= 2 else own),
        (EIGHT, lambda own, around: majority(around) if around and isolated(own, around) else own),
    ]
    image = classes_of(grey)
    for offsets, rule in passes:
        image = [
            [rule(own, neighbours(image, x, y, offsets)) for x, own in enumerate(row)] for y, row in enumerate(image)
        ]
    return all_red_if_none(image)


def slow_literal(grey):
    """The paper's box, operation by operation, in plain Python; operation 3 changes nothing."""
    image = classes_of(grey)
    width = len(image[0])

    def each(rule):
        return [
            [rule(image, x, y, own, neighbours(image, x, y, EIGHT)) for x, own in enumerate(row)]
            for y, row in enumerate(image)
        ]

    def outline(image, x, y, own, around):
        return majority(around) if around else own

    def border(image, x, y, own, around):
        beside = 0 < x < width - 1 and image[y][x - 1] != image[y][x + 1]
        return majority(around) if beside else own

    def singleton(image, x, y, own, around):
        return majority(around) if around and isolated(own, around) else own

    for rule in (outline, border, singleton):
        image = each(rule)
    return all_red_if_none(image)


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


@settings(max_examples=200)
@given(masks())
def test_the_literal_reading_equals_its_slow_reference(grey):
    np.testing.assert_array_equal(apta.repair(grey, "literal"), slow_literal(grey))


def test_the_two_versions_differ():
    """A line one pixel wide: its pixels have a neighbour of their colour, yet the box's vote takes the line away."""
    grey = np.zeros((9, 9), np.uint8)
    grey[4, 1:8] = 5
    grey[6:8, 1:8] = 250
    assert (apta.repair(grey) != apta.repair(grey, "literal")).any()
    with pytest.raises(ValueError, match="version must be released or literal"):
        apta.repair(grey, "printed")


COMPILE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lumbarflow import job
from lumbarflow.images import apta
import numpy as np
job.compile_once(apta.repair, np.zeros((3, 3), np.uint8))
stats = [f.stats for f in (apta._passes, apta._vote, apta._find_edges)]
grey = np.zeros((9, 9), np.uint8)
grey[2:7, 2:7] = 5
print(sum(sum(s.cache_misses.values()) for s in stats), int(apta.repair(grey).sum()))
"""


def test_parallel_jobs_compile_once(tmp_path):
    """Four processes with one empty cache: the first compiles, the others read what it wrote."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, ROOT / "workflow/scripts"]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    results = [process.communicate()[0].split() for process in running]
    grey = np.zeros((9, 9), np.uint8)
    grey[2:7, 2:7] = 5
    assert [int(result[1]) for result in results] == [slow_reference(grey).sum()] * 4
    compiled = sorted(int(result[0]) for result in results)
    assert compiled[:3] == [0, 0, 0]
    assert compiled[3] > 0


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
