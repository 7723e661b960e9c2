"""Judge the share of bad events in a window against an allowed one, by an e-detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from windvane.core.verdict.dispersion import Dispersion
from windvane.core.verdict.outcome import Outcome, Verdict

_LARGEST = 1e300
_SMALLEST = 1e-6  # a share of none or all allows no evidence: this is as good as that
# Odds of the shares that are bet on: of each the ones before times a factor, up to almost all.
_FIRST_ODDS = 1.5
_LAST_ODDS = 50.0
_BETS = 7


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """``allowed`` is the share that may be bad; ``alarm_at`` the e-detector's threshold, and
    ``close_at`` that of the evidence by which an alarm ends; ``code`` the subject's three letters
    and ``what`` its word for bad. ``clustered``: how many rows count as one until it is learned.
    ``known_from``: how many rows have to be known of the stream before it passes; where that is
    asked, a window above the allowance that is no evidence yet is no pass either.
    """

    allowed: float
    alarm_at: float
    code: str
    what: str
    min_seen: int = 10
    clustered: float = 10.0
    close_at: float = 50.0
    revision: int = 2
    known_from: int = 0


@dataclass(frozen=True, slots=True)
class Bet:
    """The e-detector against one share: its ``value``, and its ``peak`` since the window
    ``since`` by which a change began, if one did."""

    value: float = 0.0
    peak: float = 0.0
    since: float = 0.0

    def after(self, log_e: float, window: float) -> Bet:
        since = window if self.peak <= 1.0 else self.since
        peak = min(max(self.peak, 1.0) * _exp(log_e), _LARGEST)
        return Bet(_step(self.value, log_e), peak, since)


@dataclass(frozen=True, slots=True)
class RateState:
    """The e-detector between windows: a bet on each of several shares, least first.

    While it is ``alarmed``, ``calm`` is the evidence that the fault is over, and ``fault`` the
    share that was bet on best when it rose. ``dispersion`` is what judges; ``learned`` has the
    windows since the evidence began to rise, too, and takes its place once that came to nothing.
    Else a fault would pass for the stream's own way to vary before it is found.
    """

    bets: tuple[Bet, ...] = ()
    since: float = 0.0
    alarmed: bool = False
    calm: float = 0.0
    fault: float = 0.0
    over: int = 0
    dispersion: Dispersion = field(default_factory=Dispersion)
    learned: Dispersion = field(default_factory=Dispersion)

    @property
    def value(self) -> float:
        return sum(bet.value for bet in self.bets) / max(len(self.bets), 1)

    def anew(self) -> RateState:
        """As before any evidence; what was learned stays."""
        return RateState(dispersion=self.dispersion, learned=self.dispersion)

    def recovered(self) -> RateState:
        """After an alarm that ended by itself."""
        kept = self.learned if self.over <= 1 else self.dispersion
        return RateState(dispersion=kept, learned=kept)


@dataclass(frozen=True, slots=True)
class RateFacts:
    """One window of one subject, and the detector before it. ``measured``: the share itself where
    ``bad`` is a sum of parts, rounded to a whole number."""

    subject: str
    window: float
    bad: int
    good: int
    before: RateState
    measured: float | None = None


def judge_rate(facts: RateFacts, policy: RatePolicy, now: float) -> tuple[Verdict, RateState]:
    """The verdict and the detector after the window.

    The window's e-values test "the bad share is at most ``allowed``" against larger ones, where
    as many rows as the stream's design effect count as one: the mean of a likelihood ratio to
    the power 1/d is at most 1 where up to d rows share their fate. An alarm closes by such
    evidence the other way: that the share is not at least half-way (in logarithms) from what is
    allowed to what it was when the alarm rose, in a window within the allowance.
    """
    del now
    seen, before = facts.bad + facts.good, facts.before
    known = round(before.dispersion.rows)
    short = max(1, policy.known_from - known)
    if seen == 0 and policy.known_from:
        of = f", {known:,} of {policy.known_from:,} rows until now" if short > 1 else ""
        message = f"{facts.subject}: no row was compared{of}"
        return Verdict(
            Outcome.HOLD, f"{policy.code}-201", message, f"{short:,} compared rows"
        ), before
    if seen == 0:
        message = f"{facts.subject}: no requests"
        return Verdict(Outcome.HOLD, f"{policy.code}-201", message, "1 request"), before
    rate = facts.bad / seen if facts.measured is None else facts.measured
    sides = f"{facts.subject}: {policy.what} {rate:.1%}, {policy.allowed:.1%} allowed, n={seen:,}"
    effect = before.dispersion.effect(seen, policy.clustered)
    bad, good = facts.bad / effect, facts.good / effect
    allowed = min(max(policy.allowed, _SMALLEST), 1.0 - _SMALLEST)
    if before.alarmed:
        middle = math.sqrt(allowed * max(before.fault, allowed))
        calm = _step(before.calm, _log_ratio(bad, good, allowed / 2.0, middle))
        after = replace(
            before,
            calm=calm,
            over=before.over + (rate > policy.allowed),
            learned=before.learned.with_window(facts.bad, seen),
        )
        if calm >= policy.close_at and rate <= policy.allowed:
            return Verdict(Outcome.PASS, f"{policy.code}-200", sides), after.recovered()
        return Verdict(Outcome.FAIL, f"{policy.code}-203", sides), after
    held = before.bets or (Bet(),) * _BETS
    shares = _shares(allowed)
    bets = tuple(
        bet.after(_log_ratio(bad, good, share, allowed), facts.window)
        for bet, share in zip(held, shares, strict=True)
    )
    peak, fault = max(zip(bets, shares, strict=True), key=lambda one: one[0].peak)
    after = replace(before, bets=bets, since=peak.since)
    learned = before.learned.with_window(facts.bad, seen)
    if after.value >= policy.alarm_at and rate > policy.allowed and seen >= policy.min_seen:
        after = replace(after, alarmed=True, fault=fault, over=1, learned=learned)
        return Verdict(Outcome.FAIL, f"{policy.code}-203", sides), after
    used = learned if peak.peak <= 1.0 else before.dispersion
    after = replace(after, dispersion=used, learned=learned)
    if seen < policy.min_seen:
        short = f"{policy.min_seen - seen} requests"
        return Verdict(Outcome.HOLD, f"{policy.code}-202", sides, short), after
    if known < policy.known_from:
        sides += f"; {known:,} of {policy.known_from:,} rows compared before"
        return Verdict(Outcome.HOLD, f"{policy.code}-202", sides, f"{short:,} compared rows"), after
    if policy.known_from and rate > policy.allowed:
        more = _rows_to_tell(rate / effect, (1.0 - rate) / effect, allowed, bets, policy.alarm_at)
        wanted = "more compared rows" if more is None else f"{more:,} more compared rows like these"
        sides += f"; {wanted} would tell"
        return Verdict(Outcome.HOLD, f"{policy.code}-202", sides, wanted), after
    return Verdict(Outcome.PASS, f"{policy.code}-200", sides), after


def _rows_to_tell(
    bad: float, good: float, allowed: float, bets: Sequence[Bet], alarm_at: float
) -> int | None:
    """After how many rows more, each so much ``bad`` and ``good``, one of the bets would raise the
    alarm by itself; None where none would."""
    found: list[float] = []
    for bet, share in zip(bets, _shares(allowed), strict=True):
        gain = _log_ratio(bad, good, share, allowed)
        if gain > 0.0:
            missing = math.log(alarm_at * len(bets)) - math.log1p(bet.value)
            found.append(max(1.0, missing / gain))
    return math.ceil(min(found)) if found else None


def _shares(allowed: float) -> tuple[float, ...]:
    """What is bet on: from somewhat more than is allowed to almost all."""
    odds = allowed / (1.0 - allowed)
    first = _FIRST_ODDS * odds
    growth = (max(_LAST_ODDS, 2.0 * first) / first) ** (1.0 / (_BETS - 1))
    return tuple(1.0 - 1.0 / (1.0 + first * growth**i) for i in range(_BETS))


def _log_ratio(bad: float, good: float, share: float, null: float) -> float:
    """Of the likelihoods of the counts at two shares."""
    return bad * math.log(share / null) + good * (math.log1p(-share) - math.log1p(-null))


def _exp(log_e: float) -> float:
    return math.exp(min(log_e, 600.0))


def _step(value: float, log_e: float) -> float:
    """One step of the e-detector, within what a float holds."""
    return min((1.0 + value) * _exp(log_e), _LARGEST)
