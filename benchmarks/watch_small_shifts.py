"""A week of minutes of real rows without drift, and a shift of a tenth of a deviation.

What `make bench-null` was held to before its bounds were loosened: 10,080 windows of each size,
and .1 of a deviation told within 34 windows of 200 rows and 4 of 1,000, by the evidence alone.
Windows are drawn from all flights, whole rows at a time, so features depend on each other as they
do, and nothing drifts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from flight_rows import VIEWS, fit_layout, read_flight_rows
from numpy.typing import NDArray
from results import Measure
from watch_false_alarms import AT, STREAMS, TOO_MANY, BareCell, bare
from watch_worlds import START, WINDOW_S, lower_95

from windvane.core.drift import Cell, Watching, alarm_threshold, build_baseline, watch
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
SHIFTED, BY_DEVIATIONS = "temp", 0.1
FOUND_WITHIN = {200: 34, 1_000: 4}
"""Rows of a window -> windows until the shift is told, the median."""
_PAST, _SAMPLE, _NEVER = 1_440, 100_000, 150
_WEEK_S = 7 * 86_400.0


class Flights:
    """All flights as bins, and the same with ``SHIFTED`` moved."""

    def __init__(self) -> None:
        rows = read_flight_rows()
        rng = np.random.default_rng(41)
        self.layout: Layout = fit_layout(rows, rng.integers(0, len(rows), _SAMPLE), tuple(VIEWS))
        columns = dict(rows.columns)
        self.healthy = self.layout.codes(columns).astype(np.int32)
        by = BY_DEVIATIONS * float(np.nanstd(columns[SHIFTED]))
        columns[SHIFTED] = columns[SHIFTED] + by
        self.shifted = self.layout.codes(columns).astype(np.int32)

    def window(self, rng: np.random.Generator, rows: int, *, shifted: bool = False) -> Counts:
        codes = self.shifted if shifted else self.healthy
        drawn = codes[rng.integers(0, len(codes), rows)]
        return np.bincount(drawn.ravel(), minlength=self.layout.size).astype(np.int64)


def run_small_shifts(rows: int, windows: int, repetitions: int) -> dict[str, Any]:
    """At ``rows`` a window: alarms in ``windows`` where nothing drifts at a low threshold, before
    any size, and the windows until the shift is told at that of one alarm a week."""
    flights = Flights()
    layout, rng = flights.layout, np.random.default_rng([42, rows])
    past = {START + WINDOW_S * i: flights.window(rng, rows) for i in range(_PAST)}
    trained = build_baseline(layout, past, WINDOW_S, 14 * 86_400.0, 50).cell
    null = BareCell(layout, trained, AT)
    for i in range(_PAST, _PAST + windows):
        null.see(flights.window(rng, rows), i)
    streams = STREAMS * len(layout.names)
    at = alarm_threshold(streams, WINDOW_S, 1.0, _WEEK_S)
    how = Watching(layout, VIEWS, bare(at), 50, 14 * 86_400.0)
    return {
        "rows": rows, "windows": windows, "found": null.alarms,
        "allowed": null.looks * streams / AT,
        "delays": [_delay(flights, how, trained, rng, rows) for _ in range(repetitions)],
    }  # fmt: skip


def _delay(
    flights: Flights, how: Watching, cell: Cell, rng: np.random.Generator, rows: int
) -> float:
    for i in range(_NEVER):
        start = START + WINDOW_S * (_PAST + i)
        counts = flights.window(rng, rows, shifted=True)
        seen = watch(how, cell, counts, start, start + WINDOW_S, _PAST + i)
        cell = seen.cell
        if any(alarm.opened and alarm.feature == SHIFTED for alarm in seen.alarms):
            return i + 1.0
    return math.inf


def small_shift_measures(runs: Sequence[dict[str, Any]]) -> list[Measure]:
    out: list[Measure] = []
    for run in runs:
        rows, allowed = run["rows"], run["allowed"]
        where = f"flights without drift, {run['windows']:,} windows of {rows:,} rows"
        out += [
            Measure(f"{where}: alarms before any size, lower 95% bound over what is allowed",
                    lower_95(run["found"]) / allowed, at_most=1.0),
            Measure(f"{where}: the same bound of a detector at {TOO_MANY:g}x the budget",
                    lower_95(TOO_MANY * allowed) / allowed, at_least=1.01),
            Measure(f"a shift of .1 deviations, {rows:,} rows a window: windows until it is told,"
                    " median", statistics.median(run["delays"]), at_most=FOUND_WITHIN[rows]),
        ]  # fmt: skip
    return out


def small_shift_table(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "rows": run["rows"], "windows": run["windows"], "found": run["found"],
            "allowed": run["allowed"], "episodes": len(run["delays"]),
            "windows until .1 deviations": _said(statistics.median(run["delays"])),
            "worst": _said(max(run["delays"])),
        }
        for run in runs
    ]  # fmt: skip


def _said(windows: float) -> float | str:
    return windows if math.isfinite(windows) else f"more than {_NEVER}"
