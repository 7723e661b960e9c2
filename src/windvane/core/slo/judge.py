"""Judge whether an objective's error budget burns fast enough to tell somebody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy

from windvane.core.slo.budget import BurnRule, budget_left, burn_rate, projected
from windvane.core.slo.ring import Tally
from windvane.core.verdict import Outcome, Verdict, log_beta_evidence, span_in_words

BUDGET_SPENT = "SLO-214"
_CALM_BELOW = 0.8  # of the factor: an alarm at its own limit does not flutter
_CALM_EVIDENCE = math.log(20.0)
_NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class SloPolicy:
    """``allowed``: the share of events that may be bad over ``over_s`` seconds. ``alarm_at``: one
    over the chance that a window without cause begins an alarm. ``min_bad``: fewer bad events tell
    nobody anything, however few there were in all; as few events in all end no alarm. ``events``:
    what they are, in plural."""

    allowed: float
    over_s: float
    rules: tuple[BurnRule, ...]
    alarm_at: float
    min_bad: int = 5
    revision: int = 2
    events: str = "requests"


@dataclass(frozen=True, slots=True)
class Burning:
    """One rule between windows: when its short span began to burn (``onset``, s), since when it
    sounds (None: it does not), and since when it is calm while it sounds, with what was seen
    meanwhile."""

    onset: float | None = None
    since: float | None = None
    calm_since: float | None = None
    calm: Tally = _NOTHING


@dataclass(frozen=True, slots=True)
class SpanTally:
    """What a rule's long and short spans hold."""

    long: Tally
    short: Tally


@dataclass(frozen=True, slots=True)
class SloFacts:
    """One window [``start``, ``end``) of one objective (s), counted since ``began``: its own
    events, those of the budget's span and of each rule's, and the rules before it. So many events
    count ``as_one`` as evidence, for they may go wrong together."""

    objective: str
    start: float
    end: float
    began: float
    window: Tally
    budget: Tally
    spans: tuple[SpanTally, ...]
    before: tuple[Burning, ...]
    as_one: float = 1.0


@dataclass(frozen=True, slots=True)
class BurnReading:
    """How many times as fast as it lasts the budget burns over a rule's spans; whether both are at
    its factor (``loud``), and whether the evidence is enough for an alarm (``proven``)."""

    rule: BurnRule
    long: float
    short: float
    loud: bool
    proven: bool


def read_burn_rates(facts: SloFacts, policy: SloPolicy) -> tuple[BurnReading, ...]:
    """The burn rates of every rule."""
    seen_s = facts.end - facts.began
    out: list[BurnReading] = []
    for rule, held in zip(policy.rules, facts.spans, strict=True):
        long = burn_rate(held.long, policy.allowed, projected(seen_s, rule.long_s))
        short = burn_rate(held.short, policy.allowed, projected(seen_s, rule.short_s))
        loud = rule.within_reach(policy.allowed) and min(long, short) >= rule.factor
        out.append(
            BurnReading(rule, long, short, loud, loud and _proven(held.long, policy, facts.as_one))
        )
    return tuple(out)


def judge_slo(
    facts: SloFacts, policy: SloPolicy, now: float
) -> tuple[Verdict, tuple[Burning, ...]]:
    """The verdict, and the rules after the window.

    A rule begins to sound where both its spans burn at its factor and chance does not explain it:
    at least ``min_bad`` bad events, and at the objective's own rate so many have a probability of
    at most 1 / ``alarm_at`` (exact, binomial; of fewer where several count ``as_one``). It ends
    once its short span burned slower for as long as it is, and either an e-process says that the
    rate is below the factor, or the long span burns slower as well and ``min_bad`` events came
    meanwhile: few requests take days to prove what the spans say already. A window without events
    changes nothing: not knowing neither begins nor ends an alarm.
    """
    del now
    tallies = (facts.window, facts.budget, *(t for s in facts.spans for t in (s.long, s.short)))
    if any(not 0 <= t.bad <= t.total for t in tallies):
        sides = f"{facts.objective}: more bad events than events, or fewer than none"
        return Verdict(Outcome.ERROR, "SLO-215", sides), facts.before
    if not facts.window.total:
        line, short = f"{facts.objective}: no {policy.events}", f"1 {policy.events[:-1]}"
        verdict = Verdict(Outcome.HOLD, "SLO-211", line, short)
        return verdict, facts.before
    readings = read_burn_rates(facts, policy)
    after = tuple(
        _step(held, reading, facts, policy)
        for held, reading in zip(facts.before, readings, strict=True)
    )
    return _verdict(facts, policy, readings, after), after


