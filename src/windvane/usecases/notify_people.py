"""Tell people of an incident: by its route, in its time, until somebody answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from windvane.core.alerting import Severity, gravest
from windvane.core.alerting.delivery import (
    DeliveryFacts,
    DeliveryPolicy,
    Route,
    Step,
    choose_channels,
    plan_delivery,
    wait_after,
)
from windvane.core.alerting.inhibit import find_inhibitor
from windvane.core.alerting.updates import UpdatePolicy
from windvane.core.errors import WindvaneError
from windvane.core.journal import Effect
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    ControlStore,
    Incident,
    IncidentNote,
    OutboxItem,
    Silence,
    Tx,
    UnknownName,
)
from windvane.ports.notifier import Happening, Message, Notifier
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.base import moment
from windvane.usecases.office_hours import OfficeHours, next_opening
from windvane.usecases.plan_maintenance import silences_of
from windvane.usecases.read_calendar import OfficeCalendar
from windvane.usecases.read_model_file import BadModelFile, as_duration, read_model_file

FOLLOW = "follow_incident"
_LOOK_AGAIN_S = 60.0


class Postponed(Exception):
    """The effect is due ``at`` (wall, s), and has another ``body`` from now on."""

    def __init__(self, body: Mapping[str, Any], at: float) -> None:
        super().__init__(f"due at {at}")
        self.body, self.at = body, at


@dataclass(frozen=True, slots=True)
class Outlets:
    """The ways out: channels by name (`DEFAULT` among them), who is told of what, when, who is on
    call by the ``calendar`` and when the office is closed, and where
    the console is found ("": notifications have no link)."""

    channels: Mapping[str, Notifier]
    routes: Sequence[Route] = ()
    office: OfficeHours | None = None
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)
    updates: UpdatePolicy = field(default_factory=UpdatePolicy)
    calendar: Callable[[], OfficeCalendar] = OfficeCalendar
    console_url: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a channel is ``told``, and what those are that follow incidents: that it is ``over``,
    where it is. They would page for its beginning, and wait for its end."""

    told: Message
    over: Message | None = None

    def to(self, channel: Notifier) -> Message:
        return self.over if channel.follows and self.over is not None else self.told


def follow_incident(incident: Incident, happening: Happening) -> tuple[Effect, ...]:
    """The effect that tells channels which follow an incident what happened to it."""
    about = {"model": incident.model, "incident": incident.id}
    return (Effect(FOLLOW, {**about, "happening": happening.value}),)


def tell_people(store: ControlStore, clock: Clock, outlets: Outlets, item: OutboxItem) -> None:
    """Do what is next about one notification. Raises Postponed where more is to be done later, and
    what the last channel raised where none took it."""
    while True:
        with store.read() as tx:
            incident = find_incident(tx, item.body)
            consumers = _consumers(tx, item.key)
            silences = _silences(tx, incident, clock.wall())
        if silences:
            _wait_in_silence(store, clock, item, incident, silences)
        if _ended_in_silence(item.body, incident):
            return
        with store.read() as tx:
            muted_by = _inhibitor(tx, item.body, incident)
        if muted_by:
            _mute(store, clock, item, muted_by)
        if item.body.get("muted") and incident is not None and incident.closed_at is not None:
            return
        item = _once(store, clock, outlets, item, incident, consumers)
        if item.body.get("finished"):
            return


def tell_followers(store: ControlStore, clock: Clock, outlets: Outlets, item: OutboxItem) -> None:
    """Tell channels of an incident's route that follow it. Raises what the last of those raised
    that failed, when the others are told."""
    with store.read() as tx:
        incident = find_incident(tx, item.body)
        team = team_of(tx, str(item.body.get("model", "")))
    if incident is None:
        return
    happening = Happening(item.body["happening"])
    if happening is not Happening.RESOLVED and incident.closed_at is not None:
        return  # that it is over is told, and is all that there is to know
    severity = Severity(incident.severity)
    names = {
        name
        for one in Severity
        if one.rank <= severity.rank
        for name in choose_channels(outlets.routes, one, team)
    }
    failed: Exception | None = None
    for name in sorted(names):
        channel = outlets.channels[name]
        if not channel.follows or not _heard(incident, name):
            continue
        words = {"title": incident.title, "body": f"{incident.title}\n{happening.value}"}
        key = _over_key(incident) if happening is Happening.RESOLVED else item.key
        message = make_message(outlets, key, words, incident, team, severity, clock.wall())
        try:
            channel.send(replace(message, happening=happening))
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed


