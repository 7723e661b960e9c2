"""Incidents over a long time, and what is to be done so that they do not come again."""

from __future__ import annotations

import enum
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


class ItemState(enum.StrEnum):
    """VERIFIED: somebody looked, and it holds by its acceptance."""

    OPEN = "open"
    DONE = "done"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class ActionItem:
    """What is to be done after an incident, by whom, until the end of a day (``due``, s since the
    epoch), and by what it is known to be done. ``state`` is an `ItemState`."""

    id: str
    model: str
    incident: str
    what: str
    owner: str
    due: float
    acceptance: str
    state: str
    created_by: str
    created_at: float
    changed_by: str = ""
    changed_at: float | None = None

    def overdue(self, now: float) -> bool:
        return self.state == ItemState.OPEN and now >= self.due


class IncidentHistory(Protocol):
    def incident_summaries(
        self, since: float, limit: int, model: str = ""
    ) -> list[IncidentSummary]:
        """At most ``limit`` of those that opened at or after ``since`` (s), newest first; ``model``
        "" for all."""
        ...

    def put_action_item(self, item: ActionItem) -> None: ...
    def action_item(self, item_id: str) -> ActionItem:
        """Raises UnknownName."""
        ...

    def action_items(
        self, limit: int, *, model: str = "", incident: str = "", state: str = ""
    ) -> list[ActionItem]:
        """Those that are due first; "" for all."""
        ...
