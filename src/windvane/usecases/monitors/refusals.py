"""A tenant whose requests are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding
from windvane.core.verdict import RateFacts, RatePolicy, RateState
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import (
    AlarmState,
    Importance,
    Judged,
    Monitor,
    read_row,
    read_rows,
)
from windvane.usecases.monitors.rates import RATE, judge_one_rate
from windvane.usecases.read_model_file import ModelFile, parse_share

CODES = "CON"
TENANT = CauseKind("tenant", CauseGroup.TENANT, "tenant-refused.md")


class Refusals(Monitor):
    """The share of each tenant's requests that were refused."""

    name = "refusals"
    title = "Refused requests"
    importance = Importance.ALWAYS
    cause = TENANT
    judge = RATE

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file
        return tenants

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        policy = RatePolicy(
            parse_share(window.file.watch.refused), window.policy.alarm_at, CODES, "refused"
        )
        counts: dict[str, list[int]] = {}
        for key, sketch in window.sketches:
            held = counts.setdefault(key.tenant, [0, 0])
            held[0] += sketch.total("refused")
            held[1] += sketch.total("requests")
        states = read_rows({t: rows[t] for t in counts if t in rows}, RateState)
        return [
            judge_one_rate(
                window,
                self.name,
                Cause(TENANT, tenant),
                tenant,
                RateFacts(
                    f"tenant {tenant}", window.start, bad, good, states.get(tenant, RateState())
                ),
                policy,
            )
            for tenant, (bad, good) in sorted(counts.items())
        ]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        del found
        tenant = finding.cause.subject
        samples = log.refusals(window.model, tenant, finding.since, window.end, 5)
        return {
            "tenants": [{"tenant": tenant}],
            "first_window": finding.since,
            "samples": sample_requests(samples),
        }

    def begin_anew(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        return {cause.subject: read_row(rows, RateState, cause.subject).anew()}

    def about(self, subject: str) -> str:
        return f"tenant {subject}"
