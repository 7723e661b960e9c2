"""Do two features still go together as they did, whatever became of each by itself?

Rows that are joined wrongly leave every feature as it was and their dependence gone. Of each pair
a block of rows gives one number, the association of a table of a few groups each, once its margins
are made equal, so that it says nothing of the features alone. What no pair has is one number more:
how well the block's rows are told apart from earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.domain_classifier import DomainReading
from windvane.core.verdict import (
    DetectorStep,
    Outcome,
    ShiftState,
    Verdict,
    advance,
    log_either,
    log_rise,
)

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
GROUPS = 4
"""Of a feature's values, and one more for the rest of many names."""
_LEAST_SHARE = 0.04  # of a block's rows, with which a group says something
_SMOOTHING = 0.5
_ROUNDS = 30
_UNUSUAL = 3.0
_NAMED = 3
TOLD_APART = "all features together"
_MOST_AREA = 0.75  # of healthy blocks: beyond it little more can be told apart
"""The detector of a block's `DomainReading`, beside those of pairs."""


def group_bins(counts: Counts, *, ordered: bool) -> Counts:
    """A group for each bin (bins,), null first and none (-1): of a number's bins about as many rows
    each, of names the most frequent, and the rest together."""
    groups = np.full(len(counts), -1, np.int64)
    own = counts[1:].astype(np.float64)
    if not own.sum():
        return groups
    if ordered:
        middle = (np.cumsum(own) - own / 2.0) / own.sum()
        groups[1:] = np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
        return groups
    frequent = np.argsort(-own, kind="stable")[:GROUPS]
    groups[1:] = GROUPS
    groups[1 + frequent] = np.arange(len(frequent))
    return groups


def association(first: Counts, second: Counts) -> float | None:
    """Cramér's V, 0 to 1, of rows by their groups (rows,), where each group of either has the same
    weight; those with a group of -1 are left out. None where either has fewer than two groups with
    4% of the rows.

    Sources: Deming & Stephan, Annals of Mathematical Statistics 11, 1940 (equal margins); Bergsma,
    Journal of the Korean Statistical Society 42, 2013 (chance taken off).
    """
    there = (first >= 0) & (second >= 0)
    table = np.zeros((GROUPS + 1, GROUPS + 1))
    np.add.at(table, (first[there], second[there]), 1.0)
    rows = table.sum()
    table = table[table.sum(axis=1) >= max(_LEAST_SHARE * rows, 1.0)]
    table = table[:, table.sum(axis=0) >= max(_LEAST_SHARE * rows, 1.0)] if len(table) else table
    if min(table.shape) < 2:
        return None
    n, (r, c) = table.sum(), table.shape
    even = table + _SMOOTHING
    for _ in range(_ROUNDS):
        even = even / even.sum(axis=1, keepdims=True) / r
        even = even / even.sum(axis=0, keepdims=True) / c
    phi = float(((even - 1.0 / (r * c)) ** 2).sum()) * r * c
    phi = max(0.0, phi - (r - 1.0) * (c - 1.0) / (n - 1.0))
    r, c = r - (r - 1.0) ** 2 / (n - 1.0), c - (c - 1.0) ** 2 / (n - 1.0)
    return math.sqrt(min(phi / (min(r, c) - 1.0), 1.0))


@dataclass(frozen=True, slots=True)
class PairReading:
    """The association of two features in one block, and its standard ``error`` by rows."""

    first: str
    second: str
    value: float
    error: float

    @property
    def pair(self) -> str:
        return pair_name(self.first, self.second)


def pair_name(first: str, second: str) -> str:
    return f"{first} and {second}"


@dataclass(frozen=True, slots=True)
class DependenceFacts:
    """A block of sampled ``rows``, and the detectors before it, by pair and of `TOLD_APART`;
    ``domain``: how well its rows are told apart, None where that is not known."""

    block: float
    rows: int
    readings: tuple[PairReading, ...]
    before: Mapping[str, ShiftState]
    domain: DomainReading | None = None

    @property
    def by_detector(self) -> Mapping[str, PairReading | DomainReading]:
        pairs: dict[str, PairReading | DomainReading] = {r.pair: r for r in self.readings}
        return pairs if self.domain is None else {**pairs, TOLD_APART: self.domain}


@dataclass(frozen=True, slots=True)
class DependencePolicy:
    """``alarm_at`` is the detectors' threshold, ``close_at`` that of the evidence by which an alarm
    ends, ``material`` the least change of an association that matters, ``material_area`` the least
    rise of the area by which rows are told apart. Each is judged once ``least_blocks`` are known:
    two weeks of days, so that a weekend is no change."""

    alarm_at: float
    least_rows: int
    least_blocks: int = 14
    material: float = 0.15
    close_at: float = 50.0
    material_area: float = 0.05
    revision: int = 1

    def least_change(self, detector: str) -> float:
        return self.material_area if detector == TOLD_APART else self.material


