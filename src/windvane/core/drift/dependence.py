"""Do two features still go together as they did, whatever became of each by itself?

Rows that are joined wrongly leave every feature as it was and their dependence gone. Of each pair
a block of rows gives one number, the association of a table of a few groups each, once its margins
are made equal, so that it says nothing of the features alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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
    """A block of sampled ``rows``, and the detectors before it, by pair."""

    block: float
    rows: int
    readings: tuple[PairReading, ...]
    before: Mapping[str, ShiftState]


@dataclass(frozen=True, slots=True)
class DependencePolicy:
    """``alarm_at`` is the detectors' threshold, ``close_at`` that of the evidence by which an alarm
    ends, ``material`` the least change of an association that matters. A pair is judged once
    ``least_blocks`` are known: two weeks of days, so that a weekend is no change."""

    alarm_at: float
    least_rows: int
    least_blocks: int = 14
    material: float = 0.15
    close_at: float = 50.0
    revision: int = 1


def judge_dependence(
    facts: DependenceFacts, policy: DependencePolicy, now: float
) -> tuple[Verdict, Mapping[str, ShiftState]]:
    """The verdict on a block, and the detectors after it. FAIL names the pair that changed most;
    HOLD where rows or earlier blocks are too few, where a pair is further from its level than
    healthy blocks are without the evidence for an alarm, and where one that was found could not be
    measured."""
    del now
    if facts.rows < policy.least_rows:
        sentence = f"{facts.rows:,} sampled rows"
        missing = f"{policy.least_rows - facts.rows:,} more rows"
        return Verdict(Outcome.HOLD, "DRI-221", sentence, missing), dict(facts.before)
    after = dict(facts.before)
    far: dict[str, float] = {}
    for r in facts.readings:
        state = facts.before.get(r.pair, ShiftState())
        t, freedom = state.level.distance(r.value, r.error)
        log_e = log_either(log_rise(t, freedom), log_rise(-t, freedom))
        apart = r.value - state.level.mean
        matters = abs(apart) >= policy.material
        deviation = state.level.deviation(r.error)
        step = DetectorStep(r.value, log_e, deviation, matters, facts.block, False)
        known = state.alarmed or state.level.blocks >= policy.least_blocks
        held = advance(state, step, policy.alarm_at, policy.close_at) if known else ShiftState()
        if not held.alarmed:
            # Each new block is compared with all before it, or they would share one bad level.
            learned = state.learned.with_block(r.value)
            held = replace(held, level=learned, learned=learned)
        after[r.pair] = held
        if known:
            far[r.pair] = abs(apart) if matters and abs(t) > _UNUSUAL else 0.0
    of = {r.pair: r for r in facts.readings}
    alarmed = [pair for pair, state in after.items() if state.alarmed and pair in of]
    if alarmed:
        worst = max(alarmed, key=lambda pair: abs(after[pair].fault))
        sides = describe_pair(of[worst], facts.before[worst])
        return Verdict(Outcome.FAIL, "DRI-223", f"{sides}, n={facts.rows:,} rows"), after
    unseen = sorted(pair for pair, state in after.items() if state.alarmed)
    if unseen:
        sentence = f"{unseen[0]}: one of them hardly varies, so that what was found cannot be seen"
        return Verdict(Outcome.HOLD, "DRI-222", sentence, "rows in which both vary"), after
    unknown = [pair for pair in of if pair not in far]
    if not of or len(unknown) == len(of):
        known = max((s.level.blocks for s in facts.before.values()), default=0.0)
        sentence = f"{len(of)} pairs, {known:.0f} earlier blocks"
        missing = f"{max(1, math.ceil(policy.least_blocks - known))} more blocks"
        return Verdict(Outcome.HOLD, "DRI-221", sentence, missing), after
    worst = max(far, key=lambda pair: far[pair])
    if far[worst] > 0.0:
        sides = describe_pair(of[worst], facts.before[worst])
        value = after[worst].value
        missing = f"more blocks: evidence {value:.3g} of {policy.alarm_at:.3g}"
        return Verdict(Outcome.HOLD, "DRI-222", f"{sides}: not known yet to last", missing), after
    sentence = f"{len(far)} pairs go together as before, n={facts.rows:,} rows"
    return Verdict(Outcome.PASS, "DRI-220", sentence), after


def describe_pair(reading: PairReading, state: ShiftState) -> str:
    """What the association is and usually was."""
    reach = 2.0 * math.sqrt(state.level.spread()[0])
    usual = f"{max(state.level.mean - reach, 0.0):.2f} to {min(state.level.mean + reach, 1.0):.2f}"
    return f"association of {reading.pair} {reading.value:.2f}, usually {usual}"
