"""Open, extend and close incidents; each change rides in the decision's transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from windvane.core.alerting import Cause, rank_suspects, severity_of
from windvane.core.journal import Effect, fact_hash
from windvane.ports.control_store import Incident, IncidentNote, Tx
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import ModelFile

RUNBOOKS = {
    "feed": "feed-broken.md",
    "canary": "canary-rolled-back.md",
    "tenant": "tenant-refused.md",
    "errors": "model-errors.md",
    "outcomes": "outcomes-below-floor.md",
    "training_drift": "drift.md",
}


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
    done: list[str],
) -> tuple[Effect, ...]:
    """Open the cause's incident, or add to the open one; the effects that tell people.

    A person is told once an incident, not once an alarm.
    """
    held = tx.open_incident(file.model, cause.key)
    if held is not None:
        merged = _merged(held.evidence, evidence)
        tx.put_incident(replace(held, evidence=merged, since=min(held.since, since)))
        for line in (title, *done):
            tx.add_note(held.id, IncidentNote(now, line, decision))
        return ()
    incident = Incident(
        id=_name(tx, file.model, cause, decision),
        model=file.model,
        cause=cause.key,
        kind=cause.kind.value,
        severity=severity_of(cause.kind).value,
        title=title,
        opened_at=now,
        since=since,
        closed_at=None,
        owner=f"{file.owner.team} {file.owner.contact}".strip(),
        runbook=file.runbook.rstrip("/") + "/" + RUNBOOKS[cause.kind.value],
        evidence=evidence,
    )
    tx.put_incident(incident)
    for line in (title, *done):
        tx.add_note(incident.id, IncidentNote(now, line, decision))
    body = "\n".join([title, *done, f"owner: {incident.owner}", f"runbook: {incident.runbook}"])
    return (Effect(NOTIFY, {"title": f"[{incident.severity}] {file.model}", "body": body}),)


def _name(tx: Tx, model: str, cause: Cause, decision: str) -> str:
    """Readable, and of its own whatever a tenant is called."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", cause.subject).strip("-")
    subject = "" if cause.subject == model else f"-{words[:40]}"
    before = sum(i.cause == cause.key for i in tx.incidents(model, 1_000))
    return f"{model}-{cause.kind.value}{subject}-{fact_hash([cause.key, decision, before])[:10]}"


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


def close_incident(
    tx: Tx, model: str, cause: Cause, *, now: float, decision: str, lines: list[str]
) -> bool:
    """Close the cause's open incident, if there is one."""
    held = tx.open_incident(model, cause.key)
    if held is None:
        return False
    for line in lines:
        tx.add_note(held.id, IncidentNote(now, line, decision))
    tx.put_incident(replace(held, closed_at=now))
    return True
