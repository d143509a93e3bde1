import numpy as np
import pytest

from lumbarflow.measures import instances


def volume():
    """Two vertebrae, two discs and a canal: boxes of 4 x 4 x 4 voxels."""
    truth = np.zeros((6, 30, 20), np.int16)
    for top, label in ((1, 2), (6, 202), (11, 1), (16, 201)):
        truth[1:5, top : top + 4, 2:6] = label
    truth[1:5, 1:29, 10:13] = 100
    return truth


def classes(truth):
    return np.select([truth == 100, truth > 200, truth > 0], [2, 3, 1]).astype(np.uint8)


def test_what_is_perfect():
    rows = instances.instance_rows(classes(volume()), volume(), (1, 1, 1))
    assert [(row["class"], row["label"]) for row in rows] == [
        ("vertebrae", 1), ("vertebrae", 2), ("spinal_canal", 100), ("ivd", 201), ("ivd", 202),
    ]  # fmt: skip
    assert all(row["dice"] == 1 and row["assd_mm"] == 0 and row["detected"] for row in rows)


def test_by_hand():
    truth, pred = volume(), classes(volume())
    pred[:, 1:5, 2:6] = 0  # vertebra 2 is not found
    pred[1:5, 11:13, 2:6] = 0  # half of vertebra 1
    pred[1:5, 25:27, 2:6] = 1  # a false one, near no structure
    rows = {row["label"]: row for row in instances.instance_rows(pred, truth, (4, 0.5, 0.5))}
    assert not rows[2]["detected"]
    assert rows[2]["dice"] == 0
    assert "assd_mm" not in rows[2]
    assert rows[1]["dice"] == pytest.approx(2 * 32 / (32 + 64))
    assert 0 < rows[1]["assd_mm"] < 0.5
    assert rows[100]["dice"] == 1


def test_two_structures_that_grow_together_share_one_component():
    truth, pred = volume(), classes(volume())
    pred[1:5, 5:11, 2:6] = 1  # vertebra 2 and vertebra 1 joined over the disc
    rows = {row["label"]: row for row in instances.instance_rows(pred, truth, (1, 1, 1))}
    joined = 4 * 4 * 14
    assert rows[1]["dice"] == rows[2]["dice"] == pytest.approx(2 * 64 / (64 + joined))
    assert rows[202]["dice"] == 0


def test_a_sliver_counts_as_missed():
    truth, pred = volume(), np.zeros((6, 30, 20), np.uint8)
    pred[1, 1, 2:5] = 1
    row = next(row for row in instances.instance_rows(pred, truth, (1, 1, 1)) if row["label"] == 2)
    assert row["dice"] == pytest.approx(2 * 3 / 67)
    assert not row["detected"]
