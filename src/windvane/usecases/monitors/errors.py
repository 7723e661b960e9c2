"""A model that fails to answer: everyone, or one tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Response
from windvane.core.routing import SELECTED, Arm
from windvane.core.sketch import Sketch
from windvane.core.verdict import RateFacts, RatePolicy, RateState
from windvane.ports.control_store import Deployment, WindowKey
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import (
    NO_SUBJECT,
    AlarmState,
    Importance,
    Judged,
    Monitor,
    read_row,
    read_rows,
)
from windvane.usecases.monitors.predictions import parse_subject, subject_of
from windvane.usecases.monitors.rates import RATE, TenantCounts, judge_one_rate, judge_tenants
from windvane.usecases.moves import ROLL_BACK
from windvane.usecases.read_model_file import ModelFile, parse_share

CODES = "SLO"
ERRORS = CauseKind(
    "errors",
    CauseGroup.FAILING,
    "model-errors.md",
    moves={Response.ROLLBACK: (ROLL_BACK,)},
    joins={"feed": Join.SAME_ONSET},
)
TENANT_ERRORS = CauseKind("tenant_errors", CauseGroup.TENANT, "tenant-errors.md")
STAND_IN_ERRORS = CauseKind(
    "stand_in_errors",
    CauseGroup.FAILING,
    "model-errors.md",
    # It answers because of them.
    joins={"feed": Join.WHILE_OPEN, "stale_source": Join.WHILE_OPEN},
)
"""No move: the champion did not fail, and row by row the chain answers."""
_SHOWN = 5
_MODEL_AND_STAND_IN = 2
_OWED = (Arm.CHAMPION, Arm.FALLBACK, SELECTED)


class Errors(Monitor):
    """The share of the rows that the model owed an answer and failed on: a canary's failures
    belong to its gate, refusals to a tenant.

    Each tenant is judged, and so are all together without those that fail by themselves: what
    fails for one tenant alone is that tenant's incident, and no reason to roll back for the rest.
    Where most tenants fail, it is the model that does.

    What fails of a version that answers in the champion's place is that version's, of all tenants
    together: it says nothing of the champion.
    """

    name = "errors"
    title = "Errors"
    importance = Importance.ALWAYS
    cause = ERRORS
    more_causes = (TENANT_ERRORS, STAND_IN_ERRORS)
    judge = RATE

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file
        return _MODEL_AND_STAND_IN + tenants

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        policy = RatePolicy(
            parse_share(window.file.watch.errors), window.policy.alarm_at, CODES, "failed"
        )
        states = read_rows(rows, RateState)
        of_all = states.get(NO_SUBJECT, RateState())

        def judge(tenant: str, counts: TenantCounts, before: RateState) -> Judged:
            if tenant == NO_SUBJECT:
                return self._judge_model(window, counts, before, policy)
            facts = RateFacts(f"errors of tenant {tenant}", window.start, *counts[tenant], before)
            cause = Cause(TENANT_ERRORS, tenant)
            return judge_one_rate(window, self.name, cause, tenant, facts, policy)

        counts = _count(window, lambda key: not _stands_in(key, window.live))
        judged = judge_tenants(counts, of_all, states, policy.allowed, judge)
        return judged + self._judge_stand_ins(window, states, policy)

    def _judge_stand_ins(
        self, window: ClosedWindow, states: Mapping[str, RateState], policy: RatePolicy
    ) -> list[Judged]:
        live = window.live
        answering = {live.standing_in, *live.stand_ins.values()} - {live.champion, None}
        versions = {k.version for k, _ in window.sketches if _stands_in(k, live)}
        versions |= {v for v in map(_stand_in_of, states) if v}
        out: list[Judged] = []
        for version in sorted(versions):
            subject = subject_of(version, Arm.FALLBACK.value)
            before = states.get(subject, RateState())
            counts = _count(window, lambda key, v=version: _stands_in(key, live) == v)
            bad = sum(failed for failed, _ in counts.values())
            good = sum(answered for _, answered in counts.values())
            named = f"errors of version {version} in place of version {live.champion}"
            facts = RateFacts(named, window.start, bad, good, before)
            cause = Cause(STAND_IN_ERRORS, version)
            one = judge_one_rate(window, self.name, cause, subject, facts, policy)
            if not counts and version not in answering:
                line = f"version {version} answers in place of another no more"
                ended = Finding(self.name, cause, False, before.since, line)
                findings = (ended,) if before.alarmed else ()
                one = replace(one, findings=findings, states={subject: None}, shown=before.alarmed)
            out.append(one)
        return out

    def _judge_model(
        self, window: ClosedWindow, counts: TenantCounts, before: RateState, policy: RatePolicy
    ) -> Judged:
        bad = sum(failed for failed, _ in counts.values())
        good = sum(answered for _, answered in counts.values())
        facts = RateFacts("errors", window.start, bad, good, before)
        cause = Cause(ERRORS, window.model)
        one = judge_one_rate(window, self.name, cause, NO_SUBJECT, facts, policy)
        failed = _versions_by_failures(window)
        findings = tuple(replace(f, version=failed[0] if failed else "") for f in one.findings)
        worst = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:_SHOWN]
        shown = [{"tenant": t, "failed": b, "rows": b + g} for t, (b, g) in worst if b]
        return replace(one, findings=findings, detail={"tenants": shown} if shown else {})

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        where = {"answered": ""}
        tenants = found.detail.get("tenants", [])
        if finding.cause.kind.name == TENANT_ERRORS.name:
            where["tenant"] = found.subject
            tenants = [{"tenant": found.subject}]
        elif finding.cause.kind.name == STAND_IN_ERRORS.name:
            where["routed"] = finding.cause.subject
        samples = log.samples(
            window.model, window.file.contract, finding.since, window.end, where, 5
        )
        out: dict[str, Any] = {
            "first_window": finding.since,
            "tenants": tenants,
            "samples": sample_requests(samples),
        }
        # With a stand-in's errors it is no version's turn, and one that gives no answer is no good.
        good = "" if "routed" in where else window.live.previous
        return out if good in window.unfit else {**out, "last_good": {"version": good}}

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        subject = NO_SUBJECT
        if cause.kind.name == TENANT_ERRORS.name:
            subject = cause.subject
        elif cause.kind.name == STAND_IN_ERRORS.name:
            subject = subject_of(cause.subject, Arm.FALLBACK.value)
        return {subject: read_row(rows, RateState, subject).anew()}

    def about(self, subject: str) -> str:
        if version := _stand_in_of(subject):
            return _of_stand_in(version)
        return f"errors of tenant {subject}" if subject else self.title

    def about_cause(self, cause: Cause) -> str:
        if cause.kind.name == STAND_IN_ERRORS.name:
            return _of_stand_in(cause.subject)
        return self.about(cause.subject)


def _of_stand_in(version: str) -> str:
    return f"errors of version {version} in another's place"


def _stand_in_of(subject: str) -> str:
    """The version whose errors in another's place are carried under ``subject``, "" for none."""
    version, arm = parse_subject(subject)
    return version if arm == Arm.FALLBACK and subject == subject_of(version, arm) else ""


