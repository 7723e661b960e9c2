"""Did the truth about one version's answers change against its own earlier level?

Each block of predictions (a day, say) gives one value of each statistic and cell. Days go wrong
together, so a new one is compared with what earlier ones had and how they spread, and units with
the level by bets; the evidence is the lesser of the two.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.outcomes.betting import log_bet
from windvane.core.statistics import level_words
from windvane.core.verdict import (
    LEAST_BLOCKS,
    DetectorStep,
    Level,
    Outcome,
    ShiftState,
    Verdict,
    advance,
    log_either,
    log_rise,
)

Floats = NDArray[np.float64]

LEAST_UNITS = 20
UNUSUAL = 3.0
"""Standard deviations of a healthy block from its level: what is further is no PASS."""
_TWO_SIDED = 1.959963984540054  # of a normal law, 2.5% lie beyond on each side
_LEVEL = level_words(0.95)


class Shift(enum.StrEnum):
    """LOSS: by how much answers cost more than they expect themselves to, which is how the truth
    depends on the inputs and not which inputs came. BIAS: labels less predictions. RATE: labels."""

    LOSS = "loss"
    BIAS = "bias"
    RATE = "rate"


CODES = {Shift.LOSS: "OUT-411", Shift.BIAS: "OUT-412", Shift.RATE: "OUT-413"}
_WORDS = {
    Shift.LOSS: "loss over what the answers expect",
    Shift.BIAS: "labels less predictions",
    Shift.RATE: "labels",
}

_SUBJECTS = {
    Shift.LOSS: "what answers cost",
    Shift.BIAS: "the calibration",
    Shift.RATE: "the base rate",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One statistic of a cell in one block. ``value`` is compared with its level, ``error`` is
    its standard error over units; ``shown`` is the mean that people know it by, which usually is
    ``usual``. ``log_up`` and ``log_down`` are the bets of the units that it rose or fell.
    ``followed``: by how much predictions moved the same way."""

    kind: Shift
    value: float
    error: float
    shown: float
    usual: float
    log_up: float = 0.0
    log_down: float = 0.0
    followed: float = 0.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Of a block with more labelled rows than are read at once the newest ``read`` were looked at,
    of ``rows``; None where nobody could count them in time."""

    read: int
    rows: int | None = None

    @property
    def words(self) -> str:
        """`of the newest 200,000 of 1,204,311 rows`."""
        of = "more" if self.rows is None else f"{max(self.rows, self.read):,}"
        return f"of the newest {self.read:,} of {of} rows"


@dataclass(frozen=True, slots=True)
class CellFacts:
    """One block of one cell: the model, or a tenant. ``covered``: what is wrong with it is wrong
    with most others, and another's alarm. ``cut``: not all of the block was read."""

    subject: str
    block: float
    units: int
    readings: tuple[Reading, ...]
    before: Mapping[str, ShiftState]
    covered: bool = False
    cut: Cut | None = None

    @property
    def units_words(self) -> str:
        return f"n={self.units:,} units" + (f", {self.cut.words}" if self.cut else "")


@dataclass(frozen=True, slots=True)
class ShiftPolicy:
    """``alarm_at`` is the detectors' threshold, ``close_at`` that of the evidence by which an alarm
    ends, ``material`` the least effect that matters by statistic."""

    alarm_at: float
    material: Mapping[str, float]
    close_at: float = 50.0
    least_units: int = LEAST_UNITS
    revision: int = 3


