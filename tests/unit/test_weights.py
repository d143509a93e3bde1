import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lumbarflow import DataError
from lumbarflow.images import weights


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


def rows_of(pixels):
    return [
        {**dict(zip(weights.PIXELS, p, strict=True)), "classes": 4, "imbalance_ratio": weights.imbalance_ratio(p)}
        for p in pixels
    ]


@given(st.lists(st.lists(st.integers(1, 200), min_size=4, max_size=4), min_size=1, max_size=12), st.floats(1, 40))
@example([[1, 1, 1, 1], [1, 1, 1, 35], [3, 3, 3, 105]], 18.0)
def test_the_pooled_ratio_holds_and_no_image_is_dropped_in_vain(pixels, limit):
    rows = rows_of(pixels)
    decided = list(zip(rows, weights.select(rows, "dataset_ratio", limit, 4), strict=True))
    kept, dropped = ([row for row, (keep, _) in decided if keep == wanted] for wanted in (True, False))
    if kept:
        assert weights.imbalance_ratio(weights.row_pixels(kept).sum(0)) <= limit
    if dropped:
        assert max(r["imbalance_ratio"] for r in kept or dropped) <= max(r["imbalance_ratio"] for r in dropped)
        # of equals the later one is dropped last
        mildest = min(reversed(dropped), key=lambda row: row["imbalance_ratio"])
        assert weights.imbalance_ratio(weights.row_pixels([*kept, mildest]).sum(0)) > limit


def test_one_class_must_not_fill_the_foreground():
    decisions = weights.select(rows_of([(90, 6, 2, 2), (90, 5, 3, 2)]), "foreground_share", 0.55, 4)
    assert decisions == [(False, "one class above 0.55 of the foreground"), (True, "")]


def test_the_cap_draws_by_its_seed():
    rows = rows_of([(9, 3, 2, 1)] * 20)
    draws = [[keep for keep, _ in weights.select(rows, "none", 55, 4, max_images=5, seed=seed)] for seed in (1, 1, 2)]
    assert sum(draws[0]) == 5
    assert draws[0] == draws[1] != draws[2]


def test_focal_alpha_is_the_inverse_of_the_class_weights():
    alpha = weights.focal_alpha([800, 100, 50, 50])
    assert alpha.mean() == pytest.approx(1)
    np.testing.assert_allclose(alpha * [0.8, 0.1, 0.05, 0.05], alpha[0] * 0.8)
    with pytest.raises(DataError, match="ivd is in none"):
        weights.focal_alpha([1, 1, 1, 0])
