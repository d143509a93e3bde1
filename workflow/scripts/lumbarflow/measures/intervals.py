"""Confidence intervals of results: percentile bootstrap over patients, because only patients are independent."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000


def intervals(
    statistic: Callable[[dict[str, NDArray[Any]]], Mapping[str, NDArray[np.float64]]],
    values: Mapping[str, NDArray[Any]],
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95% interval of each statistic when patients are resampled with replacement.

    values: {name: [patients]}. statistic takes such a dict with arrays [draws, patients] and returns
    {name: [draws]}. Returns {name: (low, high)}, NaN for fewer than two patients. Seeded: the same
    values give the same interval. Method: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    patients = len(next(iter(values.values())))
    drawn = np.random.default_rng(seed).integers(patients, size=(DRAWS, patients))
    results = statistic({name: array[drawn] for name, array in values.items()})
    return {name: _percentiles(array) if patients > 1 else (np.nan, np.nan) for name, array in results.items()}


def _percentiles(array: NDArray[np.float64]) -> tuple[float, float]:
    known = array[np.isfinite(array)]
    return tuple(np.percentile(known, [2.5, 97.5]).tolist()) if len(known) else (np.nan, np.nan)
