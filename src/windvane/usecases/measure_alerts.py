"""How good the alerts are and how fast people answer them, from the incidents on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from windvane.core.alerting.grading import (
    Alert,
    AlertPrecision,
    IncidentGrade,
    RetirementPolicy,
    measure_precision,
)
from windvane.core.alerting.response_times import (
    IncidentTimes,
    ResponseTimes,
    measure_response,
)
from windvane.ports.control_store import Tx
from windvane.ports.incidents import IncidentSummary
from windvane.usecases.monitors import MONITORS

OVER_S = 365 * 86_400.0
MOST_INCIDENTS = 10_000


@dataclass(frozen=True, slots=True)
class AlertReport:
    """Of incidents that opened since ``since`` (s), of which so many are closed and ``ungraded``.
    ``rules`` are the monitors model by model. ``cut``: there were more incidents, and only the
    newest are in it."""

    since: float
    incidents: int
    ungraded: int
    monitors: tuple[AlertPrecision, ...]
    rules: tuple[tuple[str, AlertPrecision], ...]
    times: tuple[ResponseTimes, ...]
    cut: bool = False

    @property
    def everywhere(self) -> list[tuple[str, AlertPrecision]]:
        """``monitors`` as ``rules`` on all models ("")."""
        return [("", one) for one in self.monitors]

    @property
    def proposals(self) -> list[tuple[str, AlertPrecision]]:
        """What is proposed for retirement: a monitor of all models (""), else of one."""
        everywhere = [(name, one) for name, one in self.everywhere if one.retire]
        named = {one.monitor for _, one in everywhere}
        return everywhere + [r for r in self.rules if r[1].retire and r[1].monitor not in named]


def measure_alerts(
    tx: Tx,
    now: float,
    *,
    model: str = "",
    over_s: float = OVER_S,
    visible: Callable[[str], bool] = lambda _: True,
) -> AlertReport:
    """Of the incidents of the last ``over_s`` (s), of one ``model`` or of all that are
    ``visible``."""
    since = now - over_s
    found = tx.incident_summaries(since, MOST_INCIDENTS + 1, model)
    cut = len(found) > MOST_INCIDENTS
    shown = [one for one in found[:MOST_INCIDENTS] if visible(one.model)]
    alerts = [alert_of(one) for one in shown]
    policy = RetirementPolicy()
    rules = tuple(
        (name, one)
        for name in sorted({alert.model for alert in alerts})
        for one in measure_precision((a for a in alerts if a.model == name), policy, now)
    )
    return AlertReport(
        since,
        len(shown),
        sum(one.closed_at is not None and not one.grade for one in shown),
        measure_precision(alerts, policy, now),
        rules,
        measure_response(times_of(shown)),
        cut,
    )


def alert_of(one: IncidentSummary) -> Alert:
    grade = IncidentGrade(one.grade) if one.grade else None
    return Alert(
        one.id, one.model, one.monitors or _finders_of(one.kind), one.opened_at, grade,
        bool(one.acknowledged_by), one.acted,
    )  # fmt: skip


def times_of(found: Sequence[IncidentSummary]) -> list[IncidentTimes]:
    return [
        IncidentTimes(
            one.model,
            one.since,
            one.opened_at,
            # Of those from before the first was kept apart, the last is the best there is.
            one.acknowledged_at if one.first_acknowledged_at is None else one.first_acknowledged_at,
            one.closed_at,
        )
        for one in found
    ]


def _finders_of(kind: str) -> tuple[str, ...]:
    """Of an incident from before its monitors were kept: those that find such a cause."""
    named = [m.name for m in MONITORS if kind in {k.name for k in (m.cause, *m.more_causes)}]
    return tuple(named) or (kind,)
