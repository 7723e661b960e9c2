"""How far two histograms lie apart. All functions take counts with the null bin first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def js_divergence(window: Floats | Counts, reference: Floats | Counts) -> Floats:
    """Jensen-Shannon divergence in bits, 0 to 1, along the last axis; broadcasts.

    Bins empty on both sides add nothing; no smoothing is needed.
    """
    p = _shares(window)
    q = _shares(reference)
    m = (p + q) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0.0, p * np.log2(p / m), 0.0)
        right = np.where(q > 0.0, q * np.log2(q / m), 0.0)
    return np.maximum((left.sum(axis=-1) + right.sum(axis=-1)) / 2.0, 0.0)


def psi(window: Counts, reference: Counts, *, floor: float = 1e-4) -> float:
    """Population stability index; shares below ``floor`` are lifted to it, as is usual."""
    p = np.maximum(_shares(window), floor)
    q = np.maximum(_shares(reference), floor)
    return float(((p - q) * np.log(p / q)).sum())


def kl_divergence(window: Counts, reference: Counts) -> float:
    """Kullback-Leibler divergence of the window from the reference, in bits; every bin has half a
    row more than was counted, so that it is finite."""
    p = _shares(window.astype(np.float64) + 0.5)
    q = _shares(reference.astype(np.float64) + 0.5)
    return float((p * np.log2(p / q)).sum())


def ks_distance(window: Counts, reference: Counts) -> float:
    """Kolmogorov-Smirnov: the largest distance of the cumulative curves of what is not null, 0 to
    1, at the edges of the bins; NaN where either side has nothing."""
    p, q = window[1:], reference[1:]
    if not p.sum() or not q.sum():
        return float("nan")
    return float(np.abs(np.cumsum(_shares(p) - _shares(q))).max())


def total_variation(window: Counts, reference: Counts) -> float:
    """Half the sum of the differences of shares, nulls included, 0 to 1."""
    return float(np.abs(_shares(window) - _shares(reference)).sum() / 2.0)


def null_rate(counts: Counts) -> float:
    total = counts.sum()
    return float(counts[0] / total) if total else 0.0


def rank_shift(window: Counts, reference: Counts, *, ordered: bool) -> Floats:
    """How far the non-null mass moved, 0 to 1, along the last axis; broadcasts; NaN where
    either side has none.

    Ordered bins: the mean distance between the two cumulative curves, which is the
    1-Wasserstein distance with one training quantile as the unit, so it has no scale and an
    outlier weighs no more than a bin. Names: the total variation distance.
    """
    p, q = window[..., 1:], reference[..., 1:]
    gap = _shares(p) - _shares(q)
    if ordered:
        moved = np.abs(np.cumsum(gap, axis=-1))[..., :-1].mean(axis=-1)
    else:
        moved = np.abs(gap).sum(axis=-1) / 2.0
    empty = (p.sum(axis=-1) == 0) | (q.sum(axis=-1) == 0)
    return np.where(empty, np.nan, moved)


def _shares(counts: Floats | Counts) -> Floats:
    x = np.asarray(counts, dtype=np.float64)
    total = x.sum(axis=-1, keepdims=True)
    return np.divide(x, total, out=np.zeros_like(x), where=total > 0)
