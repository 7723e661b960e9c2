"""Act on what the monitors of a window found: the one place where findings become moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import msgspec

from windvane.core.alerting import (
    Cause,
    CauseChange,
    CauseKind,
    Finding,
    OpenCause,
    Response,
    Responses,
    Tier,
    cause_key_of,
    choose_moves,
    choose_responses,
    is_unusual,
    opens_incident,
)
from windvane.core.alerting.inhibit import fails_entirely
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision, Effect
from windvane.core.routing import SELECTED, Arm
from windvane.ports.control_store import Deployment, Incident, Tx
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.closed_window import ClosedWindow, Unfit
from windvane.usecases.monitors import Judged, Monitor, cause_kinds
from windvane.usecases.moves import MOVES, Moved, MoveRequest
from windvane.usecases.open_incident import cause_of, join_incident, leave_incident
from windvane.usecases.read_model_file import ModelFile


class DecidedBefore(WindvaneError):
    """A window that was judged is judged again, from another state."""

    code: ClassVar[str] = "DEC-102"
    hint = "nothing was changed; `windvane logs steward` says of which window"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A finding with the monitor and the judgement behind it, and the evidence of its beginning."""

    finding: Finding
    monitor: Monitor
    judged: Judged
    evidence: Mapping[str, Any]


def open_causes(incidents: Sequence[Incident]) -> list[OpenCause]:
    """The open incidents of a model as they are correlated with."""
    kinds = cause_kinds()
    return [
        OpenCause(i.id, cause_of(i, kinds), i.since, i.members, i.sources, i.opened_at)
        for i in incidents
        if i.closed_at is None and i.kind in kinds
    ]


def respond(
    tx: Tx,
    window: ClosedWindow,
    change: CauseChange,
    found: Mapping[str, Found],
    now: float,
) -> None:
    """Make the moves that the cause and the model's file allow, tell, and record a decision for
    every finding: all in the caller's transaction. ``found`` are the findings by their member."""
    change = replace(change, members=_lasting(window.file, change))
    responses = choose_responses(change.cause.kind, window.file.respond)
    told = how_told(window, change, responses)
    before = tx.deployment(window.model) or window.live
    live, back, again = take_back(tx, before, change.ended, now, window.unfit)
    live, lines, action = _move(tx, live, change.began, responses, now, window.unfit)
    effects: tuple[Effect, ...] = change_deployment(tx, before, live)
    if change.began:
        first = _decision_id(window, change.began[0])
        if told is Response.NOTIFY:
            evidence = [found[f.member].evidence for f in change.began]
            effects += join_incident(
                tx, window.file, change, evidence=evidence, now=now, decision=first, done=lines,
                down=_is_down(window),
            )  # fmt: skip
    if change.ended:
        effects += leave_incident(
            tx, window.file, change, cause_kinds(),
            now=now, decision=_decision_id(window, change.ended[0]),
            lines=[*(f.title for f in change.ended), *back],
        )  # fmt: skip
    for finding in (*change.began, *change.ended):
        named = (action or told.value) if finding.began else (again or "close")
        _decide(tx, window, found[finding.member], named, now, effects)
        effects = ()


def _is_down(window: ClosedWindow) -> bool:
    """Whether the model answered next to nothing in the window."""
    own = [s for k, s in window.sketches if k.arm in (Arm.CHAMPION, Arm.FALLBACK, SELECTED)]
    failed = sum(s.total("execution_errors") for s in own)
    answered = sum(s.total("rows") for s in own) - failed
    return fails_entirely(failed + sum(s.total("unanswered") for s in own), answered)


def _lasting(file: ModelFile, change: CauseChange) -> tuple[str, ...]:
    """The members that would have opened an incident: what is for the digest is noted in one that
    is open, and does not keep it open."""
    kinds = cause_kinds()
    return tuple(
        member
        for member in change.members
        if opens_incident(
            choose_responses(kinds[cause_key_of(member).partition(":")[0]], file.respond)
        )
        or member == f"{member.partition('/')[0]}/{change.cause.key}"
    )


