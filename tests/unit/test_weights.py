import numpy as np
import pytest

from lumbarflow import DataError, weights


def test_weights_are_shares_and_the_ratio_is_highest_over_lowest():
    mask = np.array([[0] * 8, [1] * 4 + [2] * 2 + [3] * 2], np.uint8)
    row = weights.describe(mask)
    assert [row[name] for name in weights.PIXELS] == [8, 4, 2, 2]
    assert [row[name] for name in weights.WEIGHTS] == [0.5, 0.25, 0.125, 0.125]
    assert (row["classes"], row["imbalance_ratio"]) == (4, 4.0)
    assert weights.imbalance_ratio([5, 1, 0, 1]) == float("inf")


def test_the_filter_says_why():
    rows = [{"classes": c, "imbalance_ratio": r} for c, r in ((4, "55"), (4, "55.01"), (3, "inf"))]
    decisions = weights.select(rows, "image_ratio", 55, 4)
    assert decisions == [(True, ""), (False, "imbalance ratio above 55"), (False, "fewer than 4 classes")]
    assert weights.select(rows, "none", 55, 0) == [(True, "")] * 3
    with pytest.raises(DataError, match="criterion"):
        weights.select(rows, "oops", 55, 4)
