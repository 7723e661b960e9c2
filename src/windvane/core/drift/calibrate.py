"""What scores look like when nothing is wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.measure import js_divergence, null_rate, rank_shift

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def predictive_scores(baseline: Counts, rows: int, draws: int, seed: int) -> Floats:
    """JS scores (draws,) of undrifted windows of ``rows`` rows against ``baseline``.

    Windows are drawn from the Dirichlet-multinomial predictive, ``q ~ Dirichlet(counts +
    1/2)`` then ``Multinomial(rows, q)``, and scored against the counts themselves: the
    baseline is a sample too, and a detector that forgets it raises false alarms as soon as
    windows grow towards the baseline's size.
    """
    rng = np.random.default_rng(seed)
    used = baseline.astype(np.float64)
    q = rng.dirichlet(used + 0.5 * (used > 0) + 1e-9, size=draws)
    windows = rng.multinomial(rows, q)
    return js_divergence(windows, baseline[None, :])


def predictive_shifts(past: Counts, rows: int, draws: int, *, ordered: bool, seed: int) -> Floats:
    """Rank shifts (draws,) of undrifted windows of ``rows`` non-null rows against ``past``.

    As ``predictive_scores``, for the values alone: what chance does to a window of this size.
    """
    rng = np.random.default_rng(seed)
    used = past[1:].astype(np.float64)
    q = rng.dirichlet(used + 0.5 * (used > 0) + 1e-9, size=draws)
    windows = np.zeros((draws, len(past)), np.int64)
    windows[:, 1:] = rng.multinomial(rows, q)
    return rank_shift(windows, past[None, :], ordered=ordered)


def predictive_rises(past: Counts, rows: int, draws: int, *, seed: int) -> Floats:
    """Rises of the null rate (draws,) in undrifted windows of ``rows`` rows against ``past``,
    from the Beta-binomial predictive."""
    rng = np.random.default_rng(seed)
    nulls, rest = float(past[0]), float(past[1:].sum())
    rates = rng.beta(nulls + 0.5, rest + 0.5, size=draws)
    return rng.binomial(rows, rates) / rows - nulls / (nulls + rest)


def recent_scores(history: Counts, *, span: int, ordered: bool, min_rows: int) -> Floats:
    """Scores (2, windows) of each window against the ``span`` windows before it.

    ``history`` (windows, bins) lies in time order. Row 0 holds the rank shift of the
    values, row 1 the rise of the null rate; NaN where a window or its past is too thin.
    These are real windows, so whatever clusters in time (weather, hours of the day) is in
    the calibration, which no model of independent rows would know.
    """
    out = np.full((2, len(history)), np.nan)
    sums = np.concatenate([np.zeros((1, history.shape[1]), np.int64), np.cumsum(history, axis=0)])
    for i in range(span // 2, len(history)):
        window = history[i]
        past = sums[i] - sums[max(0, i - span)]
        if window.sum() < min_rows or past.sum() < min_rows:
            continue
        out[0, i] = float(rank_shift(window, past, ordered=ordered))
        out[1, i] = null_rate(window) - null_rate(past)
    return out
