"""Confidence intervals and paired tests over patients, because only patients are independent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEAST = 6  # patients; fewer tell nothing of the others
# A scale on which a mean is nearer to a normal distribution: (to it, back, derivative to it).
SCALES: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "share": (lambda p: np.log(p / (1 - p)), lambda x: 1 / (1 + np.exp(-x)), lambda p: 1 / (p * (1 - p))),  # 0 to 1
    "length": (np.log, np.exp, lambda d: 1 / d),  # above 0
    "difference": (lambda x: x, lambda x: x, lambda x: 1.0),
}


def intervals(
    statistic: Callable[[dict[str, NDArray[Any]]], Mapping[str, NDArray[np.float64]]],
    values: Mapping[str, NDArray[Any]],
    scales: Mapping[str, str] | str = "share",
) -> dict[str, tuple[float, float]]:
    """95% interval of each statistic of a sample of patients: Student's t with the jackknife's standard error.

    values: {name: [patients]}. statistic takes such a dict with arrays [samples, patients] and returns
    {name: [samples]}. scales: of SCALES, of all statistics or of each; the interval is made on that scale (delta
    method), since a Dice near 1 is skewed. Returns {name: (low, high)}, NaN for fewer than LEAST patients, and where
    all are at an end of the scale. Method:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 11 and 12.3. The percentile bootstrap, which
    is usual, covers 51% at 2 patients and 80% at 4.
    """
    patients = len(next(iter(values.values())))
    others = np.array([np.delete(np.arange(patients), k) for k in range(patients)])
    found = statistic({name: array[None] for name, array in values.items()})
    if patients < LEAST:
        return dict.fromkeys(found, (np.nan, np.nan))
    without = statistic({name: array[others] for name, array in values.items()})
    # a patient who does not show the class has no score alone, changes nothing, and does not count
    alone = statistic({name: array[:, None] for name, array in values.items()})
    return {
        name: _interval(
            float(value[0]),
            without[name][np.isfinite(alone[name])],
            scales if isinstance(scales, str) else scales[name],
        )
        for name, value in found.items()
    }


def _interval(value: float, without: NDArray[np.float64], scale: str) -> tuple[float, float]:
    """value: of all patients; without: of all but one, for each patient who counts."""
    number = len(without)
    if number < LEAST or not np.isfinite(value):
        return np.nan, np.nan
    # of a mean, this is the standard deviation over the root of the number
    error = np.sqrt((number - 1) / number * ((without - value) ** 2).sum())
    if error == 0:
        # that all are 0, or a share 1, does not make it certain of the next patient
        ends = {"share": (0, 1), "length": (0,), "difference": ()}[scale]
        return (np.nan, np.nan) if value in ends else (value, value)
    forward, back, slope = SCALES[scale]
    reach = stats.t.ppf(0.975, number - 1) * error * slope(value)
    return float(back(forward(value) - reach)), float(back(forward(value) + reach))


def paired_test(differences: ArrayLike) -> float:
    """p of Wilcoxon's signed-rank test that paired differences, one a patient, lie around 0; NaN for fewer than LEAST
    patients, 1 where none differs. Those who do not differ do not count, as Wilcoxon has it."""
    known = np.asarray(differences, float)
    known = known[np.isfinite(known)]
    if len(known) < LEAST:
        return np.nan
    differ = known[known != 0]  # with zeros among more than 13, SciPy would only approximate
    return float(stats.wilcoxon(differ).pvalue) if len(differ) else 1.0


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """p values corrected for their number (Holm 1979), NaN left out: float64 [n]."""
    given = np.asarray(p_values, float)
    result = np.full(len(given), np.nan)
    known = np.flatnonzero(np.isfinite(given))
    order = known[np.argsort(given[known], kind="stable")]
    steps = given[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return result
