"""Judge the share of bad events in a window against an allowed one, by an e-detector."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from windvane.core.verdict.evidence import log_beta_evidence
from windvane.core.verdict.outcome import Outcome, Verdict

_LARGEST = 1e300
_SMALLEST = 1e-6  # a share of none or all allows no evidence: this is as good as that


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """``allowed`` is the share that may be bad; ``alarm_at`` the e-detector's threshold;
    ``code`` the subject's three letters and ``what`` its word for bad."""

    allowed: float
    alarm_at: float
    code: str
    what: str
    calm_windows: int = 3
    min_seen: int = 10
    revision: int = 1


@dataclass(frozen=True, slots=True)
class RateState:
    """The e-detector between windows; ``peak`` and ``since`` as in a drift stream's state;
    ``calm`` counts healthy windows while alarmed."""

    value: float = 0.0
    peak: float = 0.0
    since: float = 0.0
    alarmed: bool = False
    calm: int = 0


@dataclass(frozen=True, slots=True)
class RateFacts:
    """One window of one subject, and the detector before it."""

    subject: str
    window: float
    bad: int
    good: int
    before: RateState


def judge_rate(facts: RateFacts, policy: RatePolicy, now: float) -> tuple[Verdict, RateState]:
    """The verdict and the detector after the window.

    The window's e-value tests "the bad share is at most ``allowed``" against larger ones,
    mixed uniformly. An alarm closes after ``calm_windows`` windows within the allowance.
    """
    del now
    seen, before = facts.bad + facts.good, facts.before
    if seen == 0:
        message = f"{facts.subject}: no requests"
        return Verdict(Outcome.HOLD, f"{policy.code}-201", message, "1 request"), before
    rate = facts.bad / seen
    sides = f"{facts.subject}: {policy.what} {rate:.1%}, {policy.allowed:.1%} allowed, n={seen:,}"
    if before.alarmed:
        calm = before.calm + 1 if rate <= policy.allowed else 0
        if calm >= policy.calm_windows:
            return Verdict(Outcome.PASS, f"{policy.code}-200", sides), RateState()
        after = replace(before, calm=calm)
        return Verdict(Outcome.FAIL, f"{policy.code}-203", sides), after
    allowed = min(max(policy.allowed, _SMALLEST), 1.0 - _SMALLEST)
    log_e = log_beta_evidence(facts.bad, facts.good, allowed, 1.0, 1.0)
    e = math.exp(min(log_e, 600.0))
    value = min((1.0 + before.value) * e, _LARGEST)
    peak = min(max(before.peak, 1.0) * e, _LARGEST)
    since = facts.window if before.peak <= 1.0 else before.since
    loud = value >= policy.alarm_at and rate > policy.allowed and seen >= policy.min_seen
    after = RateState(value, peak, since, loud)
    if loud:
        return Verdict(Outcome.FAIL, f"{policy.code}-203", sides), after
    if seen < policy.min_seen:
        short = f"{policy.min_seen - seen} requests"
        return Verdict(Outcome.HOLD, f"{policy.code}-202", sides, short), after
    return Verdict(Outcome.PASS, f"{policy.code}-200", sides), after