def _once(
    store: ControlStore,
    clock: Clock,
    outlets: Outlets,
    item: OutboxItem,
    incident: Incident | None,
    consumers: str,
) -> OutboxItem:
    """The item as it is after one step; ``finished`` in its body if nothing is left."""
    wall, body = clock.wall(), dict(item.body)
    team, severity = str(body.get("team", "")), _severity(body, incident)
    names = _route(outlets, body, severity, team, wall)
    began = float(body.setdefault("began", wall))
    plan = plan_delivery(_facts(body, incident, severity, len(names), outlets, wall),
                         outlets.policy, wall)  # fmt: skip
    if incident is None and plan.step is not Step.TELL:
        return replace(item, body={**body, "finished": True})
    match plan.step:
        case Step.DONE:
            return replace(item, body={**body, "finished": True})
        case Step.WAIT:
            # Somebody may answer, or it may end, before that.
            raise Postponed({**body, "waited": True}, plan.at)
        case Step.RAISE:
            after = as_duration(outlets.policy.due_within_s)
            line = f"nobody acknowledged it within {after}: it is of high severity now"
            graver = {
                **body,
                "told": 0,
                "reached": 0,
                "overdue": True,
                "names": [],
                "severity": Severity.HIGH.value,
            }
            _raise(store, clock, item.key, graver, line)
            return replace(item, body=graver)
        case Step.TELL:
            pass
    key = f"{item.key}/overdue" if body.get("overdue") else item.key
    words = {"title": str(body["title"]), "body": str(body["body"]) + consumers}
    if body.get("overdue"):
        words["title"] = f"[high] {body.get('model', '')}"
        words["body"] = f"overdue: nobody acknowledged it\n{words['body']}"
    message = make_message(outlets, key, words, incident, team, severity, began)
    sent = Sent(message) if incident is None else _sent(message, incident, wall)
    reached = _try(store, clock, outlets, item, names, plan.channel, sent, body, incident)
    if incident is not None:
        _await_update(store, clock, incident)
    after = {**body, "told": reached + 1, "told_at": wall,
             "reached": int(body.get("reached", 0)) + 1}  # fmt: skip
    return replace(item, body=after if incident is not None else {**after, "finished": True})


def _route(
    outlets: Outlets, body: dict[str, Any], severity: Severity, team: str, wall: float
) -> tuple[str, ...]:
    """The channels of its route; of a page first those of who is on call as it begins: who is
    relieved meanwhile changes nothing of the order in which it goes on."""
    routed = choose_channels(outlets.routes, severity, team)
    if severity is not Severity.HIGH:
        return routed
    held = [name for name in body.get("names", []) if name in outlets.channels]
    if not held:
        held = [n for n in outlets.calendar().on_call(wall) if n in outlets.channels]
        if not held:
            return routed
        body["names"] = held
    return tuple(dict.fromkeys((*held, *routed)))


def _try(
    store: ControlStore,
    clock: Clock,
    outlets: Outlets,
    item: OutboxItem,
    names: Sequence[str],
    first: int,
    sent: Sent,
    body: dict[str, Any],
    of: Incident | None,
) -> int:
    """The number of the channel that took it, from ``first`` on. Raises what the last raised."""
    incident, failed = sent.told.incident, list(body.get("failed", []))
    lines: list[str] = []
    if first > 0:
        wait = as_duration(wait_after(outlets.policy, int(body.get("reached", 0))))
        lines.append(f"not acknowledged for {wait}: told by {names[first]} too")
    for number in range(first, len(names)):
        name = names[number]
        channel = outlets.channels[name]
        if of is not None and of.closed_at is None and not _heard(of, name):
            _note_sent_to(store, of, name)
        if of is not None and sent.over is not None and channel.follows and not _heard(of, name):
            continue  # nothing is there to be resolved
        try:
            channel.send(sent.to(channel))
        except Exception as error:
            last = number + 1 == len(names)
            if name not in failed:  # of a retry the timeline knows already
                failed.append(name)
                rest = "it is tried again" if last else f"it falls to {names[number + 1]}"
                lines.append(f"{name} did not take the notification: {rest}")
            if last:
                if failed != body.get("failed", []):
                    _note(store, clock, incident, lines, item.key, {**body, "failed": failed})
                raise error
        else:
            _note(store, clock, incident, lines)
            return number
    if sent.over is not None:
        return len(names)  # it was over before any of these could be told
    raise WindvaneError("a route without a channel")


