"""A model that fails to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.alerting import Cause, CauseGroup, CauseKind, Finding, Join, Response
from windvane.core.routing import SELECTED, Arm
from windvane.core.verdict import RateFacts, RatePolicy, RateState
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, StateRows
from windvane.usecases.gather_evidence import sample_requests
from windvane.usecases.monitors.base import NO_SUBJECT, Judged, Monitor, read_row
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


class Errors(Monitor):
    """The share of the rows that the model owed an answer and failed on: a canary's failures
    belong to its gate, refusals to a tenant."""

    name = "errors"
    title = "Errors"
    cause = ERRORS
    judge = RATE

    def streams(self, file: ModelFile, tenants: int) -> int:
        del file, tenants
        return 1

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        policy = RatePolicy(
            parse_share(window.file.watch.errors), window.policy.alarm_at, CODES, "failed"
        )
        own = [s for k, s in window.sketches if k.arm in (Arm.CHAMPION, Arm.FALLBACK, SELECTED)]
        failed = sum(s.total("execution_errors") for s in own)
        bad = failed + sum(s.total("unanswered") for s in own)
        good = sum(s.total("rows") for s in own) - failed
        facts = RateFacts("errors", window.start, bad, good, read_row(rows, RateState))
        cause = Cause(ERRORS, window.model)
        return [judge_one_rate(window, self.name, cause, NO_SUBJECT, facts, policy)]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        del found
        where = {"answered": ""}
        samples = log.samples(
            window.model, window.file.contract, finding.since, window.end, where, 5
        )
        return {
            "first_window": finding.since,
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.previous},
        }
