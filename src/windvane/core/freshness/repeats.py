"""Judge whether a source repeats itself, or is stuck, by fingerprints of what it serves.

The rows of a block of time have a histogram of fingerprints. Of a source that is alive, that of an
hour ago, of yesterday or of last week is no more like it than it usually is; of one that serves
what it served then, it nearly is the same. And where all rows have few values, it is stuck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import FINGERPRINTS
from windvane.core.sketch import NumericAxis
from windvane.core.verdict import Outcome, Verdict, p_to_e, span_in_words

Counts = NDArray[np.int64]
HOUR_S, DAY_S, WEEK_S = 3_600.0, 86_400.0, 7 * 86_400.0
STUCK = "stuck"
"""The stream of how few values there are; the others are called by their lag in seconds."""
MOST_PAST = 336  # two weeks of hours
_UPPER = 0.95
_LEAST_LIKE = 0.5
_LIKE_ALWAYS = 0.8
_TIMES_FEWER = 4.0
_LEAST_STUCK = 0.1
_STUCK_ALWAYS = 0.9
_SHRINK = 0.5
_FULL = 0.8  # of the bins: what is not there says little
_LARGEST = 1e300


def fingerprint_axis(name: str) -> NumericAxis:
    """A bin for each fingerprint; null where a row has none of a view's values."""
    return NumericAxis(name, tuple(float(i) for i in range(FINGERPRINTS - 1)))


def block_seconds_of(window_s: float) -> float:
    """How long a block is: an hour, or a window where that is longer."""
    return max(HOUR_S, window_s)


def lags_of(block_s: float) -> tuple[float, ...]:
    """The lags at which a block is compared (s): one block, a day, a week."""
    whole = (lag for lag in (block_s, DAY_S, WEEK_S) if lag % block_s == 0.0)
    return tuple(dict.fromkeys(whole))


def similarity(now: Counts, before: Counts) -> float | None:
    """How much of what is served ``now`` was served ``before``: 1 of the same, about 0 of
    fingerprints that have nothing to do with each other; None where one is even or empty.

    The greater of two: Pearson's correlation of the histograms, and the share of the rows whose
    fingerprint was there before, less what chance gives (as Cohen's kappa has it). The first needs
    the same mix of rows, the second fingerprints that were not there.
    """
    a, b = now - now.mean(), before - before.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    if norm <= 0.0:
        return None
    correlation = float(np.clip((a @ b) / norm, -1.0, 1.0))
    there = before > 0
    by_chance = float(there.mean())
    if by_chance > _FULL:
        return correlation
    share = float(now[there].sum()) / float(now.sum())
    return max(correlation, (share - by_chance) / (1.0 - by_chance))


def concentration(counts: Counts) -> float | None:
    """The chance that two rows have the same fingerprint, unbiased whatever their number (Simpson's
    index): 1 where all are alike, 1/256 where each is its own. None of fewer than two rows."""
    rows = int(counts.sum())
    return float(counts @ (counts - 1)) / (rows * (rows - 1.0)) if rows > 1 else None


@dataclass(frozen=True, slots=True)
class RepeatPolicy:
    """``alarm_at``: the e-detector's threshold, of one look a block; ``min_rows``: the least rows
    of a block; ``least_past``: how many blocks of a stream have to be known, over ``least_past_s``
    (s) at least, so that nights and weekends are among them; ``calm``: how many blocks in a row
    that are as usual end an alarm."""

    alarm_at: float
    min_rows: int
    least_past: int = 50
    least_past_s: float = WEEK_S
    calm: int = 2
    revision: int = 1


@dataclass(frozen=True, slots=True)
class RepeatReading:
    """A stream's ``value`` in a block (None: nothing to compare with, or too few rows) beside what
    was ``usual`` (median) and the least that counts as a fault (``limit``; both None while too
    little is known). ``above``: how many of the ``known`` healthy blocks had as much. ``blind``: a
    fault would look as this always does."""

    stream: str
    value: float | None
    usual: float | None = None
    limit: float | None = None
    above: int = 0
    known: int = 0
    blind: bool = False

    @property
    def judged(self) -> bool:
        return self.value is not None and self.limit is not None and not self.blind

    @property
    def over(self) -> bool:
        return self.judged and (self.value or 0.0) >= (self.limit or 0.0)

    @property
    def calm(self) -> bool:
        """Whether the value is nearer to what is usual than to the limit."""
        nearer = ((self.usual or 0.0) + (self.limit or 0.0)) / 2.0
        return self.judged and (self.value or 0.0) < nearer


