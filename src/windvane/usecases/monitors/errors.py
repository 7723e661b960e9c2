"""A model that fails to answer: everyone, or one tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
_SHOWN = 5


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
        states = read_rows(rows, RateState)
        of_all = states.get(NO_SUBJECT, RateState())

        def judge(tenant: str, counts: TenantCounts, before: RateState) -> Judged:
            if tenant == NO_SUBJECT:
                return self._judge_model(window, counts, before, policy)
            facts = RateFacts(f"errors of tenant {tenant}", window.start, *counts[tenant], before)
            cause = Cause(TENANT_ERRORS, tenant)
            return judge_one_rate(window, self.name, cause, tenant, facts, policy)

        return judge_tenants(_count(window), of_all, states, policy.allowed, judge)

    def _judge_model(
        self, window: ClosedWindow, counts: TenantCounts, before: RateState, policy: RatePolicy
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
