"""Intervals cover what they promise; paired tests and their correction by hand."""

import numpy as np
import pytest
from scipy import stats

from lumbarflow.measures import intervals


def interval(values, scale="share"):
    return intervals.intervals(lambda sample: {"mean": sample["x"].mean(-1)}, {"x": np.asarray(values)}, scale)["mean"]


# Dice of patients: most near the best, some far below
SKEWED = {
    "beta(18, 2)": lambda rng, size: rng.beta(18, 2, size),
    "beta(9, 1)": lambda rng, size: rng.beta(9, 1, size),
}


@pytest.mark.parametrize("patients", [6, 10, 39])
@pytest.mark.parametrize("name", SKEWED)
def test_coverage_of_skewed_dice(name, patients):
    rng = np.random.default_rng(patients)
    mean = 0.9  # of both
    found = np.array([interval(SKEWED[name](rng, patients)) for _ in range(3000)])
    covered = ((found[:, 0] <= mean) & (mean <= found[:, 1])).mean()
    assert covered >= 0.92
    assert covered <= 0.98  # and none is wide for safety's sake


def test_of_many_normal_values_it_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(5, 2, 400)
    half = 1.96 * values.std() / 20
    assert interval(values, "difference") == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.02 * half
    )


def test_of_a_mean_it_is_students():
    values = np.random.default_rng(2).normal(0, 1, 8)
    expected = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    assert interval(values, "difference") == pytest.approx(expected)


def test_it_stays_within_the_scale():
    low, high = interval([0.2, 0.9, 0.99, 0.999, 1.0, 1.0, 0.97])
    assert 0 < low < high < 1
    low, high = interval([0.01, 0.02, 0.02, 5, 0.1, 0.03], "length")
    assert 0 < low < high


@pytest.mark.parametrize("patients", range(1, 6))
def test_none_for_a_handful_of_patients(patients):
    assert np.isnan(interval(np.linspace(0.7, 0.9, patients))).all()


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_patients_without_the_class_do_not_count():
    """A mean over the patients that show it, as aggregate() makes it."""
    values = np.array([0.8, 0.9, 0.7, 0.95, 0.85, 0.9, np.nan, np.nan])

    def mean(sample):
        return {"mean": np.nanmean(sample["x"], -1)}

    found = intervals.intervals(mean, {"x": values}, "difference")["mean"]
    assert found == pytest.approx(interval(values[:6], "difference"))
    assert np.isnan(intervals.intervals(mean, {"x": values[1:]}, "difference")["mean"]).all()


def test_equal_patients():
    assert interval([0.9] * 8) == pytest.approx((0.9, 0.9))
    assert (interval([0.0] * 8, "difference"), interval([1.0] * 8, "length")) == ((0, 0), (1, 1))
    assert np.isnan([interval([0.0] * 8), interval([1.0] * 8), interval([0.0] * 8, "length")]).all()


def test_paired_test():
    assert intervals.paired_test([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 2**6)
    assert intervals.paired_test([0.0] * 6) == 1
    for unchanged in (0, 1, 9):  # exact by those who differ, also where SciPy would approximate among so many
        assert intervals.paired_test([0.0] * unchanged + [1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 2**6)
    assert np.isnan(intervals.paired_test([1, 2, 3, 4, 5, np.nan]))


def test_holm_by_hand():
    found = intervals.holm([0.01, np.nan, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(found, [0.04, np.nan, 0.09, 0.09, 0.5])
    assert intervals.holm([0.6, 0.7]).tolist() == [1, 1]
    assert len(intervals.holm([])) == 0
