"""What an option costs and what it buys: times of executions, losses of a metric, and the choice
between them."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_GRID = 32
LEAST_EXECUTIONS = 100
"""So many make a 99th percentile worth telling."""


class Optimization(enum.StrEnum):
    """How a version is made cheaper: weights of 64 bits in 32, weights in 16 bits, weights in 8
    bits, fewer trees."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    PRUNE = "prune"


@dataclass(frozen=True, slots=True)
class Latency:
    """How long executions took, in seconds. ``low_s`` and ``high_s`` are the least and the
    largest median of a round: what the machine does between rounds, which no option is to blame
    for. ``p99_s`` is None of too few executions."""

    median_s: float
    p99_s: float | None
    mean_s: float
    low_s: float
    high_s: float
    executions: int


def latency_of(rounds: Sequence[Sequence[float]]) -> Latency:
    """Of rounds of executions, in seconds; each round has at least one. Percentiles are those of
    all executions together, by linear interpolation (Hyndman and Fan 1996, definition 7)."""
    medians = [float(np.median(one)) for one in rounds]
    every = np.concatenate([np.asarray(one, np.float64) for one in rounds])
    p99 = float(np.quantile(every, 0.99)) if len(every) >= LEAST_EXECUTIONS else None
    return Latency(
        float(np.median(every)), p99, float(every.mean()), min(medians), max(medians), len(every)
    )


@dataclass(frozen=True, slots=True)
class Score:
    """A model's metric on some rows."""

    metric: str
    value: float
    larger_is_better: bool
    rows: int


def relative_loss(before: Score, after: Score) -> float:
    """By which part of ``before`` the metric got worse; negative where it got better, infinite
    where nothing was to lose."""
    worse = before.value - after.value
    if not before.larger_is_better:
        worse = -worse
    if before.value == 0.0:
        return 0.0 if worse == 0.0 else math.copysign(math.inf, worse)
    return worse / abs(before.value)


@dataclass(frozen=True, slots=True)
class Option:
    """A way to serve a version, measured. ``latency`` is that of ``batch`` rows on ``threads``
    threads, ``memory`` what loading it added to its process, in bytes. ``difference`` is the
    largest one of an output from what the version itself answers; of ``compared`` rows ``moved``
    differ beyond the tolerance. ``score`` is None without labels."""

    name: str
    batch: int
    threads: int
    latency: Latency
    memory: int
    compared: int = 0
    difference: float = 0.0
    moved: int = 0
    score: Score | None = None
    loss: float | None = None

    @property
    def rows_per_s(self) -> float:
        return self.batch / self.latency.mean_s


def trade(base: Option, other: Option) -> str:
    """What ``other`` costs and buys, in one sentence naming both sides. A difference of times
    within what rounds of the same option differ by is none."""
    gain = 1.0 - other.latency.median_s / base.latency.median_s
    times = f"{_micro(base.latency.median_s)} to {_micro(other.latency.median_s)}"
    if other.latency.high_s < base.latency.low_s:
        buys = f"{gain:.0%} less latency ({times})"
    elif other.latency.low_s > base.latency.high_s:
        buys = f"{-gain:.0%} more latency ({times})"
    else:
        buys = f"no other latency beyond the noise ({times})"
    if other.loss is None or base.score is None or other.score is None:
        return f"{other.name}: {buys}; what it costs is not known without labels"
    name = base.score.metric
    name = name.upper() if len(name) <= 4 else name
    values = f"{base.score.value:.4g} to {other.score.value:.4g}, n={other.score.rows:,}"
    lost = f"{other.loss:.2%}" if math.isfinite(other.loss) else "all"
    if other.loss < 0.0:
        return f"{other.name}: {-other.loss:.2%} better {name} ({values}) and {buys}"
    return f"{other.name}: {lost} {name} ({values}) for {buys}"


def pareto(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Places of the points that no other one beats: as good in every number and better in one,
    where smaller is better."""
    return [
        i
        for i, point in enumerate(points)
        if not any(
            other != point and all(b <= a for a, b in zip(point, other, strict=True))
            for other in points
        )
    ]


def best_option(base: Option, others: Sequence[Option], allowed: float) -> Option:
    """Of those that lose no more than ``allowed`` of the metric and that nothing beats in latency,
    loss and difference, the fastest; where several are as fast within the noise, the one that
    loses and differs least. ``base`` where none is faster beyond the noise, or what it costs is
    not known."""
    known = [
        (one, one.loss)
        for one in others
        if one.loss is not None and one.loss <= allowed and one.latency.high_s < base.latency.low_s
    ]
    if not known:
        return base
    places = pareto([(one.latency.median_s, loss, one.difference) for one, loss in known])
    kept = [known[i] for i in places]
    fastest = min((one for one, _ in kept), key=lambda one: one.latency.median_s)
    alike = [both for both in kept if both[0].latency.low_s <= fastest.latency.high_s]
    return min(alike, key=lambda both: (max(both[1], 0.0), both[0].difference))[0]


def smallest_that_holds(total: int, holds: Callable[[int], bool]) -> int:
    """The smallest number of 1 to ``total`` from which on ``holds`` is true, as far as was
    looked: down an even grid of at most 32 numbers to the first one where it is not, and between
    those two by halves. ``total`` itself holds."""
    grid = sorted({max(1, round(total * i / _GRID)) for i in range(1, _GRID + 1)}, reverse=True)
    good, bad = total, 0
    for k in grid:
        if k == total:
            continue
        if not holds(k):
            bad = k
            break
        good = k
    while good - bad > 1:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:,.1f} ms"