def judge_dependence(
    facts: DependenceFacts, policy: DependencePolicy, now: float
) -> tuple[Verdict, Mapping[str, ShiftState]]:
    """The verdict on a block, and the detectors after it. FAIL names the pair that changed most, or
    what tells the rows apart where no pair changed; HOLD where rows or earlier blocks are too few,
    where something is further from its level than healthy blocks are without the evidence for an
    alarm, and where what was found could not be measured."""
    del now
    if facts.rows < policy.least_rows:
        sentence = f"{facts.rows:,} sampled rows"
        missing = f"{policy.least_rows - facts.rows:,} more rows"
        return Verdict(Outcome.HOLD, "DRI-221", sentence, missing), dict(facts.before)
    after = dict(facts.before)
    far: dict[str, float] = {}
    of = facts.by_detector
    for name, r in of.items():
        state = facts.before.get(name, ShiftState())
        t, freedom = state.level.distance(r.value, r.error)
        log_e = log_rise(t, freedom)
        if name != TOLD_APART:  # rows that are less easily told apart are no fault
            log_e = log_either(log_e, log_rise(-t, freedom))
        apart = r.value - state.level.mean
        far_off = apart if name == TOLD_APART else abs(apart)
        matters = far_off >= policy.least_change(name)
        deviation = state.level.deviation(r.error)
        step = DetectorStep(r.value, log_e, deviation, matters, facts.block, False)
        known = state.alarmed or state.level.blocks >= policy.least_blocks
        held = advance(state, step, policy.alarm_at, policy.close_at) if known else ShiftState()
        if not held.alarmed:
            # Each new block is compared with all before it, or they would share one bad level.
            learned = state.learned.with_block(r.value)
            held = replace(held, level=learned, learned=learned)
        after[name] = held
        if known:
            far[name] = far_off if matters and abs(t) > _UNUSUAL else 0.0
    alarmed = [name for name, state in after.items() if state.alarmed and name in of]
    if alarmed:
        worst = max(alarmed, key=lambda name: (name != TOLD_APART, abs(after[name].fault)))
        sides = describe_reading(of[worst], facts.before[worst])
        return Verdict(Outcome.FAIL, "DRI-223", f"{sides}, n={facts.rows:,} rows"), after
    unseen = sorted(name for name, state in after.items() if state.alarmed)
    if unseen:
        why = "one of them hardly varies, so that what was found cannot be seen"
        sentence, missing = f"{unseen[0]}: {why}", "rows in which both vary"
        if unseen[0] == TOLD_APART:
            sentence = f"{TOLD_APART}: too few earlier rows, or too few features with values"
            missing = "rows to tell apart"
        return Verdict(Outcome.HOLD, "DRI-222", sentence, missing), after
    if not far:
        known = max((s.level.blocks for s in facts.before.values()), default=0.0)
        sentence = f"{len(facts.readings)} pairs, {known:.0f} earlier blocks"
        missing = f"{max(1, math.ceil(policy.least_blocks - known))} more blocks"
        return Verdict(Outcome.HOLD, "DRI-221", sentence, missing), after
    worst = max(far, key=lambda name: far[name] / policy.least_change(name))
    if far[worst] > 0.0:
        sides = describe_reading(of[worst], facts.before[worst])
        value = after[worst].value
        missing = f"more blocks: evidence {value:.3g} of {policy.alarm_at:.3g}"
        return Verdict(Outcome.HOLD, "DRI-222", f"{sides}: not known yet to last", missing), after
    sentence = f"{len(far.keys() - {TOLD_APART})} pairs go together as before"
    if TOLD_APART in far and facts.domain is not None:
        usual = facts.before[TOLD_APART].level.mean
        sentence = (
            f"{sentence}, rows told apart from earlier ones with AUC {facts.domain.value:.2f}"
            if usual <= _MOST_AREA
            else f"{sentence}; together they cannot be judged, for healthy days are told apart as "
            f"it is (AUC {usual:.2f})"
        )
    return Verdict(Outcome.PASS, "DRI-220", f"{sentence}, n={facts.rows:,} rows"), after


def describe_reading(reading: PairReading | DomainReading, state: ShiftState) -> str:
    """What the association of a pair, or the area by which rows are told apart, is and usually
    was."""
    reach = 2.0 * math.sqrt(state.level.spread()[0])
    usual = f"{max(state.level.mean - reach, 0.0):.2f} to {min(state.level.mean + reach, 1.0):.2f}"
    if isinstance(reading, PairReading):
        what = f"association of {reading.pair}"
        return f"{what} {reading.value:.2f}, usually {usual}"
    named = ", ".join(name for name, _ in reading.features[:_NAMED])
    by = f", most by how {named} go together" if named else ""
    what = "rows told apart from earlier ones with AUC"
    return f"{what} {reading.value:.2f}, usually {usual}{by}"
