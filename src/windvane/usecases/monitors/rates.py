"""What the monitors of rates share: an alarm that begins or ends as the judge's state says."""

from __future__ import annotations

from collections.abc import Sequence

from windvane.core.alerting import Cause, Finding
from windvane.core.verdict import Outcome, RateFacts, RatePolicy, judge_rate
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.monitors.base import Judge, Judged, moment

RATE = Judge("rate", RateFacts, RatePolicy, lambda f, p, now: judge_rate(f, p, now)[0])


def judge_one_rate(
    window: ClosedWindow,
    monitor: str,
    cause: Cause,
    subject: str,
    facts: RateFacts,
    policy: RatePolicy,
) -> Judged:
    """The judgement of one rate. One that is fine, and was, is not worth a row of its own where
    there may be one a tenant."""
    verdict, after = judge_rate(facts, policy, window.end)
    findings: Sequence[Finding] = ()
    if after.alarmed and not facts.before.alarmed:
        title = f"{verdict.sentence}, since {moment(after.since)}"
        findings = (Finding(monitor, cause, True, after.since, title),)
    elif facts.before.alarmed and not after.alarmed:
        line = f"{facts.subject} is back within the allowance"
        findings = (Finding(monitor, cause, False, facts.before.since, line),)
    changed = {subject: after} if after != facts.before else {}
    worth = bool(findings) or verdict.outcome in (Outcome.FAIL, Outcome.ERROR) or not subject
    return Judged(subject, facts, policy, verdict, tuple(findings), changed, shown=worth)