@dataclass(frozen=True, slots=True)
class RepeatState:
    """A stream's e-detector between blocks: its ``value``, since when it rises (s, 0.0: it does
    not), the values ``held`` back since then, and how many calm blocks an alarm has had."""

    value: float = 0.0
    since: float = 0.0
    alarmed: bool = False
    calm: int = 0
    held: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RepeatFacts:
    """One block [``start``, ``end``) (s) of one view, and the detectors before it, by stream."""

    view: str
    start: float
    end: float
    rows: int
    readings: tuple[RepeatReading, ...]
    before: Mapping[str, RepeatState] = field(default_factory=dict[str, RepeatState])


@dataclass(frozen=True, slots=True)
class RepeatHistory:
    """What is known of a view: since when (s), its blocks of a week as (number, fingerprint, count,
    fingerprint, count, ...), and the values of healthy blocks by stream, oldest first."""

    began: float = -1.0
    blocks: tuple[tuple[int, ...], ...] = ()
    past: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])

    def block(self, number: int) -> Counts | None:
        for held in reversed(self.blocks):
            if held[0] == number:
                out = np.zeros(FINGERPRINTS, np.int64)
                out[list(held[1::2])] = held[2::2]
                return out
        return None


def read_block(
    history: RepeatHistory, number: int, counts: Counts, block_s: float, policy: RepeatPolicy
) -> tuple[RepeatReading, ...]:
    """The streams of the block of this ``number`` (``counts`` (FINGERPRINTS,)), against the past.

    A similarity counts from half-way between what 95% of healthy blocks had and 1, and from 0.5 on;
    a concentration from four times what 95% had, and from 0.1 on.
    """
    enough = int(counts.sum()) >= policy.min_rows
    known_long = number * block_s - history.began >= policy.least_past_s and history.began >= 0.0
    out: list[RepeatReading] = []
    for lag in lags_of(block_s):
        before = history.block(number - round(lag / block_s)) if enough else None
        usable = before is not None and int(before.sum()) >= policy.min_rows
        value = similarity(counts, before) if usable and before is not None else None
        out.append(_reading(f"{lag:.0f}", value, history, known_long, policy))
    out.append(
        _reading(STUCK, concentration(counts) if enough else None, history, known_long, policy)
    )
    return tuple(out)


def _reading(
    stream: str,
    value: float | None,
    history: RepeatHistory,
    known_long: bool,
    policy: RepeatPolicy,
) -> RepeatReading:
    past = np.array(history.past.get(stream, ()), np.float64)
    if not known_long or len(past) < policy.least_past:
        return RepeatReading(stream, value, known=len(past))
    upper = float(np.quantile(past, _UPPER))
    if stream == STUCK:
        limit = max(_TIMES_FEWER * upper, _LEAST_STUCK)
        blind = limit > _STUCK_ALWAYS
    else:
        limit = max((1.0 + upper) / 2.0, _LEAST_LIKE)
        blind = upper > _LIKE_ALWAYS
    above = 0 if value is None else int(np.count_nonzero(past >= value))
    return RepeatReading(stream, value, float(np.median(past)), limit, above, len(past), blind)


def judge_repeats(
    facts: RepeatFacts, policy: RepeatPolicy, now: float
) -> tuple[Verdict, dict[str, RepeatState]]:
    """The verdict and the detectors after the block.

    The rank of a value among those of healthy blocks is a conformal p-value, its e-value feeds a
    Shiryaev-Roberts detector; what is below the limit is no evidence of a fault, whatever its rank.
    An alarm ends once ``calm`` blocks in a row are nearer to the usual than to the limit.
    """
    del now
    after = {
        one.stream: _step(facts.before.get(one.stream, RepeatState()), one, facts.start, policy)
        for one in facts.readings
    }
    return _verdict(facts, policy, after), after