def _facts(
    body: Mapping[str, Any],
    incident: Incident | None,
    severity: Severity,
    channels: int,
    outlets: Outlets,
    wall: float,
) -> DeliveryFacts:
    return DeliveryFacts(
        severity=severity,
        channels=channels,
        began=float(body["began"]),
        office_opens=next_opening(outlets.office, wall, outlets.calendar()),
        told=int(body.get("told", 0)),
        told_at=float(body.get("told_at", 0.0)),
        reached=int(body.get("reached", 0)),
        is_open=incident is None or incident.closed_at is None,
        acknowledged=incident is not None and bool(incident.acknowledged_by),
        overdue=bool(body.get("overdue")),
        waited=bool(body.get("waited")),
    )


def make_message(
    outlets: Outlets,
    key: str,
    words: Mapping[str, str],
    incident: Incident | None,
    team: str,
    severity: Severity,
    at: float,
) -> Message:
    if incident is None:
        return Message(key, words["title"], words["body"], severity=severity.value, at=at)
    link = ""
    if outlets.console_url:
        link = f"{outlets.console_url.rstrip('/')}/incidents/{quote(incident.id, safe='')}"
    labels = {"model": incident.model, "kind": incident.kind, "team": team,
              "cause": incident.cause, "runbook": incident.runbook}  # fmt: skip
    return Message(
        key, words["title"], words["body"], incident.id, severity.value, at=at, link=link,
        labels=labels,
    )  # fmt: skip


def _sent(message: Message, incident: Incident, wall: float) -> Sent:
    """What is sent of an incident as it is now: of one that ended before it could be told, that
    first, and no page."""
    if incident.closed_at is None:
        return Sent(message)
    since = f"closed since {moment(incident.closed_at)}"
    late = replace(message, body=f"{since}\n{message.body}")
    told = replace(late, title=f"[closed] {incident.model}", severity=Severity.LOW.value)
    over = replace(late, key=_over_key(incident), happening=Happening.RESOLVED, at=wall,
                   severity=incident.severity)  # fmt: skip
    return Sent(told, over)


def _over_key(incident: Incident) -> str:
    """Of the end of an incident, which is told once, whichever effect comes first."""
    return f"{incident.id}/over"


def _severity(body: Mapping[str, Any], incident: Incident | None) -> Severity:
    """What it was told as: an incident that becomes graver is told of once more."""
    given = body.get("severity") or (incident.severity if incident is not None else "high")
    return Severity(given)


def find_incident(tx: Tx, body: Mapping[str, Any]) -> Incident | None:
    name = str(body.get("incident", ""))
    try:
        return tx.incident(name) if name else None
    except UnknownName:
        return None


def _raise(store: ControlStore, clock: Clock, key: str, body: Mapping[str, Any], line: str) -> None:
    """In one transaction with what the effect remembers: a severity is raised once."""
    model, name = str(body["model"]), str(body["incident"])
    with store.begin([model]) as tx:
        held = tx.incident(name)
        severity = gravest((Severity(held.severity), Severity.HIGH))
        tx.put_incident(replace(held, severity=severity.value))
        tx.add_note(name, IncidentNote(clock.now(), line))
        tx.postpone_effect(key, body, clock.wall() + _LOOK_AGAIN_S)


def _note_sent_to(store: ControlStore, incident: Incident, name: str) -> None:
    """Before it is sent: what did not seem to arrive may have."""
    with store.begin([incident.model]) as tx:
        held = tx.incident(incident.id)
        if held.told_by is not None and name not in held.told_by:
            tx.put_incident(replace(held, told_by=(*held.told_by, name)))


