"""Incidents over a long time, and what is to be done so that they do not come again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class IncidentSummary:
    """An `Incident` without its evidence, which is large."""

    id: str
    model: str
    cause: str
    kind: str
    severity: str
    title: str
    opened_at: float
    since: float
    closed_at: float | None
    owner: str
    monitors: tuple[str, ...] = ()
    acted: bool = False
    acknowledged_by: str = ""
    acknowledged_at: float | None = None
    first_acknowledged_at: float | None = None
    grade: str = ""
    graded_by: str = ""
    graded_at: float | None = None
    runbook_change: str = ""


class IncidentHistory(Protocol):
    def incident_summaries(
        self, since: float, limit: int, model: str = ""
    ) -> list[IncidentSummary]:
        """At most ``limit`` of those that opened at or after ``since`` (s), newest first; ``model``
        "" for all."""
        ...
