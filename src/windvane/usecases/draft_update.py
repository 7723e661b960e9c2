"""Write the draft of what people are told next of an open incident, from the record alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windvane.core.alerting import Severity
from windvane.core.alerting.updates import UpdateFacts, draft_update
from windvane.ports.control_store import Incident, Tx
from windvane.usecases.measure_impact import measure_incident
from windvane.usecases.monitors import cause_kinds, monitor_named
from windvane.usecases.monitors.base import moment
from windvane.usecases.open_incident import cause_of
from windvane.usecases.read_model_file import ModelFile, read_model_file

UPDATE_NOTE = "update "
"""How notes of the timeline begin that are updates themselves."""
_KEPT = ("totals", "from", "to", "feature")


@dataclass(frozen=True, slots=True)
class UpdateDraft:
    """``text`` to be posted as update ``number``, and what an update remembers of the
    ``impact``."""

    number: int
    text: str
    impact: Mapping[str, Any]


def write_draft(tx: Tx, incident_id: str, now: float) -> UpdateDraft:
    """As it stands at ``now`` (s). Raises UnknownName."""
    held = tx.incident(incident_id)
    file = read_model_file(tx.model(held.model).text)
    impact = measure_incident(tx, file, held, now, held.updated_at)
    facts = UpdateFacts(
        model=held.model,
        title=held.title,
        severity=Severity(held.severity),
        since=held.since,
        now=now,
        number=held.updates + 1,
        on_it=held.acknowledged_by,
        done=_done(tx, held),
        impact=impact,
        before=held.update_impact,
        last_at=held.updated_at,
        outlook=_outlook(tx, held, file),
    )
    kept = {name: impact[name] for name in _KEPT if name in impact}
    return UpdateDraft(facts.number, "\n".join(draft_update(facts, moment)), kept)


def _done(tx: Tx, held: Incident) -> tuple[str, ...]:
    """What the timeline has since the last update, or since people were told first, each line
    once."""
    since = held.opened_at if held.updated_at is None else held.updated_at
    notes = [note for note in tx.notes(held.id) if note.at >= since]
    # All lines of an update belong to the one decision that posted it.
    posted = {n.decision for n in notes if n.what.startswith(UPDATE_NOTE)}
    lines = [n.what for n in notes if n.decision not in posted and n.what != held.title]
    return tuple(dict.fromkeys(lines))


def _outlook(tx: Tx, held: Incident, file: ModelFile) -> tuple[str, ...]:
    """What its monitors know of what comes next, each line once."""
    kinds = cause_kinds()
    if held.kind not in kinds:
        return ()
    cause = cause_of(held, kinds)
    states = tx.monitor_states([held.model])
    found: dict[str, None] = {}
    for name in held.monitors:
        monitor = monitor_named(name)
        if monitor is None or cause.kind not in (monitor.cause, *monitor.more_causes):
            continue
        rows = {state.subject: state.body for state in states if state.monitor == name}
        if line := monitor.outlook(file, rows, cause):
            found[line] = None
    return tuple(found)