def _step(
    held: RepeatState, reading: RepeatReading, start: float, policy: RepeatPolicy
) -> RepeatState:
    if not reading.judged or reading.value is None:
        return held
    if held.alarmed:
        calm = held.calm + 1 if reading.calm else 0
        return RepeatState() if calm >= policy.calm else replace(held, calm=calm)
    p = (1.0 + reading.above) / (1.0 + reading.known)
    e = float(p_to_e(np.array([p]))[0])
    if not reading.over:
        return RepeatState(min((1.0 + held.value) * min(e, _SHRINK), _LARGEST))
    value = min((1.0 + held.value) * e, _LARGEST)
    alarmed = value >= policy.alarm_at
    kept = () if alarmed else (*held.held, reading.value)[-MOST_PAST:]
    return RepeatState(value, held.since or start, alarmed, 0, kept)


def learn_block(
    history: RepeatHistory, number: int, counts: Counts, block_s: float, facts: RepeatFacts,
    after: Mapping[str, RepeatState],
) -> RepeatHistory:  # fmt: skip
    """The history with a judged block. What came while the evidence rose is learned once that came
    to nothing, and what came in an alarm never."""
    past = dict(history.past)
    for one in facts.readings:
        state, before = after[one.stream], facts.before.get(one.stream, RepeatState())
        if one.value is None or state.alarmed or before.alarmed or one.over:
            continue
        fresh = (*past.get(one.stream, ()), *before.held, one.value)
        past[one.stream] = fresh[-MOST_PAST:]
    places = np.flatnonzero(counts)
    sparse = (number, *(int(x) for i in places for x in (i, counts[i])))
    oldest = number - round(WEEK_S / block_s)
    blocks = tuple(b for b in history.blocks if oldest < b[0] < number)
    began = number * block_s if history.began < 0.0 else history.began
    return RepeatHistory(began, (*blocks, sparse), past)


def stream_in_words(reading: RepeatReading) -> str:
    """What a reading says, with both sides."""
    value, usual = reading.value or 0.0, reading.usual or 0.0
    if reading.stream == STUCK:
        return (
            f"its rows have about {_distinct(value)} values, usually {_distinct(usual)}, "
            f"{_distinct(reading.limit or 1.0)} are few"
        )
    return (
        f"what it serves is as {span_in_words(float(reading.stream))} before (similarity "
        f"{value:.2f}, usually {usual:.2f}, {reading.limit or 1.0:.2f} is a repeat)"
    )


def _distinct(concentration: float) -> str:
    """How many equally frequent values rows would have that are so concentrated."""
    few = 1.0 / max(concentration, 1.0 / FINGERPRINTS)
    return f"{few:.0f}" if few < FINGERPRINTS / 2 else f"over {FINGERPRINTS // 2}"


def _verdict(facts: RepeatFacts, policy: RepeatPolicy, after: Mapping[str, RepeatState]) -> Verdict:
    sounding = [r for r in facts.readings if after[r.stream].alarmed]
    if sounding:
        # One that has nothing to compare with in this block has no side to name.
        told = [stream_in_words(r) for r in sounding if r.value is not None]
        line = "; ".join(told) or "it repeated itself, and nothing new is known"
        return Verdict(Outcome.FAIL, "FRE-213", f"{facts.view}: {line}, n={facts.rows:,}")
    if facts.rows < policy.min_rows:
        short = f"{policy.min_rows - facts.rows:,} rows"
        line = f"{facts.view}: n={facts.rows:,}, {policy.min_rows:,} needed in a block"
        return Verdict(Outcome.HOLD, "FRE-211", line, short)
    lagged = [r for r in facts.readings if r.stream != STUCK]
    if not any(r.limit is not None for r in facts.readings):
        known = max((r.known for r in facts.readings), default=0)
        line = f"{facts.view}: {known:,} blocks known, {policy.least_past:,} over a week needed"
        return Verdict(Outcome.HOLD, "FRE-211", line, "a week of blocks")
    blind = [r for r in lagged if r.blind]
    if blind and not any(r.judged for r in lagged):
        usual = max(r.usual or 0.0 for r in blind)
        line = (
            f"{facts.view}: it always repeats itself (usual similarity {usual:.2f}), so that a "
            "source that stopped would look the same"
        )
        return Verdict(Outcome.HOLD, "FRE-212", line, "a time of observation")
    rising = max((s.value for s in after.values()), default=0.0)
    line = f"{facts.view}: largest evidence {rising:.3g} < {policy.alarm_at:.3g}, n={facts.rows:,}"
    return Verdict(Outcome.PASS, "FRE-210", line)
