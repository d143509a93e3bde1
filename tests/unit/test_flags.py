"""Flags: none for the phantom's own labels, and one with its reason for each thing that is wrong."""

import math

import numpy as np
import pytest

from lumbarflow.data.phantom import draw_patient, make_labels
from lumbarflow.measures import flags, morphometry

SPACING = (2.4, 1.5, 1.5)
RANGES = {"slice": [2.0, 4.0], "row": [0.4, 1.65], "column": [0.4, 1.65]}
EXTENTS = {"slice": [30, 80], "row": [200, 300], "column": [180, 300]}
GREY = {"mean": [60, 90], "spread": [40, 70]}
TRAINED = {"spacing_mm": RANGES, "extent_mm": EXTENTS, "grey": GREY}


@pytest.fixture(scope="module")
def labels():
    return make_labels(draw_patient(3, 1), (16, 176, 144), SPACING)[0]


def kinds(found):
    return [flag.kind for flag in found]


def test_no_flag_for_right_labels(labels):
    rows, _ = morphometry.measure(labels, SPACING)
    found = [*flags.of_levels(labels, SPACING), *flags.of_fragments(labels), *flags.of_border(rows)]
    found += [*flags.of_training(SPACING, labels.shape, (75, 50), TRAINED), *flags.of_folds(math.nan)]
    found += flags.of_doubt(0.05, 0.05)
    assert found == []


def test_levels(labels):
    assert kinds(flags.of_levels(np.zeros_like(labels), SPACING)) == ["empty"]
    few = np.where((labels > 3) & (labels < 100) | (labels > 203), 0, labels)
    assert [flag.reason[0] for flag in flags.of_levels(few, SPACING)] == ["3", "3"]
    assert kinds(flags.of_levels(np.where(labels == 100, 0, labels), SPACING)) == ["no canal"]
    # a missed disc: those above it are counted on, as structures.label would
    missed = np.where(labels == 204, 0, labels)
    missed[missed > 204] -= 1
    (flag,) = flags.of_levels(missed, SPACING)
    assert flag.kind == "gap"
    assert "from disc 203 to disc 204" in flag.reason
    (flag,) = flags.of_levels(np.where(labels == 4, 0, labels), SPACING)
    assert flag.reason == "no vertebra between disc 204 and disc 205"


def test_fragments_and_borders(labels):
    split = labels.copy()
    rows = np.flatnonzero((labels == 206).any((0, 2)))
    split[7:9][split[7:9] == 206] = 0
    (flag,) = flags.of_fragments(split)
    assert flag.kind == "fragments"
    assert flag.reason.startswith("disc 206 in 2 pieces")
    crumb = labels.copy()
    crumb[0, 0, 0] = 5  # far below a share that counts
    assert not list(flags.of_fragments(crumb))
    measured, _ = morphometry.measure(labels[:, int(rows.mean()) :], SPACING)
    assert any(flag.reason.startswith("disc 206: no heights: cut by the upper") for flag in flags.of_border(measured))


def test_a_scan_unlike_the_training(labels):
    found = list(flags.of_training((6.0, 1.5, 1.5), (10, 60, 144), (75, 50), TRAINED))
    assert [flag.reason.split(";")[0] for flag in found] == [
        "6 mm from slice to slice",
        "90 mm from the first row to the last",
    ]
    assert not list(flags.of_training((4.3, 1.5, 1.5), (10, 170, 144), (75, 50), TRAINED))  # a little outside
    (flag,) = flags.of_training(SPACING, (16, 176, 144), (120, 68), TRAINED)
    assert flag.reason == "mean of its greys 120; in training 60 to 90"


def test_folds():
    assert kinds(flags.of_folds(0.6)) == ["folds disagree"]
    (flag,) = flags.of_doubt(0.4, 0.25)
    assert flag.reason.startswith("less sure than on any patient that it was tested on: entropy 0.400 nats")
    assert flag.reason.endswith("at most 0.250")


def test_a_sequence_that_the_model_has_not_seen():
    (flag,) = flags.of_sequence("t1", ["t2", "t2_SPACE"])
    assert flag.reason == "its sequence is called t1; the model has seen t2, t2_SPACE alone"
    for sequence, known in (("", ["t2"]), ("t2", ["t2"]), ("t1", [])):
        assert not list(flags.of_sequence(sequence, known))