def _stands_in(key: WindowKey, live: Deployment) -> str:
    """The version that was to answer in the champion's place, "" where it was the champion."""
    chosen = key.arm == SELECTED and key.version in {live.standing_in, *live.stand_ins.values()}
    other = key.version != live.champion and (chosen or key.arm == Arm.FALLBACK)
    return key.version if other else ""


def _bad_and_good(sketch: Sketch) -> tuple[int, int]:
    failed = sketch.total("execution_errors")
    return failed + sketch.total("unanswered"), sketch.total("rows") - failed


def _versions_by_failures(window: ClosedWindow) -> list[str]:
    """Of those that answered as champion, the one with most failures first."""
    out: dict[str, int] = {}
    for key, sketch in window.sketches:
        bad, _ = _bad_and_good(sketch)
        if key.arm in _OWED and bad and not _stands_in(key, window.live):
            out[key.version] = out.get(key.version, 0) + bad
    return sorted(out, key=lambda version: (-out[version], version))


def _count(window: ClosedWindow, wanted: Callable[[WindowKey], bool]) -> dict[str, tuple[int, int]]:
    """By tenant, of those that have rows."""
    out: dict[str, tuple[int, int]] = {}
    for key, sketch in window.sketches:
        if key.arm not in _OWED or not wanted(key):
            continue
        bad, good = _bad_and_good(sketch)
        if bad + good:
            held = out.get(key.tenant, (0, 0))
            out[key.tenant] = (held[0] + bad, held[1] + good)
    return out
