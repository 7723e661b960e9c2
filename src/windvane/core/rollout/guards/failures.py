"""Answers that a version owed and did not give, and answers that came late."""

from __future__ import annotations

import math
from typing import ClassVar

from windvane.core.rollout.facts import FAILED, SLOW, GateFacts
from windvane.core.rollout.guards.base import MOST_UNITS, Guard, least, units_in_words
from windvane.core.rollout.policy import GatePolicy
from windvane.core.statistics import log_noninferiority_evidence, log_staged_evidence
from windvane.core.verdict import Outcome, Verdict, log_beta_evidence

_SMALLEST = 1e-6  # a limit of none or all allows no evidence: this is as good as that
_AS_BAD_WOULD_SHOW = 3.0  # failures that a champion's rate leads one to expect: none is rare then
_OF_FIRST_EVENTS = 0.75  # of the evidence of errors


class Errors(Guard):
    """Units that failed for the first time, in either arm: the challenger's part of them tells
    whether it fails more often, however active units are and whatever the share was."""

    title: ClassVar[str] = "Errors"
    weight: ClassVar[float] = 0.6

    def judge(self, facts: GateFacts, policy: GatePolicy, now: float) -> Verdict:
        counts = facts.counts(FAILED)
        log_e, level = self.evidence(facts), self.level(policy)
        sides = (
            f"errors: {sum(c[0] for c in counts)} challenger units against "
            f"{sum(c[1] for c in counts)} champion units at {facts.now.stage.share:.0%} share, "
            f"evidence {math.exp(min(log_e, 50.0)):.3g}"
        )
        if log_e >= level:
            return Verdict(Outcome.FAIL, "ROL-301", f"{sides} >= {math.exp(level):.3g}")
        return _may_go_on(facts, policy, now, FAILED, policy.advance_error_rate, "ROL-301")

    def evidence(self, facts: GateFacts) -> float:
        """Of first events in the whole rollout, and of each stage's first requests, in which a unit
        that failed before may fail again: a mean of e-values, with weights that are fixed
        beforehand. Source: Vovk & Wang, arXiv 1912.06116."""
        logs = [math.log(_OF_FIRST_EVENTS) + log_staged_evidence(facts.counts(FAILED))]
        rest = 1.0 - _OF_FIRST_EVENTS
        for one in facts.stages:
            rest /= 2.0
            logs.append(math.log(rest) + log_staged_evidence([one.requests(FAILED)]))
        logs.append(math.log(rest))  # of stages that have not begun: no evidence, 1
        top = max(logs)
        return top + math.log(sum(math.exp(one - top) for one in logs))


class ErrorRate(Guard):
    """The limit of last resort: over it, by units' first requests in the stage, and worse than the
    champion. A champion that is over it as well is an incident, not a rollback."""

    title: ClassVar[str] = "Limit of errors"
    weight: ClassVar[float] = 0.1

    def judge(self, facts: GateFacts, policy: GatePolicy, now: float) -> Verdict:
        del now
        limit = _inside(policy.max_error_rate)
        over = _is_over(facts, policy, FAILED, limit, self.level(policy))
        sides = _rates(facts, FAILED, f"{limit:.1%} allowed")
        return Verdict(Outcome.FAIL if over else Outcome.PASS, "ROL-302", sides)


class SlowAnswers(Guard):
    """First requests in the stage that took longer than its limit, which few of the champion's
    did before."""

    title: ClassVar[str] = "Slow answers"
    weight: ClassVar[float] = 0.1

    def judge(self, facts: GateFacts, policy: GatePolicy, now: float) -> Verdict | None:
        stage = facts.now
        arms = stage.challenger, stage.champion
        if stage.stage.slow_us is None or (
            all(a.units for a in arms) and not any(a.seen(SLOW) for a in arms)
        ):  # of requests whose rows are all of both arms nobody can tell which is slow
            return None
        limit = _inside(policy.slow_share)
        if _is_over(facts, policy, SLOW, limit, self.level(policy)):
            sides = _rates(facts, SLOW, f"{limit:.1%} may be")
            return Verdict(Outcome.FAIL, "ROL-303", sides)
        return _may_go_on(facts, policy, now, SLOW, limit, "ROL-303")


