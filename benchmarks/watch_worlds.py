"""Rows as the world sends them, and a model whose windows the product's monitor looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import chdtri

from windvane.core.drift import Baseline, build_baseline
from windvane.core.sketch import TRAFFIC, Layout, NumericAxis, Sketch
from windvane.ports.control_store import Deployment, WindowKey
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.read_model_file import ModelFile, read_model_file
from windvane.usecases.replay_windows import Replay
from windvane.usecases.window_policy import WindowPolicy

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

START = 1_699_833_600.0
"""A Monday, UTC: weekends are where the calendar has them."""
WINDOW_S = 60.0
DAY = 1_440
EDGES = tuple(np.linspace(-3.0, 3.0, 21).tolist())
SHARES = (0.20, 0.18, 0.16, 0.12, 0.10, 0.08, 0.06, 0.05, 0.03, 0.02)
"""Of the rows, by tenant."""
ROWS = 1_000


@dataclass(frozen=True, slots=True)
class World:
    """``follows``: the autocorrelation of rows, ``cycle``: the amplitude of a day in deviations (a
    weekend has 0.6 of it), ``burst``: rows of one client that are alike, ``night``: traffic falls
    to a tenth."""

    follows: float = 0.0
    cycle: float = 0.0
    burst: int = 0
    night: bool = False


WORLDS = {
    "independent rows": World(),
    "AR(.5) rows": World(follows=0.5),
    "AR(.9) rows": World(follows=0.9),
    "AR(.98) rows": World(follows=0.98),
    "day, night and weekend": World(cycle=1.0, night=True),
    "bursts of 20": World(burst=20),
    "days of AR(.9) rows": World(cycle=1.0, follows=0.9),
}


@dataclass
class Rows:
    """Standard normal features with 2% nulls, window after window of one minute."""

    world: World
    features: int
    rows: int
    seed: Sequence[int]
    _rng: np.random.Generator = field(init=False)
    _state: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._state = np.zeros((1, self.features))

    def window(self, index: int) -> Floats:
        world, rng = self.world, self._rng
        wave = float(np.sin(2.0 * np.pi * index / DAY))
        rows = self.rows
        if world.night:
            rows = max(1, int(rows * (0.55 + 0.45 * wave)))
        values = rng.standard_normal((rows, self.features))
        if world.follows:
            values *= np.sqrt(1.0 - world.follows**2)
            values, self._state = lfilter(
                [1.0], [1.0, -world.follows], values, axis=0, zi=self._state
            )
        if world.cycle:
            values = values + world.cycle * wave * (1.0 if index // DAY % 7 < 5 else 0.6)
        for _ in range(rows // 60 if world.burst else 0):
            at = rng.integers(0, rows - world.burst)
            values[at : at + world.burst] = values[rng.integers(0, rows)]
        values[rng.random(values.shape) < 0.02] = np.nan
        return values


def normal_layout(features: int) -> Layout:
    return Layout(tuple(NumericAxis(f"x{i}", EDGES) for i in range(features)))


def count(layout: Layout, values: Floats) -> Counts:
    return layout.count({name: values[:, i] for i, name in enumerate(layout.names)})[0]


def normal_file(features: int) -> ModelFile:
    """A file of four sources; all of ``watch`` is the default."""
    lines = ["model: bench", "features:"]
    for source in range(4):
        names = [f"x{i}" for i in range(features) if i % 4 == source]
        if names:
            lines.append(f"  source{source}:")
            lines += [f"    {name}: {{type: number, nullable: true}}" for name in names]
    return read_model_file("\n".join(lines))


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """One model with its baseline, whose windows a replay judges. ``since`` (s): when its first
    window began."""

    file: ModelFile
    layout: Layout
    baseline: Baseline
    policy: WindowPolicy
    since: float

    def window(self, start: float, counts: Mapping[str, Counts]) -> ClosedWindow:
        """What every tenant sent in the window that began at ``start`` (s)."""
        sketches: list[tuple[WindowKey, Sketch]] = []
        for tenant, counted in counts.items():
            rows = int(self.layout.part(counted, self.layout.names[0]).sum())
            told = {"rows": rows, "requests": rows}
            traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
            latency = Sketch.empty(self.layout.id, self.layout.size).latency
            key = WindowKey(self.file.model, start, "1", "champion", tenant, "bench")
            sketches.append((key, Sketch(self.layout.id, counted, traffic, latency)))
        total = np.stack(list(counts.values())).sum(axis=0)
        return ClosedWindow(
            self.file, self.policy, Deployment(self.file.model, "1"), self.layout, self.baseline,
            start, tuple(sketches), total, self.since,
        )  # fmt: skip


def bench_of(
    file: ModelFile, layout: Layout, past: Mapping[float, Counts], *, tenants: int, since: float
) -> Bench:
    """A model that was trained on ``past``, counts of everyone by the start of the window (s)."""
    policy = watch_policy(file, models=1, tenants=tenants)
    baseline = build_baseline(layout, past, policy.window_s, policy.recent_s, policy.min_rows)
    return Bench(file, layout, baseline, policy, since)


def new_replay() -> Replay:
    return Replay(monitors=(SuddenShift(),))


def lower_95(found: float) -> float:
    """The lower 95% bound of a Poisson mean of which so many were found."""
    return float(chdtri(2.0 * found, 0.95)) / 2.0 if found else 0.0
