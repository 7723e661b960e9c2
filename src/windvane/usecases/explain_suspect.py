"""What the version makes of an incident's suspect: its mean answers at the usual values and at the
present ones, from what was computed as it was registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from windvane.core.alerting import Cause, CauseGroup
from windvane.core.drift import NO_VALUE, Baseline, Kind, describe_change
from windvane.core.drift.describe import Quartile, quartiles_of_change
from windvane.core.explanation import (
    MOST_FEATURES,
    UNSEEN_NAME,
    Curve,
    PartialDependence,
    Value,
    Where,
    answer_at,
    answer_beyond,
    has_range,
)
from windvane.core.routing import NO_SAMPLE
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.sketch import Layout
from windvane.ports.control_store import Tx, UnknownName, VersionRecord
from windvane.usecases.measure_impact import Counted, suspect_of
from windvane.usecases.measure_partial_dependence import unpack_partial_dependence
from windvane.usecases.read_model_file import ModelFile

_MOST_ROWS = 0.5


def explain_suspect(
    tx: Tx,
    file: ModelFile,
    counted: Counted,
    version: str,
    cause: Cause,
    since: float,
    until: float,
    evidence: Mapping[str, Any],
) -> dict[str, Any]:
    """For an incident's evidence, of its first suspect and the champion ``version``; {} where that
    is no feature. ``missing`` says why there are no answers. What is now is what the evidence says
    that changed, else what ``counted`` says of the time from ``since`` until ``until`` (s), against
    training. Raises ValueError where a version's record cannot be read."""
    feature = suspect_of(evidence)
    spec = next((spec for spec in file.schema if spec.name == feature), None)
    if spec is None or not version:
        return {}
    try:
        record = tx.version(file.model, version)
    except UnknownName:
        return {}
    out: dict[str, Any] = {"feature": feature, "version": version}
    found = unpack_partial_dependence(record.partial_dependence)
    held = None if found is None else found.curve(feature)
    if found is None or held is None or feature in file.pii:
        return {**out, "missing": _why_not(file, record, spec, found)}
    rank, curve = held
    only = cause.subject if cause.kind.responds_to is CauseGroup.TENANT else ""
    change = _told(evidence, feature) or _counted(tx, record, counted, feature, only, since, until)
    usual, now = _places(spec, curve, change, evidence)
    return {
        **out,
        "output": found.output,
        "rows": found.rows,
        "importance": curve.importance,
        "rank": rank,
        "features": found.features,
        "points": msgspec.to_builtins(curve.points),
        "quartiles": (change.get("quartiles") or (None,))[0] or list(curve.quartiles),
        "usual": usual,
        "now": now,
    }


def _why_not(
    file: ModelFile, record: VersionRecord, spec: FeatureSpec, found: PartialDependence | None
) -> str:
    """Why nothing is known of a feature of the model's file."""
    if spec.name in file.pii:
        return f"values of {spec.name} are tagged as pii"
    if record.features and spec.name not in record.features:
        return f"version {record.version} does not take {spec.name}"
    if not has_range(spec):
        return f"{spec.name} is a {spec.type.value}, which has no range to move over"
    if found is None:
        return f"version {record.version} was registered before this was computed"
    if found.missing:
        return found.missing
    if found.features <= MOST_FEATURES:
        return f"version {record.version} gave no answers as {spec.name} moved"
    return (
        f"{spec.name} is not among the {MOST_FEATURES} features that matter most to the answers "
        f"of version {record.version}"
    )


def _told(evidence: Mapping[str, Any], feature: str) -> Mapping[str, Any]:
    """What a monitor itself said that changed."""
    changes: Sequence[Mapping[str, Any]] = evidence.get("changes") or []
    return next((one for one in changes if one.get("feature") == feature), {})


