"""Gather what is on record of an incident into a postmortem."""

from __future__ import annotations

from collections.abc import Iterator

from windvane.core.alerting.impact import TenantCounts, counts_nulls, quality_words
from windvane.core.alerting.notification import evidence_lines
from windvane.core.alerting.postmortem import (
    Impact,
    ItemLine,
    Postmortem,
    TenantImpact,
)
from windvane.core.sketch import Sketch
from windvane.ports.control_store import Incident, Tx, WindowKey
from windvane.ports.incidents import ActionItem
from windvane.usecases.measure_impact import (
    count_tenants,
    known_quality,
    newest_looks,
    span_before,
    suspect_of,
)
from windvane.usecases.monitors.base import moment
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file
from windvane.usecases.show_incident import show_incident

BEFORE_S = 86_400.0
_MOST_DECISIONS = 1_000
_MOST_ITEMS = 200
_MOST_OUTCOMES = 3
# What people and rollouts do to a model that can be why it changed.
CHANGES = frozenset(
    {"apply", "deploy", "advance", "promote", "rollback", "abort", "undeploy", "off", "on",
     "accept_change"}
)  # fmt: skip


def write_postmortem(tx: Tx, incident_id: str, now: float) -> Postmortem:
    """Of the incident as it is at ``now`` (s), without values of requests. Raises UnknownName."""
    held = show_incident(tx, incident_id, values=False)
    file = read_model_file(tx.model(held.model).text)
    first = held.first_acknowledged_at
    return Postmortem(
        incident=held.id,
        model=held.model,
        title=held.title,
        kind=held.kind,
        severity=held.severity,
        owner=held.owner,
        runbook=held.runbook,
        since=held.since,
        opened_at=held.opened_at,
        acknowledged_at=held.acknowledged_at if first is None else first,
        closed_at=held.closed_at,
        impact=_impact(tx, file, held, now),
        evidence=tuple(evidence_lines(held.evidence, file.pii, moment)),
        timeline=tuple((note.at, note.what) for note in tx.notes(held.id)),
        changes=_changes(tx, held),
        grade=held.grade,
        graded_by=held.graded_by,
        runbook_change=held.runbook_change,
        items=tuple(
            item_line(item, now) for item in tx.action_items(_MOST_ITEMS, incident=held.id)
        ),
    )


def item_line(item: ActionItem, now: float) -> ItemLine:
    return ItemLine(
        item.id,
        item.what,
        item.owner,
        item.due,
        moment(item.due - 1.0)[:10],
        item.acceptance,
        item.state,
        item.overdue(now),
    )


def _impact(tx: Tx, file: ModelFile, held: Incident, now: float) -> Impact:
    """By the windows that overlap with the incident; old ones are kept by the hour or day."""
    until = now if held.closed_at is None else held.closed_at
    window_s = parse_duration(file.watch.window)
    spans: list[tuple[float, float]] = [(held.since, until)]

    def overlapping() -> Iterator[tuple[WindowKey, Sketch]]:
        for key, sketch in tx.sketches_since({held.model: held.since - BEFORE_S}):
            ends = key.start + (key.span_s or window_s)
            if ends > held.since and key.start < until:
                spans.append((key.start, ends))
                yield key, sketch

    feature = suspect_of(held.evidence)
    if not counts_nulls(feature, held.evidence.get("kinds", ())):
        feature = ""
    before = held.since - span_before(file)
    usual = count_tenants(tx, tx.sketches(held.model, before, held.since), feature)
    counts = count_tenants(tx, overlapping(), feature)
    order = sorted(
        (TenantImpact(name, one, usual.get(name, TenantCounts())) for name, one in counts.items()),
        key=lambda t: (-t.counts.nulls, -t.counts.unanswered, -t.counts.failed,
                       -t.counts.fell_back, -t.counts.rows, t.tenant),
    )  # fmt: skip
    looked = tx.verdicts(held.model, Outcomes.name, held.since, _MOST_OUTCOMES, until)
    said = [f"{moment(v.start)}: {v.sentence}" for v in reversed(looked)]
    if not said and (known := quality_words(known_quality(newest_looks(tx, file), held.since))):
        said = [known]
    first, last = min(s for s, _ in spans), max(e for _, e in spans)
    return Impact(first, min(last, max(now, until)), tuple(order), tuple(said), feature)


def _changes(tx: Tx, held: Incident) -> tuple[tuple[float, str], ...]:
    """In the day before the onset, and up to when it was told."""
    found = [
        (
            decision.at,
            f"{decision.action.replace('_', ' ')}, {decision.subject}: {decision.verdict.sentence}"
            + (f" ({decision.actor})" if decision.actor else ""),
        )
        for decision in tx.decisions(held.model, _MOST_DECISIONS)
        if decision.action in CHANGES and held.since - BEFORE_S <= decision.at <= held.opened_at
    ]
    return tuple(reversed(found))
