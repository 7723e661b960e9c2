"""From counts to readings: score, calibrate, measure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.baseline import Baseline
from windvane.core.drift.calibrate import predictive_scores
from windvane.core.drift.judge import Kind, Reading
from windvane.core.drift.measure import js_divergence, null_rate, psi, rank_shift
from windvane.core.sketch import Layout, NumericAxis
from windvane.core.verdict import calibrated_p

Counts = NDArray[np.int64]
_DRAWS = 2_000


def recent_readings(
    layout: Layout,
    views: Mapping[str, str],
    window: Counts,
    references: Mapping[str, Counts],
    baseline: Baseline,
    *,
    min_rows: int,
    seed: int,
) -> tuple[Reading, ...]:
    """VALUES and NULLS readings of each feature that has a reference.

    ``window`` (layout size,); ``references`` the recent healthy counts of each feature;
    ``seed`` settles ties of the randomised p-values.
    """
    uniform = np.random.default_rng(seed).random((len(layout.axes), 2))
    readings: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        if axis.name not in views or axis.name not in references:
            continue
        now, past = layout.part(window, axis.name), references[axis.name]
        if past.sum() < min_rows:
            continue
        sizes = {Kind.NULLS: null_rate(now) - null_rate(past)}
        if now[1:].sum() >= min_rows / 2:
            sizes[Kind.VALUES] = rank_shift(now, past, ordered=isinstance(axis, NumericAxis))
        for kind, size in sizes.items():
            row = 0 if kind is Kind.VALUES else 1
            if np.isnan(size):
                continue
            p = calibrated_p(
                np.array([round(size, 6)]), baseline.calibration[axis.name][row][None, :],
                uniform[i, row : row + 1],
            )  # fmt: skip
            readings.append(Reading(axis.name, views[axis.name], kind, float(p[0]), size))
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
