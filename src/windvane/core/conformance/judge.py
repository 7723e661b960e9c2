"""Judge the rate at which one tenant's requests are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from windvane.core.verdict import Outcome, Verdict, log_beta_evidence


@dataclass(frozen=True, slots=True)
class RefusalPolicy:
    """``allowed``: the refused share a tenant may have; ``alarm_at``: e-detector threshold."""

    allowed: float
    alarm_at: float
    min_requests: int = 10


@dataclass(frozen=True, slots=True)
class RefusalFacts:
    """One tenant's window and the e-detector's value before it."""

    tenant: str
    refused: int
    answered: int
    before: float = 0.0


def judge_refusals(
    facts: RefusalFacts, policy: RefusalPolicy, now: float
) -> tuple[Verdict, float]:
    """The verdict and the e-detector's value after the window.

    The window's e-value tests "the refused share is at most ``allowed``" against larger
    shares, uniform prior.
    """
    del now
    seen = facts.refused + facts.answered
    if seen == 0:
        return Verdict(Outcome.HOLD, "CON-201", f"{facts.tenant} sent nothing", "1 request"), (
            facts.before
        )
    log_e = log_beta_evidence(facts.refused, facts.answered, policy.allowed, 1.0, 1.0)
    after = min((1.0 + facts.before) * math.exp(min(log_e, 600.0)), 1e300)
    rate = facts.refused / seen
    sides = f"{facts.tenant}: refused {rate:.1%}, {policy.allowed:.1%} allowed, n={seen:,}"
    if seen < policy.min_requests and after < policy.alarm_at:
        short = f"{policy.min_requests - seen} requests"
        return Verdict(Outcome.HOLD, "CON-202", sides, short), after
    if after >= policy.alarm_at and rate > policy.allowed:
        return Verdict(Outcome.FAIL, "CON-203", sides), after
    return Verdict(Outcome.PASS, "CON-200", sides), after
