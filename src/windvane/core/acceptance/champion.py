"""A candidate against the champion, row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.statistics import LEAST_BLOCKS, block_count, mean_bounds, reach_over_time
from windvane.core.task import Quality

_LEAST_ROWS = 100
_METRIC = "loss"


def paired_loss(
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    times: NDArray[np.float64],
    alpha: float,
) -> Quality:
    """By how much more a row costs with the candidate: the mean of the paired differences of
    loss (rows,), smaller is better, with one-sided bounds at level ``alpha``.

    Rows that are near in time go wrong together, so each bound is the wider one of single
    rows (`mean_bounds`) and of blocks of time (`reach_over_time`).
    """
    gaps = candidate - champion
    rows = len(gaps)
    if not bool(np.isfinite(gaps).all()):
        return Quality(_METRIC, 0.0, 0.0, 0.0, rows, False, "a loss of every row")
    if rows < _LEAST_ROWS:
        message = f"{_LEAST_ROWS - rows} more rows that both answer"
        return Quality(_METRIC, 0.0, 0.0, 0.0, rows, False, message)
    mean = float(gaps.mean())
    by_time, enough = reach_over_time(gaps - mean, times, alpha)
    if not enough:
        parts = block_count(rows)
        message = f"rows over more time: they fill fewer than {LEAST_BLOCKS} of {parts} parts of it"
        return Quality(_METRIC, mean, 0.0, 0.0, rows, False, message)
    lower, upper = mean_bounds(gaps, alpha)
    lower, upper = min(lower, mean - by_time), max(upper, mean + by_time)
    return Quality(_METRIC, mean, lower, upper, rows, False)


def over_time(quality: Quality, parts: NDArray[np.float64], times: NDArray[np.float64],
              alpha: float) -> Quality:  # fmt: skip
    """A quality whose bounds hold where rows near in time go wrong together: by the larger of its
    own reach and that of blocks of time. ``parts`` are the task's (`Task.parts`). Rows that fill
    too few parts of time are taken as they are: how they depend cannot be known."""
    if quality.missing or not len(parts):
        return quality
    reach, _ = reach_over_time(parts, times, alpha)
    return replace(
        quality,
        lower=min(quality.lower, quality.value - reach),
        upper=max(quality.upper, quality.value + reach),
    )
