"""Rows as the world sends them: dependent, cyclic, bursty; and a cell that watches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from windvane.core.drift import (
    Alarm,
    Baseline,
    Cell,
    DriftPolicy,
    Kind,
    Watching,
    build_baseline,
    watch,
)
from windvane.core.sketch import Layout, NumericAxis

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Fault = Callable[[Floats, np.random.Generator], Floats]

START = 1_699_833_600.0
"""A Monday, UTC: weekends are where the calendar has them."""
DAY = 1_440
EDGES = tuple(np.linspace(-3.0, 3.0, 21).tolist())


def layout_of(features: int) -> Layout:
    return Layout(tuple(NumericAxis(f"x{i}", EDGES) for i in range(features)))


def views_of(layout: Layout) -> Mapping[str, str]:
    return dict.fromkeys(layout.names, "source")


@dataclass
class Rows:
    """Standard normal features with 2% nulls. ``follows``: the autocorrelation of rows, ``cycle``:
    the amplitude of a day (a weekend has 0.6 of it), ``burst``: rows of one client that are alike,
    ``night``: traffic falls to a tenth, ``held``: windows that five sources hold their values for.
    """

    layout: Layout
    seed: int = 1
    rows: int = 200
    follows: float = 0.0
    cycle: float = 0.0
    burst: int = 0
    night: bool = False
    held: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self._state = np.zeros((1, len(self.layout.axes)))
        self._sources = np.zeros((5, len(self.layout.axes)))

    def window(self, index: int, fault: Fault | None = None) -> Counts:
        rng, features = self.rng, len(self.layout.axes)
        wave = float(np.sin(2.0 * np.pi * index / DAY))
        rows = self.rows
        if self.night:
            rows = max(20, int(rows * (0.55 + 0.45 * wave)))
        values = rng.standard_normal((rows, features))
        if self.held:
            if index % self.held == 0:
                self._sources = rng.standard_normal(self._sources.shape)
            values = self._sources[rng.integers(len(self._sources), size=rows)]
        if self.follows:
            values *= np.sqrt(1.0 - self.follows**2)
            values, self._state = lfilter(
                [1.0], [1.0, -self.follows], values, axis=0, zi=self._state
            )
        if self.cycle:
            values = values + self.cycle * wave * (1.0 if index // DAY % 7 < 5 else 0.6)
        for _ in range(rows // 60 if self.burst else 0):
            at = rng.integers(0, rows - self.burst)
            values[at : at + self.burst] = values[rng.integers(0, rows)]
        values[rng.random(values.shape) < 0.02] = np.nan
        if fault is not None:
            values = fault(values, rng)
        names = self.layout.names
        return self.layout.count({name: values[:, i] for i, name in enumerate(names)})[0]


def trained(
    rows: Rows,
    windows: int,
    *,
    min_rows: int = 50,
    fault: Mapping[int, Fault] | None = None,
    recent_s: float = 14 * 86_400.0,
) -> Baseline:
    """A baseline of so many windows of a minute, some of them with a fault."""
    past = {START + 60.0 * i: rows.window(i, (fault or {}).get(i)) for i in range(windows)}
    return build_baseline(rows.layout, past, 60.0, recent_s, min_rows)


@dataclass
class Watcher:
    """A cell, window after window; ``alarms`` by the window that they opened or closed in."""

    rows: Rows
    cell: Cell
    policy: DriftPolicy
    at: int
    min_rows: int = 50
    recent_s: float = 14 * 86_400.0
    alarms: list[tuple[int, Alarm]] = field(default_factory=list[tuple[int, Alarm]])

    def step(self, fault: Fault | None = None) -> tuple[Alarm, ...]:
        return self.see(self.rows.window(self.at, fault))

    def see(self, counts: Counts) -> tuple[Alarm, ...]:
        how = Watching(
            self.rows.layout, views_of(self.rows.layout), self.policy, self.min_rows, self.recent_s
        )
        start = START + 60.0 * self.at
        seen = watch(how, self.cell, counts, start, start + 60.0, self.at)
        self.cell, self.verdict = seen.cell, seen.verdict
        self.alarms += [(self.at, alarm) for alarm in seen.alarms]
        self.at += 1
        return seen.alarms

    def play(self, windows: int, fault: Fault | None = None) -> list[tuple[int, Alarm]]:
        before = len(self.alarms)
        for _ in range(windows):
            self.step(fault)
        return self.alarms[before:]


def bare(alarm_at: float) -> DriftPolicy:
    """Every alarm is material: what is left is the evidence."""
    return DriftPolicy(alarm_at, material=dict.fromkeys(Kind, -1.0), unusual=0.0)


def count_alarms(watcher: Watcher, windows: int) -> int:
    """Of detectors that begin anew after each."""
    found = 0
    for _ in range(windows):
        found += sum(alarm.opened for alarm in watcher.step())
        watcher.cell = replace(
            watcher.cell,
            streams={s: h for s, h in watcher.cell.streams.items() if not h.alarmed},
        )
    return found


def nulls(share: float) -> Fault:
    return lambda x, rng: np.where(rng.random(x.shape) < share, np.nan, x)


def plus(step: float | Floats) -> Fault:
    return lambda x, _: x + step


def times(factor: float) -> Fault:
    return lambda x, _: x * factor


def stuck(value: float) -> Fault:
    return lambda x, _: np.where(np.isnan(x), np.nan, value)
