"""Answers that something else gave in a version's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Severity
from windvane.core.routing import Arm
from windvane.core.verdict import RateFacts, RatePolicy, RateState
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.gather_answers import Answers
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import AlarmState, Judged, Monitor, read_rows
from windvane.usecases.monitors.predictions import (
    cause_subject,
    is_about,
    is_live,
    parse_subject,
    subject_of,
    watched_answers,
)
from windvane.usecases.monitors.rates import RATE, judge_one_rate
from windvane.usecases.read_model_file import ModelFile, parse_share

CODES = "FBK"
FALLBACKS = CauseKind(
    "fallbacks",
    CauseGroup.FAILING,
    "fallbacks.md",
    joins={
        "fallbacks": Join.SAME_ONSET,
        "errors": Join.WHILE_OPEN,
        "stand_in_errors": Join.WHILE_OPEN,
        "feed": Join.SAME_ONSET,
        "stuck_predictions": Join.SAME_ONSET,
    },
    to_do="see why the version had no answer of its own: `windvane incidents {incident}`",
)
_ARMS = 2
_KNOWN = 50
_RISE = 0.05
_HALF = 0.5
_MOST = 0.99


class Fallbacks(Monitor):
    """The share of each version's rows that a version before it, a rule or a constant answered:
    against ``watch.fallbacks``, else against what is usual of the version and five points more.
    """

    name = "fallbacks"
    title = "Fallbacks"
    cause = FALLBACKS
    judge = RATE
    acceptable = True

    def streams(self, file: ModelFile, tenants: int) -> int:
        """Of the champion and of a challenger."""
        del file, tenants
        return _ARMS

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        held = read_rows(rows, RateState)
        out: list[Judged] = []
        seen: set[str] = set()
        for answers in watched_answers(window):
            subject = subject_of(answers.version, answers.arm)
            seen.add(subject)
            out.append(self._judge(window, answers, held.get(subject, RateState())))
        gone = {
            s: state for s, state in held.items() if s not in seen and not is_live(s, window.live)
        }
        out += [self._departed(window, subject, state) for subject, state in gone.items()]
        return out

    def _judge(self, window: ClosedWindow, answers: Answers, before: RateState) -> Judged:
        named = cause_subject(answers.version, answers.arm)
        facts = RateFacts(
            f"fallbacks of version {named}", window.start, answers.fell_back,
            answers.rows - answers.fell_back, before,
        )  # fmt: skip
        policy = _policy(window, before)
        subject = subject_of(answers.version, answers.arm)
        cause = Cause(FALLBACKS, named)
        one = judge_one_rate(window, self.name, cause, subject, facts, policy)
        grave = answers.arm != Arm.CHALLENGER.value and answers.fallback_share > _HALF
        severity = Severity.HIGH if grave else Severity.MEDIUM
        findings = tuple(replace(f, severity=severity) if f.began else f for f in one.findings)
        detail = {
            "version": answers.version,
            "arm": answers.arm,
            "fallback_share": round(answers.fallback_share, 6),
            "allowed": round(policy.allowed, 6),
            "rows": answers.rows,
        }
        return replace(one, findings=findings, detail=detail, shown=True)

    def _departed(self, window: ClosedWindow, subject: str, before: RateState) -> Judged:
        named = cause_subject(*parse_subject(subject))
        facts = RateFacts(f"fallbacks of version {named}", window.start, 0, 0, before)
        cause = Cause(FALLBACKS, named)
        one = judge_one_rate(window, self.name, cause, subject, facts, _policy(window, before))
        findings: tuple[Finding, ...] = ()
        if before.alarmed:
            line = f"version {named} answers no more"
            findings = (Finding(self.name, cause, False, before.since, line),)
        return replace(one, findings=findings, states={subject: None}, shown=bool(findings))

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        version, _ = parse_subject(found.subject)
        samples = log.samples(
            window.model, window.file.contract, finding.since, window.end,
            {"routed": version, "answered": ""}, 5,
        )  # fmt: skip
        return {
            "first_window": finding.since,
            **found.detail,
            "samples": sample_requests(samples),
            "last_good": {"version": version, "before": finding.since},
        }

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        return {subject: state.anew() for subject, state in _alarmed(rows, cause).items()}

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What is usual is learned anew."""
        return dict.fromkeys(_alarmed(rows, cause))

    def about(self, subject: str) -> str:
        named = cause_subject(*parse_subject(subject)) if subject else ""
        return f"fallbacks of version {named}" if named else self.title

    def about_cause(self, cause: Cause) -> str:
        return f"fallbacks of version {cause.subject}"


def _alarmed(rows: StateRows, cause: Cause) -> dict[str, RateState]:
    return {
        subject: state
        for subject, state in read_rows(rows, RateState).items()
        if state.alarmed and is_about(subject, cause)
    }


def _policy(window: ClosedWindow, before: RateState) -> RatePolicy:
    """``watch.fallbacks``, or what is usual and a rise; nearly all where that is not known yet."""
    given = window.file.watch.fallbacks
    allowed = parse_share(given) if given else _usual_and_more(before)
    return RatePolicy(allowed, window.policy.alarm_at, CODES, "not its own")


def _usual_and_more(before: RateState) -> float:
    known = before.dispersion
    if known.scales[0].blocks < _KNOWN or not known.rows:
        return _MOST
    return min(known.bad / known.rows + _RISE, _MOST)