def judge_shift(
    facts: CellFacts, policy: ShiftPolicy, now: float
) -> tuple[Verdict, Mapping[str, ShiftState]]:
    """The verdict on a cell's block, and its detectors after it.

    FAIL names the first of the statistics that are alarmed, in the order of `Shift`; HOLD where
    units or earlier blocks are too few, and where a statistic is materially beyond what healthy
    blocks show without the evidence for an alarm.
    """
    del now
    head = f"{facts.subject}: " if facts.subject else ""
    if facts.units < policy.least_units:
        short = f"{policy.least_units - facts.units} more units with an outcome"
        sentence = f"{head}{facts.units:,} units with an outcome"
        sentence += f", {facts.cut.words}" if facts.cut else ""
        return Verdict(Outcome.HOLD, "OUT-414", sentence, short), dict(facts.before)
    after = dict(facts.before)
    for reading in facts.readings:
        state = facts.before.get(reading.kind, ShiftState())
        after[reading.kind] = _after(state, reading, policy, facts.block, facts.covered)
    of = {reading.kind: reading for reading in facts.readings}
    for kind in Shift:
        if kind in of and after[kind].alarmed:
            said = f"{head}{_sides(of[kind], facts.before.get(kind, ShiftState()))}"
            proof = min(after[kind].value, 1e12)
            sentence = f"{said}, evidence {proof:.3g}, {facts.units_words}"
            return Verdict(Outcome.FAIL, CODES[kind], sentence), after
    short = max((LEAST_BLOCKS - s.level.blocks for k, s in facts.before.items() if k in of),
                default=float(LEAST_BLOCKS))  # fmt: skip
    told = [_sides(r, facts.before.get(r.kind, ShiftState())) for r in facts.readings]
    sentence = f"{head}{', '.join([*told, facts.units_words])}"
    if short > 0.0 or any(k not in facts.before for k in of):
        missing = f"{math.ceil(max(short, 1.0))} more blocks"
        return Verdict(Outcome.HOLD, "OUT-414", sentence, missing), after
    for kind in Shift:
        if kind in of and _is_unusual(facts.before[kind], of[kind], policy):
            unknown = f"{sentence}: it is not known yet whether {_SUBJECTS[kind]} changed"
            missing = missing_evidence(after[kind], policy.alarm_at)
            return Verdict(Outcome.HOLD, "OUT-415", unknown, missing), after
    return Verdict(Outcome.PASS, "OUT-410", sentence), after


def missing_evidence(state: ShiftState, alarm_at: float) -> str:
    """What an alarm lacks of a detector whose value is unusual and that has none."""
    if state.value >= alarm_at:
        return "blocks that tell one cell's fault from that of all"
    return f"more blocks: evidence {state.value:.3g} of {alarm_at:.3g}"


def log_evidence(state: ShiftState, reading: Reading) -> tuple[float, float]:
    """Log e-values that the block's value is above, and below, its level: of each the lesser one
    by earlier blocks and by units. Source of the first: Student's t of a new value against earlier
    ones, whose p-values are independent from block to block (recursive residuals, Brown, Durbin &
    Evans, Journal of the Royal Statistical Society B 37, 1975), made an e-value."""
    t, freedom = state.level.distance(reading.value, reading.error)
    up, down = log_rise(t, freedom), log_rise(-t, freedom)
    return min(up, max(reading.log_up, -30.0)), min(down, max(reading.log_down, -30.0))


def bets(
    units: Floats, level: Level, low: float, high: float, shift: Floats | None = None
) -> tuple[float, float]:
    """Log e-values of units' values (n,) in [low, high] that their mean is above, and below, the
    level by more than the level's own error. ``shift`` (n,) is taken off each value first, and is
    in those bounds too."""
    slack = math.sqrt(level.spread()[1])
    held = units if shift is None else units - shift
    least = low if shift is None or not len(shift) else low - float(shift.max())
    most = high if shift is None or not len(shift) else high - float(shift.min())
    up = log_bet(held, level.mean + slack, least)
    return up, log_bet(-held, slack - level.mean, -most)


def strength(state: ShiftState, reading: Reading) -> float:
    """How many standard deviations of its block the value is away from its level."""
    return state.level.distance(reading.value, reading.error)[0] if state.known else 0.0


def _after(
    state: ShiftState, reading: Reading, policy: ShiftPolicy, block: float, covered: bool
) -> ShiftState:
    up, down = log_evidence(state, reading)
    # The mean of both is evidence of either; a loss that fell is no fault.
    log_e = up if reading.kind is Shift.LOSS else log_either(up, down)
    step = DetectorStep(
        reading.value, log_e, state.level.deviation(reading.error),
        _matters(reading, policy, reading.value - state.level.mean), block, covered,
    )  # fmt: skip
    return advance(state, step, policy.alarm_at, policy.close_at)