def _counted(
    tx: Tx,
    record: VersionRecord,
    counted: Counted,
    feature: str,
    only: str,
    since: float,
    until: float,
) -> Mapping[str, Any]:
    """What changed since training, by the windows of the version's own layout; {} for no rows."""
    layout: Layout = tx.layout(record.layout_id)
    if feature not in layout.names:
        return {}
    now = np.zeros(layout.size, np.int64)
    for key, sketch in counted.between(since, until):
        of_whom = key.arm not in NO_SAMPLE and only in ("", key.tenant)
        if of_whom and sketch.layout_id == layout.id:
            now = now + sketch.features
    if not layout.part(now, feature).sum():
        return {}
    return describe_change(layout, feature, Baseline.from_bytes(record.baseline).counts, now)


def _places(
    spec: FeatureSpec, curve: Curve, change: Mapping[str, Any], evidence: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The usual value and the present one with their answers; None for one that is not known."""
    before, after = quartiles_of_change(change)
    first: Value = curve.quartiles[1] if curve.quartiles else curve.points[0].value
    usual = _of_median(spec, curve, before) or _place(curve, first)
    now = _of_median(spec, curve, after)
    if now is not None and _value_of(now) == _value_of(usual):
        now = _of_tail(curve, change) or now
    risen = [name for name, more in _moved(change) if more > 0]
    now = _place(curve, risen[0]) if risen else now
    was_null, is_null = change.get("nulls") or (0.0, 0.0)
    outages: Mapping[str, str] = evidence.get("outages") or {}
    # Where nothing but nulls sounds, what the other rows are like is chance.
    of_nulls = was_null < is_null and list(evidence.get("kinds") or ()) == [Kind.NULLS.value]
    if outages.get(spec.name) == NO_VALUE or was_null < _MOST_ROWS <= is_null or of_nulls:
        return usual, {**_place(curve, None), "share": is_null}
    if is_null < _MOST_ROWS <= was_null:
        return {**_place(curve, None), "share": was_null}, now
    return usual, now


def _value_of(place: Mapping[str, Any]) -> tuple[Any, Any]:
    return place["value"], place.get("beyond")


def _place(curve: Curve, value: Value) -> dict[str, Any]:
    """``asked`` is the value whose answer it is, where a number lies beyond all that were."""
    point = answer_at(curve.points, value)
    out = {"value": value, "where": point.where.value, "answer": point.answer}
    return {**out, "asked": point.value} if point.value != value else out


def _beyond(curve: Curve, value: float, side: str) -> dict[str, Any]:
    """Of numbers ``beyond`` an end of training's, which ``value`` is; ``asked`` is the one whose
    answer it is, None where none was asked about."""
    point = answer_beyond(curve.points, value, side)
    return {
        "value": value, "beyond": side, "where": point.where.value, "answer": point.answer,
        "asked": point.value,
    }  # fmt: skip


def _of_median(
    spec: FeatureSpec, curve: Curve, quartiles: Sequence[Quartile] | None
) -> dict[str, Any] | None:
    if not quartiles:
        return None
    median = quartiles[1]
    if median.side:
        return _beyond(curve, median.value, median.side)
    return _place(curve, bool(median.value) if _is_boolean(spec) else median.value)


def _of_tail(curve: Curve, change: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of the rows that came beyond training's values, with their ``share``; None where none did."""
    trained = [p.value for p in curve.points if p.where is Where.TRAINING]
    ends = [value for value in trained if isinstance(value, float)]
    for label, before, after in change.get("beyond") or ():
        side = str(label).partition(" ")[0]
        if after > before and ends and side in ("under", "over"):
            end = ends[0] if side == "under" else ends[-1]
            return {**_beyond(curve, end, side), "share": after}
    return None


def _moved(change: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Names and how much their share rose, the most first."""
    found = [
        (UNSEEN_NAME if label == "unseen" else str(label), after - before)
        for label, before, after in change.get("names") or ()
    ]
    return sorted(found, key=lambda one: -one[1])


def _is_boolean(spec: FeatureSpec) -> bool:
    return spec.type is FeatureType.BOOLEAN
