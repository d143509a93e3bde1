"""The picture of a segmented scan."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lumbarflow.data.phantom import make_volume
from lumbarflow.report import preview

SPACING = (2.4, 1.5, 1.5)


@pytest.fixture(scope="module")
def scan():
    image, labels, _ = make_volume(3, 1, "t2_SPACE")
    return image, labels


def texts(figure, panel):
    return {text.get_text() for text in figure.axes[panel].texts}


def test_each_vertebra_has_its_number_and_flags_are_told(scan):
    image, labels = scan
    flags = [f"reason {k}" for k in range(9)]
    figure = preview.draw(image, labels, SPACING, "scan", flags, names={1: "L5"})
    expected = {"L5", *map(str, range(2, 10))}
    assert texts(figure, 0) == expected | {"front"}
    assert texts(figure, 1) == expected | {"R"}
    said = figure.get_supxlabel()
    assert said.startswith("Needs a look: reason 0\n")
    assert said.endswith("reason 5\nand 3 more")
    figure.canvas.draw()
    # a pixel is as high and wide as in the patient
    for axis, width in zip(figure.axes, (1.5, 2.4), strict=True):
        assert axis.get_aspect() == pytest.approx(1.5 / width)
    plt.close(figure)


def test_sections_follow_the_column(scan):
    _, labels = scan
    rows = np.flatnonzero((labels == 100).any((0, 2)))
    across = preview.middle_line(labels, labels == 100, 0)
    assert (labels[across[rows], rows] == 100).any(1).all()
    depth = preview.middle_line(labels, labels > 200, 2)
    discs = np.flatnonzero((labels == 205).any((0, 2)))
    middle = int(discs.mean())
    assert (labels[:, middle, depth[middle]] == 205).any()


@pytest.mark.parametrize("kept", [(), (100,), (3,), (203,)])
def test_little_to_show(scan, kept):
    image, labels = scan
    figure = preview.draw(image, np.where(np.isin(labels, kept), labels, 0), SPACING, "scan")
    figure.canvas.draw()
    assert figure.get_supxlabel() == ""
    plt.close(figure)
