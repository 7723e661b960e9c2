"""A model that fails to answer: everyone, or one tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Response
from windvane.core.routing import SELECTED, Arm
from windvane.core.verdict import RateFacts, RatePolicy, RateState
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
from windvane.usecases.monitors.rates import RATE, judge_one_rate
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
_SHOWN = 5
# Rows that failed and that did not, by tenant.
_Counts: TypeAlias = Mapping[str, tuple[int, int]]


class Errors(Monitor):
    """The share of the rows that the model owed an answer and failed on: a canary's failures
    belong to its gate, refusals to a tenant.

    Each tenant is judged, and so are all together without those that fail by themselves: what
    fails for one tenant alone is that tenant's incident, and no reason to roll back for the rest.
    Where most tenants fail, it is the model that does.
    """

    name = "errors"
    title = "Errors"
    importance = Importance.ALWAYS
    cause = ERRORS
    more_causes = (TENANT_ERRORS,)
    judge = RATE

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file
        return 1 + tenants

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        policy = RatePolicy(
            parse_share(window.file.watch.errors), window.policy.alarm_at, CODES, "failed"
        )
        counts = _count(window)
        states = read_rows(rows, RateState)
        of_all = states.get(NO_SUBJECT, RateState())
        over = [t for t, (bad, good) in counts.items() if bad > policy.allowed * (bad + good)]
        shared = of_all.alarmed or 2 * len(over) > len(counts)
        judged: list[Judged] = []
        blamed: set[str] = set()
        for tenant, (bad, good) in sorted(counts.items()):
            before = states.get(tenant, RateState())
            if shared and not before.alarmed:
                continue
            facts = RateFacts(f"errors of tenant {tenant}", window.start, bad, good, before)
            cause = Cause(TENANT_ERRORS, tenant)
            one = judge_one_rate(window, self.name, cause, tenant, facts, policy)
            judged.append(one)
            if _alarmed_after(one, before):
                blamed.add(tenant)
        rest = {t: both for t, both in counts.items() if t not in blamed}
        of_rest = self._judge_model(window, rest, of_all, policy)
        alone = _alone(rest, policy.allowed)
        if alone and _alarmed_after(of_rest, of_all):
            del rest[alone]
            of_rest = self._judge_model(window, rest, of_all, policy)
        return [of_rest, *judged]

    def _judge_model(
        self, window: ClosedWindow, counts: _Counts, before: RateState, policy: RatePolicy
    ) -> Judged:
        bad = sum(failed for failed, _ in counts.values())
        good = sum(answered for _, answered in counts.values())
        facts = RateFacts("errors", window.start, bad, good, before)
        cause = Cause(ERRORS, window.model)
        one = judge_one_rate(window, self.name, cause, NO_SUBJECT, facts, policy)
        worst = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:_SHOWN]
        shown = [{"tenant": t, "failed": b, "rows": b + g} for t, (b, g) in worst if b]
        return replace(one, detail={"tenants": shown} if shown else {})

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        where = {"answered": ""}
        tenants = found.detail.get("tenants", [])
        if finding.cause.kind.name == TENANT_ERRORS.name:
            where["tenant"] = found.subject
            tenants = [{"tenant": found.subject}]
        samples = log.samples(
            window.model, window.file.contract, finding.since, window.end, where, 5
        )
        return {
            "first_window": finding.since,
            "tenants": tenants,
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.previous},
        }

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        subject = cause.subject if cause.kind.name == TENANT_ERRORS.name else NO_SUBJECT
        return {subject: read_row(rows, RateState, subject).anew()}

    def about(self, subject: str) -> str:
        return f"errors of tenant {subject}" if subject else self.title


def _count(window: ClosedWindow) -> dict[str, tuple[int, int]]:
    """By tenant, of those that have rows."""
    out: dict[str, tuple[int, int]] = {}
    for key, sketch in window.sketches:
        if key.arm not in (Arm.CHAMPION, Arm.FALLBACK, SELECTED):
            continue
        failed = sketch.total("execution_errors")
        bad, good = failed + sketch.total("unanswered"), sketch.total("rows") - failed
        if bad + good:
            held = out.get(key.tenant, (0, 0))
            out[key.tenant] = (held[0] + bad, held[1] + good)
    return out


def _alone(counts: _Counts, allowed: float) -> str:
    """The tenant with over half of what failed, where what the others have is allowed; "" where
    there is none, or nobody else to compare with."""
    if len(counts) < 2:
        return ""
    tenant = max(sorted(counts), key=lambda t: counts[t][0])
    bad = sum(failed for failed, _ in counts.values())
    others = bad - counts[tenant][0]
    rows = sum(both[0] + both[1] for t, both in counts.items() if t != tenant)
    return tenant if 2 * others < bad and others <= allowed * rows else ""


def _alarmed_after(judged: Judged, before: RateState) -> bool:
    after = judged.states.get(judged.subject)
    return before.alarmed if after is None else after.alarmed