def _is_unusual(state: ShiftState, reading: Reading, policy: ShiftPolicy) -> bool:
    """Whether it is worse than healthy blocks are, by what matters; a loss that fell is not."""
    apart = reading.value - state.level.mean
    worse = apart if reading.kind is Shift.LOSS else abs(apart)
    beyond = worse > UNUSUAL * state.level.deviation(reading.error)
    return beyond and _matters(reading, policy, apart)


def _matters(reading: Reading, policy: ShiftPolicy, apart: float) -> bool:
    """A base rate that the predictions foresaw harms nobody."""
    if abs(apart) < policy.material.get(reading.kind, 0.0):
        return False
    return reading.kind is not Shift.RATE or reading.followed * apart < 0.5 * apart**2


def _sides(reading: Reading, state: ShiftState) -> str:
    """What it is, in an interval of 95% over units, and what it usually is."""
    reach = _TWO_SIDED * reading.error
    bounds = f"{reading.shown - reach:.3f} to {reading.shown + reach:.3f}, {_LEVEL}"
    now = f"{reading.shown:.3f} ({bounds})"
    words = _WORDS[reading.kind]
    if not state.known:
        return f"{words} {now}"
    far = 2.0 * math.sqrt(state.level.spread()[0])
    usual = f"{reading.usual - far:.3f} to {reading.usual + far:.3f}"
    return f"{words} {now}, usually {reading.usual:.3f} ({usual})"


@dataclass(frozen=True, slots=True, eq=False)
class UnitValues:
    """Of the units (n,) of one cell: the statistic, the bounds that it cannot leave."""

    kind: Shift
    values: Floats
    low: float
    high: float

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def error(self) -> float:
        if len(self.values) < 2:
            return 0.0
        return float(self.values.std(ddof=1)) / math.sqrt(len(self.values))


def read_cell(found: UnitValues, state: ShiftState, followed: float = 0.0) -> Reading:
    """The reading of a cell whose level is its own."""
    up, down = bets(found.values, state.level, found.low, found.high) if state.known else (0.0, 0.0)
    return Reading(
        found.kind, found.mean, found.error, found.mean, state.level.mean, up, down, followed
    )


def read_over(
    parts: Sequence[tuple[UnitValues, float]], state: ShiftState, most_share: float,
    followed: float = 0.0,
) -> Reading:  # fmt: skip
    """The reading of several cells together, each by how far it is from its own level (the second
    of a pair): a change of who asks is no change of the truth. No cell has more than
    ``most_share`` of the weight, unless there are too few of them."""
    counts = np.array([len(one.values) for one, _ in parts], np.float64)
    weights = _bounded(counts, most_share)
    apart = np.array([one.mean - level for one, level in parts])
    errors = np.array([one.error for one, _ in parts])
    shown = float(weights @ np.array([one.mean for one, _ in parts]))
    value = float(weights @ apart)
    pooled = np.concatenate([one.values for one, _ in parts])
    levels = np.repeat([level for _, level in parts], counts.astype(int))
    first = parts[0][0]
    up, down = (
        bets(pooled, state.level, first.low, first.high, levels) if state.known else (0.0, 0.0)
    )
    return Reading(
        first.kind, value, float(np.sqrt(((weights * errors) ** 2).sum())), shown, shown - value,
        up, down, followed,
    )  # fmt: skip


def _bounded(counts: Floats, most_share: float) -> Floats:
    """Weights that add up to 1, as the counts, none over ``most_share`` as far as that can be."""
    most = max(most_share, 1.0 / len(counts))
    weights = counts / counts.sum()
    for _ in range(len(counts)):
        over = weights > most + 1e-12
        rest = weights[~over].sum()
        if not over.any() or rest <= 0.0:
            break
        weights = np.where(over, most, weights * (1.0 - most * over.sum()) / rest)
    return weights