def _await_update(store: ControlStore, clock: Clock, incident: Incident) -> None:
    """From the first telling on, people wait for an update."""
    if incident.update_since is not None:
        return
    with store.begin([incident.model]) as tx:
        held = tx.incident(incident.id)
        if held.update_since is None and held.closed_at is None:
            tx.put_incident(replace(held, update_since=clock.wall()))


def _heard(incident: Incident, name: str) -> bool:
    """Whether the channel may know of it."""
    return incident.told_by is None or name in incident.told_by


def _note(
    store: ControlStore,
    clock: Clock,
    incident: str,
    lines: Sequence[str],
    key: str = "",
    body: Mapping[str, Any] | None = None,
) -> None:
    """Lines of the incident's timeline, and in the same transaction what the effect remembers."""
    if not lines:
        return
    with store.begin([]) as tx:
        for line in lines if incident else ():
            tx.add_note(incident, IncidentNote(clock.now(), line))
        if body is not None:
            tx.postpone_effect(key, body, clock.wall() + _LOOK_AGAIN_S)


def _silences(tx: Tx, incident: Incident | None, wall: float) -> list[Silence]:
    """What keeps people from being told of it now."""
    return (
        [] if incident is None else silences_of(tx.silences(wall, incident.model), incident, wall)
    )


def _wait_in_silence(
    store: ControlStore,
    clock: Clock,
    item: OutboxItem,
    incident: Incident | None,
    lasting: Sequence[Silence],
) -> None:
    """Raises Postponed: a silence that is lifted is noticed within a minute. What is first to be
    told in planned maintenance says so from then on."""
    planned = next((one for one in lasting if one.planned), None)
    untold = not item.body.get("told")
    if planned is not None and incident is not None and untold and not incident.maintenance:
        line = f"in planned maintenance until {moment(planned.until)}: {planned.reason}"
        with store.begin([incident.model]) as tx:
            held = tx.incident(incident.id)
            tx.put_incident(replace(held, maintenance=planned.reason or planned.id))
            tx.add_note(incident.id, IncidentNote(clock.now(), line))
    at = min(max(one.until for one in lasting), clock.wall() + _LOOK_AGAIN_S)
    raise Postponed({**item.body, "silenced": True}, at)


def _ended_in_silence(body: Mapping[str, Any], incident: Incident | None) -> bool:
    """Whether nobody is to be told any more: what was silenced and ended meanwhile is over."""
    return bool(body.get("silenced")) and (incident is None or incident.closed_at is not None)


def _inhibitor(tx: Tx, body: Mapping[str, Any], incident: Incident | None) -> str:
    """The open incident of the model that explains this one, which began while nothing was
    answered; "" for none."""
    if incident is None or not body.get("down"):
        return ""
    kinds = cause_kinds()
    if incident.kind not in kinds:
        return ""
    opened = tx.open_incidents(incident.model)
    others = [(i.id, kinds[i.kind]) for i in opened if i.id != incident.id and i.kind in kinds]
    return find_inhibitor(kinds[incident.kind], others)


def _mute(store: ControlStore, clock: Clock, item: OutboxItem, muted_by: str) -> None:
    """Raises Postponed: it is looked at again, and the timeline says once why nobody is told."""
    if item.body.get("muted") != muted_by:
        line = f"muted while {muted_by} is open: the model answers nothing"
        body = {**item.body, "muted": muted_by}
        _note(store, clock, str(item.body["incident"]), [line], item.key, body)
    raise Postponed({**item.body, "muted": muted_by}, clock.wall() + _LOOK_AGAIN_S)


def team_of(tx: Tx, model: str) -> str:
    try:
        return read_model_file(tx.model(model).text).owner.team
    except (UnknownName, BadModelFile):
        return ""


def _consumers(tx: Tx, key: str) -> str:
    """A line that names the teams which depend on the model, "" for none. Who is not known must
    not keep the others from being told."""
    try:
        model = tx.decision(key.rpartition("#")[0]).model
        teams = read_model_file(tx.model(model).text).consumers
    except (UnknownName, BadModelFile):
        return ""
    return f"\nconsumers: {', '.join(teams)}" if teams else ""
