"""Count whom an incident hurts, by the windows that are kept: since it began, and before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.alerting import Cause, CauseGroup
from windvane.core.alerting.impact import TenantCounts, impact_evidence
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Layout, Sketch
from windvane.ports.control_store import Incident, Tx, WindowKey, WindowVerdict
from windvane.usecases.monitors import cause_kinds
from windvane.usecases.monitors.base import NO_SUBJECT
from windvane.usecases.monitors.estimates import TOLD, Estimates
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.read_model_file import ModelFile, parse_duration

_MOST_S = 86_400.0
_MOST_WINDOWS = 240


def count_tenants(
    tx: Tx, sketches: Iterable[tuple[WindowKey, Sketch]], feature: str
) -> dict[str, TenantCounts]:
    """By tenant, of those that asked for a row; ``feature`` "" counts no nulls."""
    layouts: dict[str, Layout] = {}
    counts: dict[str, TenantCounts] = {}
    for key, sketch in sketches:
        looked_at = nulls = 0
        if feature and key.version and key.arm not in NO_SAMPLE:
            layout = layouts.get(sketch.layout_id)
            if layout is None:
                layout = layouts[sketch.layout_id] = tx.layout(sketch.layout_id)
            if feature in layout.names:
                part = layout.part(sketch.features, feature)
                looked_at, nulls = int(part.sum()), int(part[0])
        unanswered = sketch.total("unanswered")
        one = TenantCounts(
            rows=sketch.total("rows") + unanswered,
            requests=sketch.total("requests"),
            failed=sketch.total("execution_errors") + unanswered,
            fell_back=sketch.total("fell_back"),
            looked_at=looked_at,
            nulls=nulls,
            unanswered=unanswered,
        )
        if one.rows:
            counts[key.tenant] = counts.get(key.tenant, TenantCounts()) + one
    return counts


def span_before(file: ModelFile) -> float:
    """Over how many seconds before an incident began its usual is counted, and after it at most
    what is now: a day, or as many windows as are read at once."""
    return min(_MOST_S, _MOST_WINDOWS * parse_duration(file.watch.window))


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What windows of a model counted (in no order), and the newest looks at how good answers
    are: all that `measure_impact` reads of the store but layouts."""

    sketches: Sequence[tuple[WindowKey, Sketch]]
    looks: Sequence[WindowVerdict]

    def between(self, since: float, until: float) -> Iterator[tuple[WindowKey, Sketch]]:
        return (pair for pair in self.sketches if since <= pair[0].start < until)


def read_counted(tx: Tx, file: ModelFile, began: float, until: float) -> Counted:
    """For incidents that began at ``began`` (s) or later, as they are ``until`` then. Of one that
    goes on for long the last windows are read, and those before it began."""
    span_s = span_before(file)
    before = tx.sketches(file.model, began - span_s, min(began, until))
    since = tx.sketches(file.model, max(began, until - span_s), until)
    return Counted([*before, *since], newest_looks(tx, file))


def newest_looks(tx: Tx, file: ModelFile) -> list[WindowVerdict]:
    if not file.watch.outcomes:
        return []
    return [
        look
        for monitor in (Outcomes.name, Estimates.name)
        for look in tx.verdicts(file.model, monitor, 0.0, 1, subject=NO_SUBJECT)
    ]


def measure_impact(
    tx: Tx,
    file: ModelFile,
    counted: Counted,
    cause: Cause,
    began: float,
    until: float,
    evidence: Mapping[str, Any],
    *,
    since: float | None = None,
) -> dict[str, Any]:
    """What the time from ``since`` (``began`` by default) until ``until`` (s) was
    like for each tenant against the time before ``began``, as `impact_evidence` has it; with
    ``quality``, what is known of that. ``evidence`` names the suspect and what changed."""
    span_s = span_before(file)
    first = max(began, until - span_s, since or began)
    feature = suspect_of(evidence)
    of_tenant = cause.kind.responds_to is CauseGroup.TENANT
    found = impact_evidence(
        count_tenants(tx, counted.between(first, until), feature),
        count_tenants(tx, counted.between(began - span_s, began), feature),
        span=(first, until),
        usual_span=(began - span_s, began),
        feature=feature,
        kinds=[str(kind) for kind in evidence.get("kinds", [])],
        only=cause.subject if of_tenant else "",
        hurts_if=cause.kind.hurts_if,
    )
    return {**found, "quality": known_quality(counted.looks, began)}


def suspect_of(evidence: Mapping[str, Any]) -> str:
    """The first suspect; "" for none."""
    return next((str(s["feature"]) for s in evidence.get("suspects", []) if "feature" in s), "")


def measure_incident(
    tx: Tx, file: ModelFile, held: Incident, now: float, since: float | None = None
) -> dict[str, Any]:
    """The same of an incident as it is on record, until it closed or ``now`` (s); {} of one whose
    kind this release does not know."""
    kind = cause_kinds().get(held.kind)
    if kind is None:
        return {}
    until = now if held.closed_at is None else held.closed_at
    until = max(until, held.since)
    counted = read_counted(tx, file, held.since, until)
    cause = Cause(kind, held.cause.partition(":")[2])
    return measure_impact(tx, file, counted, cause, held.since, until, held.evidence, since=since)


def known_quality(looks: Iterable[WindowVerdict], began: float) -> dict[str, Any]:
    """What is known best of the answers since ``began`` (s): measured by outcomes of that time,
    else estimated for it, else as it was measured before, which says so. {} where nothing is."""
    found = [one for look in looks if (one := _quality(look))]
    for wanted in (
        [q for q in found if not q["estimated"] and q["until"] > began],
        [q for q in found if q["estimated"] and q["until"] > began],
        [{**q, "before": True} for q in found if not q["estimated"]],
    ):
        if wanted:
            return max(wanted, key=lambda q: q["until"])
    return {}


def _quality(look: WindowVerdict) -> dict[str, Any]:
    detail = look.detail
    if look.monitor not in (Outcomes.name, Estimates.name):
        return {}
    estimated = look.monitor == Estimates.name
    metric = str(detail.get("metric", ""))
    value = detail.get("value") if estimated else detail.get(metric)
    if value is None or (estimated and look.code not in TOLD):
        return {}
    return {
        "metric": metric,
        "value": value,
        "lower": detail.get("lower"),
        "upper": detail.get("upper"),
        "level": detail.get("level"),
        "floor": detail.get("floor"),
        "rows": detail.get("rows" if estimated else "scored"),
        "estimated": estimated,
        "from": detail.get("began"),
        "until": detail.get("ended") or look.start,
    }
