"""Faults of known size, and how many windows each takes to be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flight_rows import VIEWS, Column
from null_run import WINDOW_S, Population
from numpy.typing import NDArray
from steward_loop import StewardLoop, pooled_draws, watch_file

from windvane.core.drift import Baseline, Kind
from windvane.core.sketch import Layout

Counts = NDArray[np.int64]
NEVER = float("inf")
HEALTHY_FIRST = 30
# Later faulty windows are measured against a recent past that the fault has begun to fill.
SIZED_OVER = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """``spoil(values, rng)`` gives a window's values of ``feature`` as the fault delivers them.

    ``known`` is the delay in windows (median) that the prototype in the project's facts page
    reached by window size, None where it names none. ``pages``: the policy means to wake a
    person; the others are below what it calls material.
    """

    name: str
    feature: str
    spoil: Callable[[Column, np.random.Generator], Column]
    known: dict[int, int]
    pages: bool


def _nulls(share: float) -> Callable[[Column, np.random.Generator], Column]:
    return lambda x, rng: np.where(rng.random(len(x)) < share, np.nan, x)


def _unseen(share: float) -> Callable[[Column, np.random.Generator], Column]:
    return lambda x, rng: np.where(rng.random(len(x)) < share, "unseen airline", x)


def _constant(value: float) -> Callable[[Column, np.random.Generator], Column]:
    return lambda x, _: np.full(len(x), value)


def _plus(step: float) -> Callable[[Column, np.random.Generator], Column]:
    return lambda x, _: x + step


THREE = {200: 3, 1_000: 3, 5_000: 3}
# The standard deviation of temp over the year is 17.96 F and its median 57.02 F.
FAULTS = (
    Fault("10% nulls", "temp", _nulls(0.10), THREE, True),
    Fault("2% nulls", "temp", _nulls(0.02), {}, False),
    Fault("half the stations dark (50% nulls)", "temp", _nulls(0.50), THREE, True),
    Fault("Celsius for Fahrenheit", "temp", lambda x, _: (x - 32.0) / 1.8, THREE, True),
    Fault("kilometres for miles", "distance", lambda x, _: x * 1.609, THREE, True),
    Fault("constant: 0", "temp", _constant(0.0), THREE, True),
    Fault("constant: stuck at the median", "temp", _constant(57.02), THREE, True),
    Fault("shift by 0.1 sd", "temp", _plus(1.8), {200: 34, 1_000: 4}, False),
    Fault("shift by 0.5 sd", "temp", _plus(9.0), {}, False),
    Fault("unseen category in 2% of rows", "carrier", _unseen(0.02), {}, False),
    Fault("unseen category in 60% of rows", "carrier", _unseen(0.60), {}, True),
)


@dataclass(frozen=True, slots=True)
class Delay:
    """Windows until the fault was found, one entry a repetition, infinite for not within the
    limit. ``training_drift`` and ``sudden_shift``: the bare detectors against training data and
    recent past; ``acted``: an alarm that the steward would act on. ``size``: the median effect by
    kind."""

    fault: Fault
    rows: int
    training_drift: tuple[float, ...]
    sudden_shift: tuple[float, ...]
    acted: tuple[float, ...]
    size: dict[Kind, float]


def measure_delay(
    population: Population,
    rows: int,
    baseline: Baseline,
    fault: Fault,
    *,
    repetitions: int,
    limit: int,
    tick: Callable[[], None],
) -> Delay:
    """Repeat the fault after healthy windows; thresholds are those of all features together.

    Streams do not look at each other, so only the spoilt feature is judged.
    """
    policy = population.loop(rows, baseline).policy
    alone, mine = _alone(population.layout, baseline, fault.feature)
    values = population.rows.columns[fault.feature]
    training_drift: list[float] = []
    sudden_shift: list[float] = []
    acted: list[float] = []
    sizes: dict[Kind, list[float]] = {}
    with pooled_draws(population.settings.pool):
        for repetition in range(repetitions):
            rng = np.random.default_rng([population.settings.seed, 3, rows, repetition])
            # Ties are settled by seeds that follow from the model's name.
            file = watch_file(f"delay-{repetition}", alone, VIEWS, population.settings.recent)
            loop = StewardLoop(file, alone, mine, policy)
            found = {"training_drift": NEVER, "sudden_shift": NEVER, "acted": NEVER}
            for i in range(HEALTHY_FIRST + limit):
                window = values[rng.integers(0, len(values), rows)]
                faulty = i - HEALTHY_FIRST + 1
                if faulty > 0:
                    window = fault.spoil(window, rng)
                counts = alone.count({fault.feature: window})[0]
                read, opened = loop.judge_sudden_shift(WINDOW_S * i, counts)
                if found["training_drift"] == NEVER:
                    read = (*read, *loop.judge_training_drift(WINDOW_S * i, counts)[0])
                if faulty <= 0:
                    continue
                for reading in read if faulty <= SIZED_OVER else ():
                    sizes.setdefault(reading.kind, []).append(reading.size)
                if opened:
                    found["acted"] = min(found["acted"], faulty)
                if _loud(loop, "sudden_shift"):
                    found["sudden_shift"] = min(found["sudden_shift"], faulty)
                if _loud(loop, "training_drift"):
                    found["training_drift"] = min(found["training_drift"], faulty)
                if all(v < NEVER for k, v in found.items() if fault.pages or k != "acted"):
                    break
            training_drift.append(found["training_drift"])
            sudden_shift.append(found["sudden_shift"])
            acted.append(found["acted"])
            tick()
    middle = {kind: float(np.median(of)) for kind, of in sizes.items()}
    return Delay(fault, rows, tuple(training_drift), tuple(sudden_shift), tuple(acted), middle)


def _loud(loop: StewardLoop, judge: str) -> bool:
    if judge == "sudden_shift":
        streams = [s for source in loop.sources.values() for s in source.streams.values()]
        return any(state.value >= loop.policy.alarm_at for state in streams)
    return any(state.value >= loop.policy.slow_alarm_at for state in loop.drifting.values())


def _alone(layout: Layout, baseline: Baseline, name: str) -> tuple[Layout, Baseline]:
    """One feature's part of a baseline."""
    alone = Layout((layout.axes[layout.names.index(name)],))
    return alone, Baseline(
        alone.id,
        baseline.block_s,
        layout.part(baseline.counts, name),
        {name: baseline.calibration[name]},
        {start: layout.part(counts, name) for start, counts in baseline.tail.items()},
    )
