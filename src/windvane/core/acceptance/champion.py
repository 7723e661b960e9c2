"""A candidate against the champion, row by row."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from windvane.core.statistics import moments_of
from windvane.core.task import Quality

_LEAST_ROWS = 100
_LEAST_BLOCKS = 5
_METRIC = "loss"


def paired_loss(
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    times: NDArray[np.float64],
    alpha: float,
) -> Quality:
    """By how much more a row costs with the candidate: the mean of the paired differences of
    loss (rows,), smaller is better, with one-sided bounds at level ``alpha``.

    Rows that are near in time go wrong together, so the error of the mean is the largest of
    three: that of single rows, and those of blocks of equal numbers of rows and of equal spans
    of time (cluster-robust; Student's t with one degree of freedom less than blocks). Few blocks
    are few independent looks, whatever the number of rows: dependence that outlasts a block is
    not seen. Source: batch means, Law & Kelton, Simulation Modeling and Analysis, 9.5.3; cluster
    variance, Cameron & Miller 2015, section II.
    """
    gaps = candidate - champion
    rows = len(gaps)
    if not bool(np.isfinite(gaps).all()):
        return Quality(_METRIC, 0.0, 0.0, 0.0, rows, False, "a loss of every row")
    if rows < _LEAST_ROWS:
        said = f"{_LEAST_ROWS - rows} more rows that both answer"
        return Quality(_METRIC, 0.0, 0.0, 0.0, rows, False, said)
    order = np.argsort(times, kind="stable")
    gaps, times = gaps[order], times[order]
    found = moments_of(gaps)
    blocks = 8 if rows < 2_000 else 16 if rows < 20_000 else 32
    reaches = [-float(special.ndtri(alpha)) * found.error]
    reaches.append(_reach(gaps, np.arange(rows) * blocks // rows, alpha))
    span = float(times[-1] - times[0])
    if span > 0.0:
        places = np.minimum((times - times[0]) / span * blocks, blocks - 1).astype(np.int64)
        reaches.append(_reach(gaps, places, alpha))
    reach = max(reaches)
    if not math.isfinite(reach):
        said = f"rows over more time: they fill fewer than {_LEAST_BLOCKS} of {blocks} parts of it"
        return Quality(_METRIC, found.mean, 0.0, 0.0, rows, False, said)
    return Quality(_METRIC, found.mean, found.mean - reach, found.mean + reach, rows, False)


def _reach(gaps: NDArray[np.float64], blocks: NDArray[np.int64], alpha: float) -> float:
    """From the mean to its bound, by the sums of blocks; infinite for too few of them."""
    _, places = np.unique(blocks, return_inverse=True)
    count = int(places.max()) + 1
    if count < _LEAST_BLOCKS:
        return math.inf
    sums = np.bincount(places, gaps - gaps.mean())
    variance = float((sums**2).sum()) * count / (count - 1) / len(gaps) ** 2
    return -float(special.stdtrit(count - 1, alpha)) * math.sqrt(variance)
