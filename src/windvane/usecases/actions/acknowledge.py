"""Say that somebody is on it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.ports.notifier import Happening
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    Occurrence,
)
from windvane.usecases.notify_people import follow_incident


class CannotAcknowledge(ActionRefused):
    """The incident is closed, or somebody acknowledged it before."""

    code: ClassVar[str] = "INC-102"
    hint = "`windvane incidents` lists the open ones, and who is on them"


class Acknowledge(ModelAction):
    """Everybody who looks at the incident sees who is on it, and since when."""

    name = "acknowledge"
    verb = "Acknowledge"
    permission = Action.ACKNOWLEDGE
    about = About.INCIDENT
    record = "acknowledge"

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        return incident.closed_at is None and incident.acknowledged_by != actor

    def foresee(self, tx: Tx, asked: Asked) -> str:
        self._open(tx, asked)
        return "Everybody who looks at this incident sees that you are on it."

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._open(tx, asked)
        first = held.first_acknowledged_at
        tx.put_incident(
            replace(
                held,
                acknowledged_by=asked.by,
                acknowledged_at=when.now,
                first_acknowledged_at=when.now if first is None else first,
            )
        )
        message = f"{asked.by} is on it"
        why = f": {asked.reason}" if asked.reason else ""
        tx.add_note(held.id, IncidentNote(when.now, f"{message}{why}", when.decision))
        effects = follow_incident(held, Happening.ACKNOWLEDGED)
        return Done(f"incident {held.id}", "INC-111", message, effects=effects)

    def _open(self, tx: Tx, asked: Asked) -> Incident:
        held = tx.incident(asked.incident)
        if held.closed_at is not None:
            raise CannotAcknowledge(f"incident {held.id} is closed")
        if held.acknowledged_by == asked.by:
            raise CannotAcknowledge(f"{asked.by} is on incident {held.id} already")
        return held