def _verdict(
    facts: SloFacts,
    policy: SloPolicy,
    readings: Sequence[BurnReading],
    after: Sequence[Burning],
) -> Verdict:
    part = projected(facts.end - facts.began, policy.over_s)
    left = budget_left(facts.budget, policy.allowed, part)
    wanted = f"{1.0 - policy.allowed:.6%}".rstrip("0%").rstrip(".") + "%"
    window_s = facts.end - facts.start
    over, n = span_in_words(policy.over_s), facts.budget.total
    sides = f"{facts.objective}: {wanted} wanted"
    budget = f"{sides}, {left:.0%} of the budget of {over} left, n={n:,}"
    sounding = [r for r, held in zip(readings, after, strict=True) if held.since is not None]
    if sounding:
        worst = max(sounding, key=lambda r: (r.rule.page, min(r.long, r.short) / r.rule.factor))
        line = (
            f"{sides}, {_burns(worst, window_s)}; {left:.0%} of the budget of {over} left, n={n:,}"
        )
        return Verdict(Outcome.FAIL, "SLO-213", line)
    unproven = next((r for r in readings if r.loud), None)
    if unproven is not None:
        held = facts.spans[list(readings).index(unproven)].long
        missing = math.ceil(policy.min_bad * facts.as_one) - held.bad
        short = f"{max(1, missing)} more failures, or as many {policy.events} without"
        line = f"{sides}, {_burns(unproven, window_s)}, by {held.bad:,} of {held.total:,} alone"
        return Verdict(Outcome.HOLD, "SLO-212", line, short)
    needed = math.ceil(1.0 / policy.allowed - 1e-9)
    if n < needed:
        line = f"{sides}, n={n:,}, {needed:,} needed to tell"
        return Verdict(Outcome.HOLD, "SLO-212", line, f"{needed - n:,} {policy.events}")
    if left < 0.0:
        return Verdict(Outcome.FAIL, BUDGET_SPENT, budget)
    return Verdict(Outcome.PASS, "SLO-210", budget)


def _step(held: Burning, reading: BurnReading, facts: SloFacts, policy: SloPolicy) -> Burning:
    rule = reading.rule
    if held.since is None:
        if reading.short < rule.factor:
            return Burning()
        onset = facts.start if held.onset is None else held.onset
        return Burning(onset, onset if reading.proven else None)
    if not rule.within_reach(policy.allowed):  # by a file that was applied since
        return Burning()
    if reading.short >= rule.factor:
        calm_since, calm = None, Tally()
    elif held.calm_since is None and reading.short >= _CALM_BELOW * rule.factor:
        return held
    else:
        calm_since = facts.start if held.calm_since is None else held.calm_since
        calm = held.calm + facts.window
        lasted = facts.end - calm_since >= rule.short_s
        slow = reading.long < _CALM_BELOW * rule.factor and calm.total >= policy.min_bad
        if lasted and (slow or _is_proven_calm(calm, rule.factor * policy.allowed)):
            return Burning()
    return Burning(held.onset, held.since, calm_since, calm)


def _proven(tally: Tally, policy: SloPolicy, as_one: float) -> bool:
    bad, good = tally.bad / as_one, (tally.total - tally.bad) / as_one
    if bad < policy.min_bad or math.isinf(policy.alarm_at):  # who only reads, judges nothing
        return False
    chance = float(
        scipy.special.betainc(bad, good + 1.0, policy.allowed)
    )  # P(at least so many bad | the objective's own rate)
    return chance <= 1.0 / policy.alarm_at


def _is_proven_calm(calm: Tally, limit: float) -> bool:
    """Whether an e-value says that the bad share is below ``limit``, however often one looks."""
    log_e = log_beta_evidence(calm.total - calm.bad, calm.bad, 1.0 - limit, 1.0, 1.0)
    return log_e >= _CALM_EVIDENCE


def _burns(reading: BurnReading, window_s: float) -> str:
    """With its spans as they are: none is shorter than a window."""
    rule = reading.rule
    long, short = (
        span_in_words(max(rule.long_s, window_s)),
        span_in_words(max(rule.short_s, window_s)),
    )
    return (
        f"burns {reading.long:.3g}x over {long} and {reading.short:.3g}x over "
        f"{short}, {rule.factor:g}x {'pages' if rule.page else 'is a ticket'}"
    )
