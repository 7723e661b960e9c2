"""Open, extend and close incidents; each change rides in the decision's transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from windvane.core.alerting import (
    Cause,
    CauseChange,
    CauseKind,
    Severity,
    Tier,
    cause_key_of,
    choose_severity,
    gravest,
    rank_suspects,
)
from windvane.core.alerting.notification import IncidentNotice, notification_lines
from windvane.core.journal import Effect, fact_hash
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.ports.notifier import Happening
from windvane.usecases.measure_impact import measure_impact, read_counted, span_before
from windvane.usecases.monitors.base import moment
from windvane.usecases.notify_people import follow_incident
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import ModelFile

_LONGEST_TITLE = 300


def cause_of(incident: Incident, kinds: Mapping[str, CauseKind]) -> Cause:
    """The cause of a stored incident; ``kinds`` are all that there are, by name."""
    return Cause(kinds[incident.kind], incident.cause.partition(":")[2])


def open_incident(
    tx: Tx,
    file: ModelFile,
    cause: Cause,
    *,
    title: str,
    now: float,
    since: float,
    evidence: Mapping[str, Any],
    decision: str,
    done: Sequence[str],
    members: tuple[str, ...] = (),
    sources: tuple[str, ...] = (),
    severity: Severity | None = None,
    down: bool = False,
) -> tuple[Effect, ...]:
    """Open the cause's incident, or add to the open one; the effects that tell people.

    A person is told once an incident, not once an alarm. ``members`` still sound in it,
    ``sources`` are those that it concerns. ``severity`` None is that of the cause's kind.
    ``down``: the model answers nothing meanwhile, which may be why.
    """
    held = tx.open_incident(file.model, cause.key)
    if held is not None:
        began = min(held.since, since)
        merged = _since(tx, file, cause, began, _merged(held.evidence, evidence))
        tx.put_incident(
            replace(
                held,
                evidence=merged,
                since=began,
                monitors=_monitors(held.monitors, members),
                acted=held.acted or bool(done),
            )
        )
        _note(tx, held.id, now, decision, (title, *done))
        return ()
    evidence = _since(tx, file, cause, since, evidence)
    incident = Incident(
        id=_name(tx, file.model, cause, decision),
        model=file.model,
        cause=cause.key,
        kind=cause.kind.name,
        severity=(severity or choose_severity(cause.kind, Tier(file.tier))).value,
        title=title,
        opened_at=now,
        since=since,
        closed_at=None,
        owner=f"{file.owner.team} {file.owner.contact}".strip(),
        runbook=_runbook(file, cause.kind),
        evidence=evidence,
        members=members,
        sources=sources,
        monitors=_monitors((), members),
        acted=bool(done),
        told_by=(),
    )
    tx.put_incident(incident)
    _note(tx, incident.id, now, decision, (title, *done))
    return _tell(file, incident, cause, done, now, down=down)


def _tell(
    file: ModelFile,
    incident: Incident,
    cause: Cause,
    done: Sequence[str],
    now: float,
    also: Sequence[str] = (),
    *,
    down: bool = False,
) -> tuple[Effect, ...]:
    told = IncidentNotice(
        incident.id, incident.model, cause.kind, cause.subject, incident.title, incident.since,
        now, incident.owner, incident.runbook, tuple(done), incident.evidence, file.pii,
        tuple(also),
    )  # fmt: skip
    body = "\n".join(notification_lines(told, moment))
    message: dict[str, Any] = {
        "title": f"[{incident.severity}] {incident.model}",
        "body": body,
        "severity": incident.severity,
        "team": file.owner.team,
        "model": incident.model,
        "cause": incident.cause,
        "incident": incident.id,
    }
    return (Effect(NOTIFY, {**message, "down": True} if down else message),)


def join_incident(
    tx: Tx,
    file: ModelFile,
    change: CauseChange,
    *,
    evidence: Sequence[Mapping[str, Any]],
    now: float,
    decision: str,
    done: Sequence[str],
    down: bool = False,
) -> tuple[Effect, ...]:
    """Tell of a cause's findings that began: in the open incident that it belongs to, else in one
    of its own. People hear of an open one again if it is graver than they were told."""
    merged: dict[str, Any] = {}
    for one in evidence:
        merged = _merged(merged, one)
    tier = Tier(file.tier)
    severity = gravest(choose_severity(f.cause.kind, tier, f.severity) for f in change.began)
    if not change.incident:
        return open_incident(
            tx, file, change.cause, title=change.title, now=now, since=change.since,
            evidence=merged, decision=decision, done=done, members=change.members,
            sources=change.sources, severity=severity, down=down,
        )  # fmt: skip
    held = tx.incident(change.incident)
    began = min(held.since, change.since)
    fresh = replace(
        held,
        evidence=_since(tx, file, change.cause, began, _merged(held.evidence, merged)),
        since=began,
        members=change.members,
        sources=change.sources,
        severity=gravest((Severity(held.severity), severity)).value,
        monitors=_monitors(held.monitors, change.members),
        acted=held.acted or bool(done),
    )
    if change.cause.key != held.cause:  # what explains the others leads
        kind = change.cause.kind
        fresh = replace(
            fresh, cause=change.cause.key, kind=kind.name, title=change.title,
            runbook=_runbook(file, kind),
        )  # fmt: skip
    tx.put_incident(fresh)
    lines = (*(f.title for f in change.began), *done)
    _note(tx, held.id, now, decision, lines)
    graver = Severity(fresh.severity).rank > Severity(held.severity).rank
    if not graver:
        return ()
    also = [f.title for f in change.began if f.title not in fresh.title]
    return _tell(file, fresh, change.cause, done, now, also, down=down)


def leave_incident(
    tx: Tx,
    file: ModelFile,
    change: CauseChange,
    kinds: Mapping[str, CauseKind],
    *,
    now: float,
    decision: str,
    lines: Sequence[str],
) -> tuple[Effect, ...]:
    """Note what ended; close the incident where nothing is left of its cause. Where what led it
    has ended, the gravest of the rest leads; ``kinds`` are all that there are, by name.
    The effects that tell who follows it."""
    if not change.incident:
        return ()
    held = tx.incident(change.incident)
    _note(tx, held.id, now, decision, lines)
    closed = now if change.over else None
    left = replace(held, members=change.members, closed_at=closed)
    keys = [cause_key_of(member) for member in change.members]
    if keys and held.cause not in keys:
        causes = [
            Cause(kinds[kind], subject) for kind, _, subject in (k.partition(":") for k in keys)
        ]
        tier = Tier(file.tier)
        graded = [(choose_severity(cause.kind, tier), cause) for cause in causes]
        severity, lead = max(graded, key=lambda pair: pair[0].rank)
        title = f"{held.title} (over); {lead.kind.name.replace('_', ' ')} goes on"
        left = replace(
            left, cause=lead.key, kind=lead.kind.name, severity=severity.value,
            title=title[:_LONGEST_TITLE], runbook=_runbook(file, lead.kind),
        )  # fmt: skip
    tx.put_incident(left)
    return follow_incident(left, Happening.RESOLVED) if change.over else ()


def _monitors(before: Sequence[str], members: Sequence[str]) -> tuple[str, ...]:
    """All that ever sounded, each once; what judges a rollout is none."""
    return tuple(dict.fromkeys((*before, *(m.partition("/")[0] for m in members))))


def _note(tx: Tx, incident: str, now: float, decision: str, lines: Sequence[str]) -> None:
    """What was said last, and nothing else since, is not said again: another stream of the same
    cause that sounds is told in the same words, and so is what was done about it."""
    said: set[str] = set()
    for note in reversed(tx.notes(incident)):
        if note.what not in lines:
            break
        said.add(note.what)
    for line in dict.fromkeys(lines):
        if line not in said:
            tx.add_note(incident, IncidentNote(now, line, decision))


def _runbook(file: ModelFile, kind: CauseKind) -> str:
    return file.runbook.rstrip("/") + "/" + kind.runbook


def _name(tx: Tx, model: str, cause: Cause, decision: str) -> str:
    """Readable, and of its own whatever a tenant is called."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", cause.subject).strip("-")
    subject = "" if cause.subject == model else f"-{words[:40]}"
    before = tx.count_incidents(model, cause.key)
    return f"{model}-{cause.kind.name}{subject}-{fact_hash([cause.key, decision, before])[:10]}"


