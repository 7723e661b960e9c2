"""Close an incident by hand, with the reason on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import msgspec

from windvane.core.alerting import Cause, cause_key_of
from windvane.core.authorization import Action
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.ports.judging import MonitorState
from windvane.ports.notifier import Happening
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    Occurrence,
)
from windvane.usecases.actions.grade_incident import (
    GRADE,
    RUNBOOK_CHANGE,
    graded,
    grading_facts,
    grading_words,
)
from windvane.usecases.closed_window import StateRows
from windvane.usecases.monitors import Monitor, cause_kinds, monitor_named
from windvane.usecases.monitors.base import AlarmState
from windvane.usecases.notify_people import follow_incident


class CannotClose(ActionRefused):
    """The incident is closed already, or only the system can close it."""

    code: ClassVar[str] = "INC-101"
    hint = "`windvane incidents` lists the open ones"


class CloseIncident(ModelAction):
    """A monitor that still finds the cause begins anew, and opens another.

    A broken feed closes by itself: while it is broken a version stands in for another, and
    closing the incident would hide that.
    """

    name = "close"
    verb = "Close the incident"
    permission = Action.CLOSE_INCIDENT
    about = About.INCIDENT
    record = "close_incident"
    questions = (GRADE, RUNBOOK_CHANGE)

    def fits_incident(self, incident: Incident, actor: str) -> bool:
        del actor
        return incident.closed_at is None and is_closable(incident)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        self._closable(tx, asked.incident)
        return (
            "The incident is closed, and the monitor that opened it begins anew, by what was usual "
            "before: if it still finds the cause, it opens another."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        held = self._closable(tx, asked.incident)
        for monitor, cause in members_of(held):
            change_states(tx, held, monitor, cause, monitor.begin_anew)
        tx.put_incident(replace(graded(held, asked, when), closed_at=when.now, members=()))
        message = f"closed by hand: {asked.reason}" if asked.reason else "closed by hand"
        for line in filter(None, (grading_words(asked), message)):
            tx.add_note(held.id, IncidentNote(when.now, line, when.decision))
        effects = follow_incident(held, Happening.RESOLVED)
        facts = {"why": asked.reason, **grading_facts(asked)}
        return Done(f"incident {held.id}", "INC-100", message, facts, effects)

    def _closable(self, tx: Tx, incident: str) -> Incident:
        held = tx.incident(incident)
        if held.closed_at is not None:
            raise CannotClose(f"incident {incident} is closed already")
        if not is_closable(held):
            hint = (
                "it closes once the source is well; `windvane accept` if a change of it is to stay"
            )
            raise CannotClose(f"incident {incident} is a broken source", hint=hint)
        return held


def is_closable(incident: Incident) -> bool:
    """Whether a person may close it: not while a monitor has to see that it is over."""
    return all(monitor.closable for monitor, _ in members_of(incident))


def members_of(incident: Incident) -> list[tuple[Monitor, Cause]]:
    """The monitors that still find something of the incident's, each with what it finds."""
    kinds = cause_kinds()
    found: list[tuple[Monitor, Cause]] = []
    for member in incident.members:
        monitor = monitor_named(member.partition("/")[0])
        kind, _, subject = cause_key_of(member).partition(":")
        if monitor is not None and kind in kinds:
            found.append((monitor, Cause(kinds[kind], subject)))
    return found


def change_states(
    tx: Tx,
    incident: Incident,
    monitor: Monitor,
    cause: Cause,
    change: Callable[[StateRows, Cause], Mapping[str, AlarmState | None]],
) -> None:
    """What the monitor carries of the cause is changed by one of its methods; a steward that judges
    meanwhile looks again."""
    model = incident.model
    progress = tx.progress([model]).get(model)
    if progress is None:
        return
    held = tx.monitor_states([model])
    rows = {s.subject: s.body for s in held if s.monitor == monitor.name}
    for subject, state in change(rows, cause).items():
        if state is None:
            tx.drop_monitor_states([(model, monitor.name, subject)])
        else:
            body = msgspec.to_builtins(state)
            at = progress.until
            fresh = MonitorState(model, monitor.name, subject, at, state.alarmed, body)
            tx.put_monitor_states([fresh])
    tx.put_progress([replace(progress, revision=progress.revision + 1)])
