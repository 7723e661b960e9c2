"""Close an incident by hand, with the reason on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from windvane.core.alerting import CauseKind
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, RateState, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Incident, IncidentNote, Tx


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
        if held.kind == CauseKind.FEED:
            hint = "it closes once the feed is healthy; if the change is to stay, train on it"
            raise CannotDismiss(f"incident {incident_id} is a broken feed", hint=hint)
        decision = f"{held.id}/dismissed"
        _quieten(tx, held)
        closed = replace(held, closed_at=now)
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


def _quieten(tx: Tx, incident: Incident) -> None:
    """The alarm that opened it must be able to sound again."""
    state: dict[str, Any] = dict(tx.steward_state(incident.model))
    _, _, subject = incident.cause.partition(":")
    fresh = msgspec.to_builtins(RateState())
    if incident.kind == CauseKind.TENANT and subject in state.get("refusals", {}):
        state["refusals"] = {**state["refusals"], subject: fresh}
    elif incident.kind == CauseKind.ERRORS and "errors" in state:
        state["errors"] = fresh
    else:
        return
    tx.put_steward_state(incident.model, state)
