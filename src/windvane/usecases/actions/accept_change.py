"""Accept what changed as the new normal: its features' reference begins anew."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.alerting import Cause, Finding
from windvane.core.authorization import Action
from windvane.core.journal import Effect
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
from windvane.usecases.actions.close_incident import begin_anew
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.notify_people import follow_incident
from windvane.usecases.open_incident import cause_of
from windvane.usecases.respond import take_back


class CannotAccept(ActionRefused):
    """The incident is closed, or is not of inputs that changed."""

    code: ClassVar[str] = "INC-104"
    hint = "what can be accepted is a change of inputs; others are closed by `windvane close`"


class AcceptChange(ModelAction):
    """What came since the change is what is compared with from now on, and what was done against
    it is taken back. It is for changes that are meant to stay: else the alarm would, too."""

    name = "accept"
    verb = "Accept as the new normal"
    permission = Action.CLOSE_INCIDENT
    about = About.INCIDENT
    record = "accept_change"

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        del actor
        return incident.closed_at is None and _of_inputs(incident)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        held = self._open(tx, asked)
        sources = ", ".join(held.sources)
        return (
            f"The incident is closed. What came of {sources} since it began is what windows are "
            "compared with from now on, and a version that stands in goes back."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._open(tx, asked)
        cause = cause_of(held, cause_kinds())
        monitor = SuddenShift()
        subjects = {cause.subject, *(s for s in held.sources if cause.kind.moves)}
        for subject in sorted(subjects):
            begin_anew(tx, held, [monitor], Cause(cause.kind, subject))
        lines, changed = _take_back(tx, held, cause, when)
        message = "accepted as the new normal" + (f": {asked.reason}" if asked.reason else "")
        for line in (message, *lines):
            tx.add_note(held.id, IncidentNote(when.now, line, when.decision))
        tx.put_incident(replace(held, closed_at=when.now, members=()))
        facts = {"why": asked.reason, "sources": list(held.sources)}
        effects = (*follow_incident(held, Happening.RESOLVED), *changed)
        return Done(f"incident {held.id}", "INC-114", message, facts, effects)

    def _open(self, tx: Tx, asked: Asked) -> Incident:
        held = tx.incident(asked.incident)
        if held.closed_at is not None:
            raise CannotAccept(f"incident {held.id} is closed already")
        if not _of_inputs(held):
            raise CannotAccept(f"incident {held.id} is no change of inputs")
        return held


def _of_inputs(incident: Incident) -> bool:
    return any(m.partition("/")[0] == SuddenShift.name for m in incident.members)


def _take_back(
    tx: Tx, held: Incident, cause: Cause, when: Occurrence
) -> tuple[list[str], tuple[Effect, ...]]:
    """What was done against the cause, undone: lines for people, and effects."""
    before = tx.deployment(held.model)
    if before is None or not cause.kind.moves:
        return [], ()
    ended = [
        Finding(SuddenShift.name, Cause(cause.kind, source), False, held.since, "", (), (source,))
        for source in held.sources
    ]
    after, lines, _ = take_back(tx, before, ended, when.now)
    return lines, change_deployment(tx, before, after)