def units_without_failure(policy: GatePolicy, next_share: float) -> int:
    """So many units of a stage have to come, none of which fails, before it may go on."""
    limit = _inside(policy.advance_error_rate / math.sqrt(next_share))
    wanted = math.log(1.0 / policy.alpha)
    return max(policy.min_units, least(lambda n: _log_below(n, 0, limit) >= wanted))


def _inside(limit: float) -> float:
    return min(max(limit, _SMALLEST), 1.0 - _SMALLEST)


def _is_over(facts: GateFacts, policy: GatePolicy, what: str, limit: float, level: float) -> bool:
    """By the present stage's first requests: over the limit, and more than the champion's."""
    mine, others = facts.now.challenger, facts.now.champion
    bad, seen = mine.of(what), mine.seen(what)
    if log_beta_evidence(bad, seen - bad, limit, 1.0, 1.0) < level:
        return False
    if not others.seen(what):  # there is nobody to be worse than
        return seen >= policy.min_units
    return log_staged_evidence([facts.now.requests(what)]) >= level


def _may_go_on(
    facts: GateFacts, policy: GatePolicy, now: float, what: str, limit: float, code: str
) -> Verdict:
    """By evidence of the present stage alone: that it happens to less than ``limit`` of the units'
    first requests, or to less than so many times as many as of the champion's, and there are so
    many units that they would show it. Both are wider before a smaller share: fewer units would be
    hurt. What earlier stages showed says nothing of how the version is now."""
    wanted = math.log(1.0 / policy.alpha)
    wider = 1.0 / math.sqrt(facts.next_share)
    limit, ratio = _inside(limit * wider), 1.0 + (policy.max_ratio - 1.0) * wider
    mine, counts = facts.now.challenger, facts.now.requests(what)
    n, bad = mine.seen(what), mine.of(what)
    needed = _needed(facts, policy, what)
    sides = _rates(facts, what, f"{limit:.1%} or {ratio:.2g}x the champion's allowed")
    if n >= policy.min_units and _log_below(n, bad, limit) >= wanted:
        return Verdict(Outcome.PASS, code, sides)
    similar = log_noninferiority_evidence([counts], ratio)
    if n >= needed and similar >= wanted:
        return Verdict(Outcome.PASS, code, sides)
    alone = least(lambda more: _log_below(n + more, bad, limit) >= wanted)
    few = max(needed - n, 1)
    beside = few if similar >= wanted else _until_similar(counts, n, ratio, wanted)
    more = max(min(alone, beside), policy.min_units - n)
    without = " without one" if alone <= beside else ""
    return Verdict(Outcome.HOLD, code, sides, units_in_words(more, facts, now) + without)


def _needed(facts: GateFacts, policy: GatePolicy, what: str) -> int:
    """Units of a stage among which a few would be bad at the champion's rate."""
    others = facts.now.champion
    rate = (others.of(what) + 0.5) / (others.seen(what) + 1.0)
    return max(policy.min_units, math.ceil(_AS_BAD_WOULD_SHOW / rate))


def _until_similar(counts: tuple[int, int, float], units: int, ratio: float, wanted: float) -> int:
    """Units until there is ``wanted`` (log) evidence of similar rates, were they equal from now on
    and as many as until now."""
    mine, others, share = counts
    if not mine + others or not units:
        return MOST_UNITS
    each = (mine + others) / units

    def enough(more: int) -> bool:
        came = more * each
        ahead = (round(came * share), round(came * (1.0 - share)), share)
        return log_noninferiority_evidence([counts, ahead], ratio) >= wanted

    return least(enough)


def _log_below(n: int, bad: int, limit: float) -> float:
    """Log evidence that the rate is under ``limit``."""
    return log_beta_evidence(n - bad, bad, 1.0 - limit, 1.0, 1.0)


def _rates(facts: GateFacts, what: str, allowed: str) -> str:
    slow_us = facts.now.stage.slow_us or 0.0
    named = "failed" if what == FAILED else f"slower than {slow_us / 1e3:.3g} ms"
    arms = [
        f"{arm.of(what) / arm.seen(what):.2%} of {arm.seen(what):,}" if arm.seen(what) else "none"
        for arm in (facts.now.challenger, facts.now.champion)
    ]
    return (
        f"first requests {named}: {arms[0]} challenger units, {arms[1]} champion units; {allowed}"
    )