def _merged(held: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """All that was ever suspected, each at its largest; of the rest, what was seen first.

    The first alarm's requests and histograms lie nearest to the break.
    """
    sizes = {s["feature"]: s["size"] for s in held.get("suspects", [])}
    for suspect in fresh.get("suspects", []):
        sizes[suspect["feature"]] = max(suspect["size"], sizes.get(suspect["feature"], 0.0))
    out: dict[str, Any] = {**fresh, **held}
    if sizes:
        ranked = rank_suspects(list(sizes.items()))
        out["suspects"] = [{"feature": name, "size": size} for name, size in ranked]
    drawn = {h["feature"] for h in held.get("histograms", [])}
    more = [h for h in fresh.get("histograms", []) if h["feature"] not in drawn]
    if drawn or more:
        out["histograms"] = [*held.get("histograms", []), *more]
    kinds = {*held.get("kinds", []), *fresh.get("kinds", [])}
    if kinds:
        out["kinds"] = sorted(kinds)
    return out


def _since(
    tx: Tx, file: ModelFile, cause: Cause, since: float, evidence: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Evidence of findings of which the first began at ``since`` (s): nothing in it is of an onset
    after that, and whom it hurts is counted from then on."""
    out = dict(evidence)
    for name in ("earliest", "first_window"):
        if isinstance(out.get(name), int | float):
            out[name] = min(out[name], since)
    good: Mapping[str, Any] = out.get("last_good") or {}
    if isinstance(good.get("before"), int | float):
        out["last_good"] = {**good, "before": min(good["before"], since)}
    impact: Mapping[str, Any] = out.get("impact") or {}
    if impact and max(since, impact["to"] - span_before(file)) < impact["from"]:
        counted = read_counted(tx, file, since, impact["to"])
        out["impact"] = measure_impact(tx, file, counted, cause, since, impact["to"], out)
    return out


def close_incident(
    tx: Tx, model: str, cause: Cause, *, now: float, decision: str, lines: list[str]
) -> tuple[Effect, ...]:
    """Close the cause's open incident, if there is one; the effects that tell who follows it."""
    held = tx.open_incident(model, cause.key)
    if held is None:
        return ()
    for line in lines:
        tx.add_note(held.id, IncidentNote(now, line, decision))
    tx.put_incident(replace(held, closed_at=now))
    return follow_incident(held, Happening.RESOLVED)