def how_told(window: ClosedWindow, change: CauseChange, responses: Responses) -> Response:
    """How people learn of it. What the file has in the digest they hear of at once where it does
    more harm than its kind usually does."""
    if opens_incident(responses):
        return Response.NOTIFY
    if Response.DIGEST not in responses:
        return Response.LOG
    tier = Tier(window.file.tier)
    graver = any(is_unusual(f.cause.kind, tier, f.severity) for f in change.began)
    return Response.NOTIFY if graver else Response.DIGEST


def take_back(
    tx: Tx, live: Deployment, ended: Sequence[Finding], now: float, unfit: Unfit
) -> tuple[Deployment, list[str], str]:
    """Undo what was done against findings that ended: the deployment afterwards, lines for people,
    and the action's name. Every move is asked: the file may allow others by now than when the
    finding began. What another finding of the same subject still asks for stays."""
    lines: list[str] = []
    action = ""
    for name in {n: None for f in ended for n in _moves_of(f.cause.kind)}:
        asked = _still_asked(tx, live.model, ended, name)
        over = [f for f in ended if f.cause.subject not in asked]
        if not over:
            continue
        moved = MOVES[name].end(live, MoveRequest(tx, over, now, unfit))
        live, action = moved.live, moved.action or action
        lines += moved.lines
    return live, lines, action


def _moves_of(kind: CauseKind) -> list[str]:
    return [name for names in kind.moves.values() for name in names]


def _still_asked(tx: Tx, model: str, ended: Sequence[Finding], move: str) -> set[str]:
    """Subjects that a finding which did not end has the ``move`` made against."""
    kinds = cause_kinds()
    gone = {f.member for f in ended}
    sounding = [m for i in tx.open_incidents(model) for m in i.members if m not in gone]
    found = (cause_key_of(member).partition(":") for member in sounding)
    return {s for kind, _, s in found if kind in kinds and move in _moves_of(kinds[kind])}


def _move(
    tx: Tx,
    live: Deployment,
    began: Sequence[Finding],
    responses: Responses,
    now: float,
    unfit: Unfit,
) -> tuple[Deployment, list[str], str]:
    lines: list[str] = []
    action = ""
    kinds = {f.cause.kind.name: f.cause.kind for f in began}
    for kind in kinds.values():
        mine = [f for f in began if f.cause.kind.name == kind.name]
        for name in choose_moves(kind, responses):
            moved: Moved = MOVES[name].begin(live, MoveRequest(tx, mine, now, unfit))
            live, action = moved.live, moved.action or action
            lines += moved.lines
    return live, lines, action


def _about(model: str, monitor: Monitor, cause: Cause) -> str:
    return monitor.title if cause.subject == model else monitor.about_cause(cause)


def _decision_id(window: ClosedWindow, finding: Finding) -> str:
    word = "began" if finding.began else "ended"
    return f"{window.model}/{finding.member}/{window.start:.0f}/{word}"


def _decide(
    tx: Tx,
    window: ClosedWindow,
    found: Found,
    action: str,
    now: float,
    effects: tuple[Effect, ...],
) -> None:
    finding, judged = found.finding, found.judged
    decision_id = _decision_id(window, finding)
    fresh = tx.decide(
        Decision(
            id=decision_id,
            model=window.model,
            judge=found.monitor.judge.name,
            subject=_about(window.model, found.monitor, finding.cause),
            action=action,
            at=now,
            policy=msgspec.to_builtins(judged.policy),
            facts=msgspec.to_builtins(judged.facts),
            verdict=judged.verdict,
            effects=effects,
        )
    )
    if not fresh:  # its effects would be lost: nothing of this is to be committed
        raise DecidedBefore(f"decision {decision_id} was taken before")
