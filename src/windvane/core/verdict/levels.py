"""A statistic of blocks of time against its own earlier level: how far off a new one is, and an
e-detector over such blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import scipy

from windvane.core.verdict.evidence import log_chance_to_e

LEAST_BLOCKS = 5
_MEMORY = 28.0  # blocks; what is older counts less and less
_LARGEST = 1e300
_MOST_CALM = 2.5  # of one block: one good day is no recovery
_MOST_AUTOCORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class Level:
    """Values of earlier blocks: their number as far as they count, mean and centred squares;
    ``lagged`` are the products of neighbours' deviations, ``last`` the last one."""

    blocks: float = 0.0
    mean: float = 0.0
    centred: float = 0.0
    lagged: float = 0.0
    last: float = 0.0

    def with_block(self, value: float) -> Level:
        keep = min(1.0, (_MEMORY - 1.0) / self.blocks) if self.blocks else 1.0
        blocks = self.blocks * keep + 1.0
        before = value - self.mean
        mean = self.mean + before / blocks
        return Level(
            blocks,
            mean,
            self.centred * keep + before * (value - mean),
            self.lagged * keep + (before * self.last if self.blocks > 1.0 else 0.0),
            value - mean,
        )

    def spread(self) -> tuple[float, float, float]:
        """The variance of a block, the variance of the mean, and degrees of freedom, where
        neighbours are alike: so many blocks know less than they are."""
        if self.blocks < 2.0 or self.centred <= 0.0:
            return 0.0, 0.0, max(self.blocks - 1.0, 1.0)
        alike = self.lagged / self.centred
        # Of few blocks it comes out too small (Kendall, Biometrika 41, 1954).
        alike = alike + (1.0 + 3.0 * alike) / self.blocks if alike > 0.0 else 0.0
        alike = min(alike, _MOST_AUTOCORRELATION)
        dependent = min((1.0 + alike) / (1.0 - alike), self.blocks / 2.0)
        effective = self.blocks / dependent
        variance = self.centred / self.blocks / (1.0 - 1.0 / effective)
        return variance, variance / effective, max(effective - 1.0, 1.0)

    def deviation(self, error: float) -> float:
        """The standard deviation of a new block about it: by earlier ones, and at least by the
        block's own ``error``."""
        variance, of_mean, _ = self.spread()
        return math.sqrt(max(variance, error**2) + of_mean)

    def distance(self, value: float, error: float) -> tuple[float, float]:
        """How many of its standard deviations a new block's ``value`` is away, and with how many
        degrees of freedom they are known."""
        deviation = self.deviation(error)
        apart = value - self.mean
        return (apart / deviation if deviation > 0.0 else 0.0), self.spread()[2]


@dataclass(frozen=True, slots=True)
class ShiftState:
    """The detector of one statistic between blocks: its ``value``, its ``peak`` since the block
    ``since`` by which a change began. ``level`` judges, ``learned`` has the blocks since the
    evidence began to rise too. While it is ``alarmed``, ``calm`` is the evidence that the fault
    (of that size and sign) is over."""

    level: Level = field(default_factory=Level)
    learned: Level = field(default_factory=Level)
    value: float = 0.0
    peak: float = 0.0
    since: float = 0.0
    alarmed: bool = False
    fault: float = 0.0
    calm: float = 0.0

    @property
    def known(self) -> bool:
        return self.level.blocks >= LEAST_BLOCKS

    def anew(self) -> ShiftState:
        """As before any evidence: what healthy blocks showed stays the level."""
        return ShiftState(level=self.level, learned=self.level)


def log_either(log_up: float, log_down: float) -> float:
    """Log e-value of either, as the mean of both e-values."""
    return float(np.logaddexp(log_up, log_down)) - math.log(2.0)


@dataclass(frozen=True, slots=True)
class DetectorStep:
    """A block's value, the log e-value that it is no more at its level, the standard ``deviation``
    of a healthy one, whether the difference ``matters``; ``covered``: it raises no alarm."""

    value: float
    log_e: float
    deviation: float
    matters: bool
    block: float
    covered: bool


def advance(state: ShiftState, step: DetectorStep, alarm_at: float, close_at: float) -> ShiftState:
    """The detector after a block (an e-detector, Shin, Ramdas & Rinaldo, arXiv 2203.03532)."""
    learned = state.learned.with_block(step.value)
    if not state.known and not state.alarmed:
        return replace(state, level=learned, learned=learned)
    apart = step.value - state.level.mean
    if state.alarmed:
        return _calmed(replace(state, learned=learned), step, close_at, apart)
    since = step.block if state.peak <= 1.0 else state.since
    peak = min(max(state.peak, 1.0) * _exp(step.log_e), _LARGEST)
    value = min((1.0 + state.value) * _exp(step.log_e), _LARGEST)
    after = replace(state, learned=learned, value=value, peak=peak, since=since)
    if peak <= 1.0:
        after = replace(after, level=learned)
    if value < alarm_at or step.log_e <= 0.0 or step.covered:
        return after
    if not step.matters:
        # Real and harmless: it becomes the level, and its evidence is no head start.
        return replace(after, level=learned, value=0.0, peak=0.0)
    return replace(after, alarmed=True, fault=apart, calm=0.0)


def log_rise(t: float, freedom: float) -> float:
    """Log e-value that a value ``t`` standard deviations above its level is above it."""
    mass = float(scipy.special.stdtr(freedom, -t))
    return log_chance_to_e(math.log(mass) if mass > 0.0 else -700.0)


def _calmed(state: ShiftState, step: DetectorStep, close_at: float, apart: float) -> ShiftState:
    """Evidence that the value is at its level again and not half-way to what was found."""
    variance = step.deviation**2
    half, along = abs(state.fault) / 2.0, apart if state.fault > 0.0 else -apart
    log_e = half * (half - 2.0 * along) / (2.0 * variance) if variance > 0.0 else _MOST_CALM
    log_e = min(max(log_e, -_MOST_CALM), _MOST_CALM)
    calm = (1.0 + state.calm) * _exp(log_e)
    if calm >= close_at and along < half:
        return state.anew()
    return replace(state, calm=calm)


def _exp(log_e: float) -> float:
    return math.exp(min(log_e, 600.0))
