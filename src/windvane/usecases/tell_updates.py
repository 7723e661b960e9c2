"""Tell updates of open incidents, and their owner once that one is overdue."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from windvane.core.alerting import Severity
from windvane.core.alerting.delivery import DEFAULT, choose_channels
from windvane.core.alerting.updates import UpdatePolicy, update_due
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Incident, OutboxItem, Tx, UnknownName
from windvane.ports.notifier import Happening, Message
from windvane.usecases.notify_people import Outlets, find_incident, make_message, team_of
from windvane.usecases.plan_maintenance import silences_of
from windvane.usecases.read_model_file import as_duration

UPDATE = "tell_update"


def update_effect(incident: Incident, text: str, number: int) -> Effect:
    """The effect that tells the channels of an incident an update of it."""
    about = {"model": incident.model, "incident": incident.id}
    return Effect(UPDATE, {**about, "text": text, "number": number})


def next_update(incident: Incident, policy: UpdatePolicy) -> float | None:
    """When an open incident wants its next update (wall, s); None where it is closed or nobody was
    told of it yet."""
    if incident.closed_at is not None:
        return None
    return update_due(Severity(incident.severity), incident.update_since, policy)


def queue_reminders(store: ControlStore, clock: Clock, policy: UpdatePolicy) -> int:
    """Queue what owners are told of open incidents whose update is overdue; how many. One of an
    update is told once, whoever looks: its decision is named by when the last was told."""
    queued, wall = 0, clock.wall()
    with store.read() as tx:
        late = [i for i in tx.open_incidents() if _is_overdue(tx, i, policy, wall)]
    for incident in late:
        due = next_update(incident, policy)
        verdict = Verdict(
            Outcome.PASS, "INC-119",
            f"an update of incident {incident.id} is overdue: "
            f"one is wanted each {as_duration(policy.every(Severity(incident.severity)))}",
        )  # fmt: skip
        about = {"model": incident.model, "incident": incident.id, "number": incident.updates + 1}
        effect = Effect(UPDATE, {**about, "overdue": True, "text": verdict.sentence})
        decision = Decision(
            _reminder(incident), incident.model, "", f"incident {incident.id}", "update_overdue",
            clock.now(), {}, {"due": due}, verdict, (effect,),
        )  # fmt: skip
        with store.begin([incident.model]) as tx:
            queued += tx.decide(decision)
    return queued


def _is_overdue(tx: Tx, incident: Incident, policy: UpdatePolicy, wall: float) -> bool:
    due = next_update(incident, policy)
    if due is None or wall < due:
        return False
    if silences_of(tx.silences(wall, incident.model), incident, wall):
        return False
    with contextlib.suppress(UnknownName):
        tx.decision(_reminder(incident))
        return False
    return True


def _reminder(incident: Incident) -> str:
    return f"{incident.id}/update-overdue/{incident.update_since:.0f}"


def tell_update(store: ControlStore, clock: Clock, outlets: Outlets, item: OutboxItem) -> None:
    """Tell the channels of the incident's route that are for reading; of one that is overdue the
    first of them, which is its owner's. Raises what the last of those raised that failed, when
    the others are told."""
    with store.read() as tx:
        incident = find_incident(tx, item.body)
        team = team_of(tx, str(item.body.get("model", "")))
    overdue = bool(item.body.get("overdue"))
    if incident is None or (overdue and not _still_due(incident, item)):
        return
    severity = Severity(incident.severity)
    routed = choose_channels(outlets.routes, severity, team)
    names = [name for name in routed if not outlets.channels[name].follows] or [DEFAULT]
    every = as_duration(outlets.updates.every(severity))
    if overdue:
        names, title = names[:1], f"[update overdue] {incident.model}"
        lines = [incident.title, item.body["text"], f"to do: `windvane update {incident.id}`"]
    else:
        title = f"[update {item.body['number']}] {incident.model}"
        lines = [item.body["text"], f"next update: within {every}"]
    words = {"title": title, "body": "\n".join(map(str, lines))}
    message = make_message(outlets, item.key, words, incident, team, severity, clock.wall())
    failed: Exception | None = None
    for name in names:
        try:
            outlets.channels[name].send(_of_update(message))
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed


def _of_update(message: Message) -> Message:
    return replace(message, happening=Happening.UPDATED)


def _still_due(incident: Incident, item: OutboxItem) -> bool:
    return incident.closed_at is None and incident.updates + 1 == item.body["number"]
