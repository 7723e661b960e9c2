"""A candidate against the champion, row by row."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from windvane.core.statistics import mean_bounds, moments_of
from windvane.core.task import Quality

_BLOCKS = 32
_LEAST_ROWS = 100


def paired_loss(
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    times: NDArray[np.float64],
    alpha: float,
) -> Quality:
    """By how much more a row costs with the candidate: the mean of the paired differences of
    loss (rows,), smaller is better, with one-sided bounds at level ``alpha``.

    Rows of the same hour go wrong together, so the error of the mean is at least that of the
    means of blocks that follow each other in time (batch means; Law & Kelton, Simulation
    Modeling and Analysis, 9.5.3).
    """
    gaps = (candidate - champion)[np.argsort(times, kind="stable")]
    found = moments_of(gaps)
    error = found.error
    if len(gaps) >= _BLOCKS:
        means = np.array([block.mean() for block in np.array_split(gaps, _BLOCKS)])
        error = max(error, float(means.std(ddof=1)) / math.sqrt(_BLOCKS))
    lower, upper = mean_bounds(found.mean, error, alpha)
    short = _LEAST_ROWS - len(gaps)
    missing = f"{short} more rows that both answer" if short > 0 else ""
    return Quality("loss", found.mean, lower, upper, len(gaps), False, missing)
