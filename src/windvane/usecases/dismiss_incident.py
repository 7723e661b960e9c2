"""Close an incident by hand, with the reason on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    ControlStore,
    Incident,
    IncidentNote,
    MonitorState,
    Tx,
)
from windvane.usecases.monitors import Monitor, cause_kinds, monitor_named
from windvane.usecases.open_incident import cause_of


class CannotDismiss(WindvaneError):
    """The incident is closed already, or only the system can close it."""

    code: ClassVar[str] = "INC-101"
    hint = "`windvane incidents` lists the open ones"


def dismiss_incident(
    store: ControlStore, clock: Clock, incident_id: str, why: str, *, by: str = ""
) -> Incident:
    """Close an open incident; a detector that still sounds for it begins anew.

    A broken feed heals by itself: while it is broken a version stands in for another, and
    closing the incident would hide that. Raises CannotDismiss and UnknownName.
    """
    now = clock.now()
    with store.begin() as tx:
        held = tx.incident(incident_id)
        if held.closed_at is not None:
            raise CannotDismiss(f"incident {incident_id} is closed already")
        members = _members(held)
        if not is_closable(held):
            hint = "it closes once the feed is healthy; if the change is to stay, train on it"
            raise CannotDismiss(f"incident {incident_id} is a broken feed", hint=hint)
        decision = f"{held.id}/dismissed"
        _begin_anew(tx, held, members)
        closed = replace(held, closed_at=now, members=())
        tx.put_incident(closed)
        tx.add_note(held.id, IncidentNote(now, f"closed by hand: {why}", decision))
        tx.decide(
            Decision(
                id=decision,
                model=held.model,
                judge="",
                subject=f"incident {held.id}",
                action="dismiss",
                at=now,
                policy={},
                facts={"why": why},
                verdict=Verdict(Outcome.PASS, "INC-100", f"closed by hand: {why}"),
                actor=by,
                reason=why,
            )
        )
    return closed


def is_closable(incident: Incident) -> bool:
    """Whether a person may close it: not while a monitor has to see that it is over."""
    return all(monitor.closable for monitor in _members(incident))


def _members(incident: Incident) -> list[Monitor]:
    """The monitors that still find something of the incident's."""
    names = dict.fromkeys(member.partition("/")[0] for member in incident.members)
    found = [monitor_named(name) for name in names]
    return [monitor for monitor in found if monitor is not None]


def _begin_anew(tx: Tx, incident: Incident, members: Sequence[Monitor]) -> None:
    """What opened it must be able to be found again; a steward that judges meanwhile looks
    again."""
    model = incident.model
    cause = cause_of(incident, cause_kinds())
    progress = tx.progress([model]).get(model)
    if progress is None or not members:
        return
    held = tx.monitor_states([model])
    for monitor in members:
        rows = {s.subject: s.body for s in held if s.monitor == monitor.name}
        for subject, state in monitor.begin_anew(rows, cause).items():
            if state is None:
                tx.drop_monitor_states([(model, monitor.name, subject)])
            else:
                body = msgspec.to_builtins(state)
                at = progress.until
                fresh = MonitorState(model, monitor.name, subject, at, state.alarmed, body)
                tx.put_monitor_states([fresh])
    tx.put_progress([replace(progress, revision=progress.revision + 1)])
