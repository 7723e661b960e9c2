"""What the monitors of rates share: an alarm that begins or ends as the judge's state says, and
which tenants' alarms explain that of everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from windvane.core.alerting import Cause, Finding
from windvane.core.verdict import (
    Outcome,
    RateFacts,
    RatePolicy,
    RateState,
    Verdict,
    judge_rate,
)
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.monitors.base import NO_SUBJECT, Judge, Judged, moment

RATE = Judge("rate", RateFacts, RatePolicy, lambda f, p, now: judge_rate(f, p, now)[0])
# Bad and good rows, by tenant.
TenantCounts: TypeAlias = Mapping[str, tuple[int, int]]


class FactsOfRate(Protocol):
    """The facts of a judge that ends in `judge_rate`."""

    @property
    def subject(self) -> str: ...
    @property
    def before(self) -> RateState: ...


def judge_one_rate(
    window: ClosedWindow,
    monitor: str,
    cause: Cause,
    subject: str,
    facts: RateFacts,
    policy: RatePolicy,
) -> Judged:
    """The judgement of one rate."""
    verdict, after = judge_rate(facts, policy, window.end)
    return rate_judged(monitor, cause, subject, facts, policy, verdict, after)


def rate_judged(
    monitor: str,
    cause: Cause,
    subject: str,
    facts: FactsOfRate,
    policy: object,
    verdict: Verdict,
    after: RateState,
    sources: tuple[str, ...] = (),
    *,
    worth: bool = False,
) -> Judged:
    """What a ``verdict`` and the detector ``after`` it make known. One that is fine, and was, is
    not ``worth`` a row of its own where there may be one a tenant."""
    findings: Sequence[Finding] = ()
    if after.alarmed and not facts.before.alarmed:
        title = f"{verdict.sentence}, since {moment(after.since)}"
        findings = (Finding(monitor, cause, True, after.since, title, (), sources),)
    elif facts.before.alarmed and not after.alarmed:
        line = f"{facts.subject} is back within the allowance"
        findings = (Finding(monitor, cause, False, facts.before.since, line, (), sources),)
    changed = {subject: after} if after != facts.before else {}
    bad = verdict.outcome in (Outcome.FAIL, Outcome.ERROR)
    worth = worth or bool(findings) or bad or not subject
    return Judged(subject, facts, policy, verdict, tuple(findings), changed, shown=worth)


def judge_tenants(
    counts: TenantCounts,
    of_all: RateState,
    of_tenants: Mapping[str, RateState],
    allowed: float,
    judge: Callable[[str, TenantCounts, RateState], Judged],
) -> list[Judged]:
    """All together without those tenants that are bad by themselves, then each tenant: what is one
    tenant's alone says nothing of the others, and where most are bad, and all together, it is
    everyone's.

    ``judge`` judges a tenant (all together for `NO_SUBJECT`) by the counts that it is given.
    """
    over = [t for t, (bad, good) in counts.items() if bad > allowed * (bad + good)]
    bad = sum(failed for failed, _ in counts.values())
    # Most may be so small that nobody sees them in the sum: then each is told by itself.
    seen = bad > allowed * sum(failed + fine for failed, fine in counts.values())
    shared = of_all.alarmed or (seen and 2 * len(over) > len(counts))
    judged: list[Judged] = []
    blamed: set[str] = set()
    for tenant, both in sorted(counts.items()):
        before = of_tenants.get(tenant, RateState())
        if shared and not before.alarmed:
            continue
        one = judge(tenant, {tenant: both}, before)
        judged.append(one)
        if alarmed_after(one, before):
            blamed.add(tenant)
    rest = {t: both for t, both in counts.items() if t not in blamed}
    of_rest = judge(NO_SUBJECT, rest, of_all)
    alone = _alone(rest, allowed)
    if alone and alarmed_after(of_rest, of_all):
        del rest[alone]
        of_rest = judge(NO_SUBJECT, rest, of_all)
    return [of_rest, *judged]


def alarmed_after(judged: Judged, before: RateState) -> bool:
    """Whether the alarm of a judgement's subject is open after it."""
    after = judged.states.get(judged.subject)
    return before.alarmed if after is None else after.alarmed


def _alone(counts: TenantCounts, allowed: float) -> str:
    """The tenant with over half of what is bad, where what the others have is allowed; "" where
    there is none, or nobody else to compare with."""
    if len(counts) < 2:
        return ""
    tenant = max(sorted(counts), key=lambda t: counts[t][0])
    bad = sum(failed for failed, _ in counts.values())
    others = bad - counts[tenant][0]
    rows = sum(both[0] + both[1] for t, both in counts.items() if t != tenant)
    return tenant if 2 * others < bad and others <= allowed * rows else ""
