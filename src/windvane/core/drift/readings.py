"""Readings of a span of windows against the training data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy
from numpy.typing import NDArray

from windvane.core.drift.axes import axis_index
from windvane.core.drift.baseline import Baseline
from windvane.core.drift.deviation import ONE_SIDED, Deviations, Reference, measure_deviations
from windvane.core.drift.forecast import long_run_variance
from windvane.core.drift.judge import Kind, Reading
from windvane.core.drift.measure import psi
from windvane.core.sketch import Layout
from windvane.core.verdict import e_values

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_LEAST_SPANS = 3


def baseline_readings(
    layout: Layout, views: Mapping[str, str], window: Counts, baseline: Baseline, span_s: float
) -> tuple[Reading, ...]:
    """DRIFT readings of every axis of the counts of ``span_s`` seconds, PSI as the effect.

    A deviation is compared with what spans as long showed within the training data, by Student's
    t: they are few, and whoever forgets that calls every week a drift. Where there are fewer than
    three, with what follows from how windows depend on each other.
    """
    reference = Reference.of(axis_index(layout), baseline.counts)
    found = measure_deviations(window, reference)
    p = _chance_of(found, baseline, span_s)
    known = ~np.isnan(p)
    mean_e = e_values(p).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    out: list[Reading] = []
    for i, axis in enumerate(layout.axes):
        now = layout.part(window, axis.name)
        past = layout.part(baseline.counts, axis.name)
        if not now.sum() or not past.sum() or not known[i].any():
            continue
        view = views.get(axis.name, "")
        log_e = float(np.log(max(mean_e[i], 1e-12)))
        size = psi(now, past)
        out.append(Reading(axis.name, view, Kind.DRIFT, log_e, size, now=size**0.5, noise=0.1))
    return tuple(out)


def _chance_of(found: Deviations, baseline: Baseline, span_s: float) -> Floats:
    """p-values (axes, MEASURES) of deviations as large in either direction, of shapes and nulls in
    theirs; NaN where nothing was measured."""
    held = baseline.cell.forecast
    if len(held.seen) != len(found.rows):  # an earlier release's: nothing is known of it
        return np.full_like(found.value, np.nan)
    own = long_run_variance(held, found, span_s)
    trained = baseline.counts.sum()
    if baseline.spans >= _LEAST_SPANS:
        variance = np.maximum(baseline.between * (1.0 + 1.0 / baseline.spans), found.chance)
        freedom = float(baseline.spans - 1)
    else:
        seen = found.rows.sum() / max(float(trained), 1.0)
        variance = own * (1.0 + seen)
        freedom = np.inf
    z = found.value / np.sqrt(np.maximum(variance, 1e-300))
    size = np.where(ONE_SIDED, z, np.abs(z))
    tail = scipy.special.ndtr(-size) if np.isinf(freedom) else scipy.special.stdtr(freedom, -size)
    return np.where(np.isnan(z), np.nan, np.where(ONE_SIDED, tail, 2.0 * tail))
