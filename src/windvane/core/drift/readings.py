"""From counts to readings: score, calibrate, measure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.baseline import Baseline
from windvane.core.drift.calibrate import (
    predictive_rises,
    predictive_scores,
    predictive_shifts,
)
from windvane.core.drift.judge import Kind, Reading
from windvane.core.drift.measure import js_divergence, null_rate, psi, rank_shift
from windvane.core.sketch import Layout, NumericAxis
from windvane.core.verdict import calibrated_p

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_DRAWS = 2_000
_CHANCES = 500
_NO_EVIDENCE = 0.2  # from here on an e-value is below 1, however large p becomes


def recent_readings(
    layout: Layout,
    views: Mapping[str, str],
    window: Counts,
    references: Mapping[str, Counts],
    calibration: Mapping[str, tuple[Floats, Floats]],
    *,
    min_rows: int,
    seed: int,
) -> tuple[Reading, ...]:
    """VALUES and NULLS readings of each feature that has a reference.

    ``window`` (layout size,); ``references`` the recent healthy counts of each feature;
    ``calibration`` the sizes of healthy windows against their own past, values and nulls;
    ``seed`` settles ties of the randomised p-values.

    A reading's p-value is the larger of two: against those real windows, which cluster in
    time as this one may, and against the predictive of independent rows, which knows how
    many rows this window and its past have. Each guards where the other's assumption fails,
    and the larger of two p-values is one.
    """
    uniform = np.random.default_rng(seed).random((len(layout.axes), 2, 2))
    readings: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        if axis.name not in views or axis.name not in references:
            continue
        now, past = layout.part(window, axis.name), references[axis.name]
        if past.sum() < min_rows:
            continue
        ordered = isinstance(axis, NumericAxis)
        sizes = {Kind.NULLS: null_rate(now) - null_rate(past)}
        if now[1:].sum() >= min_rows / 2:
            sizes[Kind.VALUES] = float(rank_shift(now, past, ordered=ordered))
        for kind, size in sizes.items():
            row = 0 if kind is Kind.VALUES else 1
            if np.isnan(size):
                continue
            healthy = calibration[axis.name][row]
            known = int(np.count_nonzero(~np.isnan(healthy)))
            score, u = np.array([round(size, 6)]), uniform[i, row]
            p = float(calibrated_p(score, healthy[None, :], u[:1])[0])
            if p < _NO_EVIDENCE:
                chance = (
                    predictive_shifts(
                        past, int(now[1:].sum()), _CHANCES, ordered=ordered, seed=seed + 2 * i
                    )
                    if kind is Kind.VALUES
                    else predictive_rises(past, int(now.sum()), _CHANCES, seed=seed + 2 * i + 1)
                )
                p = max(p, float(calibrated_p(score, chance[None, :], u[1:])[0]))
            usual = float(np.nanmax(healthy, initial=0.0)) if known else 0.0
            readings.append(Reading(axis.name, views[axis.name], kind, p, size, usual, known))
    return tuple(readings)


def baseline_readings(
    layout: Layout, views: Mapping[str, str], window: Counts, baseline: Baseline, *, seed: int
) -> tuple[Reading, ...]:
    """DRIFT readings of every axis against the training baseline, PSI as the effect."""
    uniform = np.random.default_rng(seed).random(len(layout.axes))
    readings: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        now = layout.part(window, axis.name)
        reference = layout.part(baseline.counts, axis.name)
        if not now.sum() or not reference.sum():
            continue
        null = predictive_scores(reference, int(now.sum()), _DRAWS, seed + i)
        score = js_divergence(now, reference)[None]
        p = calibrated_p(score, null[None, :], uniform[i : i + 1])
        view = views.get(axis.name, "")
        readings.append(Reading(axis.name, view, Kind.DRIFT, float(p[0]), psi(now, reference)))
    return tuple(readings)
