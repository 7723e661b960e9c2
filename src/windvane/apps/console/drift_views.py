"""One feature over time, and all features of all tenants: what the drift pages draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from windvane.apps.console import times
from windvane.apps.console.csv_files import MOST_ROWS, Sheet, moment
from windvane.apps.console.reading import ModelPage
from windvane.apps.console.svg import Histogram, histogram
from windvane.apps.console.traffic import Counts
from windvane.apps.console.views import Chart
from windvane.core.authorization import bin_labels
from windvane.core.drift import EffectSizes, Kind, decimate, effect_sizes
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import NumericAxis
from windvane.ports.control_store import WindowVerdict
from windvane.usecases.count_rows import views_of
from windvane.usecases.monitors.drift_table import Bands, bands_of, material_sizes
from windvane.usecases.read_drift import (
    CellNow,
    DriftMap,
    EvidencePoint,
    KeptReading,
    evidence_points,
    part_of_alarm,
    readings_of,
)
from windvane.usecases.read_model_file import ModelFile

MOST_POINTS = 400
MOST_TENANTS_NAMED = 200
_PICTURES = 8
_WORST = 30
_LEVELS = 9
_KINDS = (
    (Kind.VALUES, "values", "ink"),
    (Kind.NULLS, "nulls", "busy"),
    (Kind.OUTAGE, "outage", "second"),
)
_MORE = 1.0001  # of a rounded size, beyond what is usual


@dataclass(frozen=True, slots=True)
class EffectPoint:
    """A feature's rows in the window that starts at ``start`` (s), or in the sum of an hour or a
    day that old ones are kept as, against the training data; ``bins`` are its counts."""

    start: float
    bins: Counts
    sizes: EffectSizes


@dataclass(frozen=True, slots=True)
class WindowPicture:
    """The feature's bins in one of the latest windows; ``band`` is that of its size, "" below."""

    start: float
    sizes: EffectSizes
    band: str
    picture: Histogram


@dataclass(frozen=True, slots=True)
class Insensitive:
    """A stream that shows at first only changes of ``size`` or more, which is more than the
    ``usual`` least; ``rows``: after about how many such a one is told, None where no number is
    enough."""

    feature: str
    kind: Kind
    size: float
    usual: float
    rows: int | None

    @property
    def sentence(self) -> str:
        """In plain words."""
        if self.kind is Kind.NULLS:
            what = f"only rises of the null rate by {self.size * 100:.0f} points or more are told"
            usual = f"others from {self.usual * 100:.0f} points on"
        else:
            what = f"only changes with a PSI of {self.size:.2f} or more are told"
            usual = f"others from {self.usual:.2f} on"
        after = f", after about {_two_digits(self.rows):,} rows" if self.rows else ""
        return f"{self.feature}: {self.kind.value}, {what} ({usual}){after}"


@dataclass(frozen=True, slots=True)
class StreamNow:
    """A stream after the last look: ``part`` of the log evidence that an alarm asks for; ``since``
    when an open alarm's change began by estimate (s)."""

    kind: str
    part: float
    alarmed: bool
    size: float
    since: float | None


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """``tenant`` "" for everyone. ``newest`` is of the whole range. ``alarms`` are the looks in
    which one opened or closed, newest first. ``now``: streams with evidence after the last look,
    which was at ``looked_at`` (s)."""

    feature: str
    source: str
    tenant: str
    tenants: tuple[str, ...]
    bands: Bands
    evidence: Chart | None
    effects: Chart | None
    points: tuple[EvidencePoint, ...]
    sizes: tuple[EffectPoint, ...]
    newest: EffectSizes | None
    pictures: tuple[WindowPicture, ...]
    alarms: tuple[tuple[float, KeptReading], ...]
    insensitive: tuple[Insensitive, ...]
    now: tuple[StreamNow, ...]
    looked_at: float | None

    @property
    def sounding(self) -> list[str]:
        """The streams whose alarm is open."""
        return [one.kind for one in self.now if one.alarmed]

    @property
    def band(self) -> str:
        return self.bands.word(self.newest.psi) if self.newest else ""


def known_features(page: ModelPage) -> list[str]:
    """The file's, then what else is counted: the outputs."""
    own = [spec.name for spec in page.glance.file.schema]
    return list(dict.fromkeys([*own, *(page.layout.names if page.layout else ())]))


def feature_drift(
    page: ModelPage, feature: str, tenant: str, looks: Sequence[WindowVerdict], cell: CellNow
) -> FeatureDrift:
    """``looks`` are those at everyone's rows or at the tenant's, oldest first; ``feature`` is one
    of `known_features`."""
    file = page.glance.file
    bands = bands_of(file)
    points = _thinned(evidence_points(looks, feature))
    sizes, newest = _effects(page, feature, tenant)
    alarms = [(p.start, r) for p in points for r in p.streams.values() if r.changed is not None]
    return FeatureDrift(
        feature=feature,
        source=views_of(file.schema, known_features(page)).get(feature, "the answer"),
        tenant=tenant,
        tenants=_tenants(page),
        bands=bands,
        evidence=_evidence_chart(points),
        effects=_effect_chart(sizes, bands),
        points=tuple(points),
        sizes=tuple(sizes),
        newest=newest,
        pictures=_pictures(page, feature, sizes, bands),
        alarms=tuple(reversed(alarms)),
        insensitive=tuple(i for i in insensitive(looks, file) if i.feature == feature),
        now=tuple(_streams_now(cell, feature)),
        looked_at=cell.at,
    )


def _streams_now(cell: CellNow, feature: str) -> Iterator[StreamNow]:
    for stream, held in cell.streams.items():
        name, _, kind = stream.rpartition("/")
        if name == feature and (held.alarmed or held.log_evidence > 0.0):
            part = part_of_alarm(held.log_evidence, cell.alarm_at, alarmed=held.alarmed)
            since = held.since if held.alarmed else None
            yield StreamNow(kind, part, held.alarmed, held.size, since)


def insensitive(looks: Sequence[WindowVerdict], file: ModelFile) -> list[Insensitive]:
    """By the newest look with readings, the least sensitive first."""
    newest = next((look for look in reversed(looks) if look.detail.get("readings")), None)
    if newest is None:
        return []
    usual, rows = material_sizes(file), int(newest.detail.get("rows", 0))
    out = [
        Insensitive(
            r.feature, r.kind, r.material, usual[r.kind], r.looks * rows if r.looks else None
        )
        for r in readings_of(newest)
        if r.material is not None and r.material > _MORE * usual[r.kind] + 1e-4
    ]
    return sorted(out, key=lambda i: (-i.size / i.usual, i.feature))


def _two_digits(n: int) -> int:
    """An estimate has no more."""
    unit = 10 ** max(0, len(str(n)) - 2)
    return round(n / unit) * unit


def _tenants(page: ModelPage) -> tuple[str, ...]:
    rows: dict[str, int] = {}
    for key, sketch in page.found:
        rows[key.tenant] = rows.get(key.tenant, 0) + int(sketch.traffic.sum())
    return tuple(sorted(rows, key=lambda t: (-rows[t], t))[:MOST_TENANTS_NAMED])


def _thinned(points: Sequence[EvidencePoint]) -> list[EvidencePoint]:
    places = decimate([p.height for p in points], [p.turned for p in points], MOST_POINTS)
    return [points[i] for i in places]


def _effects(
    page: ModelPage, feature: str, tenant: str
) -> tuple[list[EffectPoint], EffectSizes | None]:
    """A point a window that has rows, oldest first, and the sizes of all of them together."""
    layout, baseline = page.layout, page.baseline
    if layout is None or baseline is None or feature not in layout.names:
        return [], None
    ordered = isinstance(layout.axes[layout.names.index(feature)], NumericAxis)
    trained = layout.part(baseline.counts, feature)
    by_start: dict[float, Counts] = {}
    for key, sketch in page.found:
        if sketch.layout_id != layout.id or key.arm in NO_SAMPLE:
            continue
        if not tenant or key.tenant == tenant:
            part = layout.part(sketch.features, feature)
            held = by_start.get(key.start)
            by_start[key.start] = part if held is None else held + part
    out: list[EffectPoint] = []
    for start, bins in sorted(by_start.items()):
        sizes = effect_sizes(bins, trained, ordered=ordered)
        if sizes is not None:
            out.append(EffectPoint(start, bins, sizes))
    if not out:
        return [], None
    total = np.zeros_like(trained)
    for p in out:
        total += p.bins
    whole = effect_sizes(total, trained, ordered=ordered)
    kept = decimate([p.sizes.psi for p in out], [False] * len(out), MOST_POINTS)
    return [out[i] for i in kept], whole


def _pictures(
    page: ModelPage, feature: str, points: Sequence[EffectPoint], bands: Bands
) -> tuple[WindowPicture, ...]:
    layout, baseline = page.layout, page.baseline
    if layout is None or baseline is None:
        return ()
    axis = layout.axes[layout.names.index(feature)] if feature in layout.names else None
    if axis is None:
        return ()
    labels = bin_labels(axis.labels(), feature, page.glance.file.pii)
    trained = layout.part(baseline.counts, feature).tolist()
    out: list[WindowPicture] = []
    for p in reversed(points[-_PICTURES:]):
        words = ("in training", f"in the window of {times.utc(p.start)}")
        drawn = histogram(feature, labels, trained, p.bins.tolist(), words)
        out.append(WindowPicture(p.start, p.sizes, bands.word(p.sizes.psi), drawn))
    return tuple(out)


def _log10(log_evidence: float | None) -> float | None:
    return None if log_evidence is None else round(log_evidence / math.log(10.0), 3)


def _evidence_chart(points: Sequence[EvidencePoint]) -> Chart | None:
    """Evidence by stream and what an alarm asks for, as powers of ten."""
    if not points:
        return None
    series: list[dict[str, Any]] = []
    words: list[str] = []
    for kind, label, colour in _KINDS:
        held = [p.streams.get(kind) for p in points]
        if not any(held):
            continue
        values = [None if r is None else _log10(r.log_evidence) for r in held]
        series.append({"label": label, "colour": colour, "values": values})
        most = max((v for v in values if v is not None), default=0.0)
        words.append(f"{label}: evidence of 1e{most:.1f} at most")
    asked = [_log10(p.threshold) for p in points]
    series.append({"label": "an alarm asks for", "colour": "bad", "values": asked})
    words.append(f"an alarm asks for 1e{asked[-1]:.1f}")
    turned = [{"t": p.start, "label": "an alarm opened or closed"} for p in points if p.turned]
    data: dict[str, Any] = {
        "t": [p.start for p in points], "unit": "", "series": series, "marks": turned, "log": True,
    }  # fmt: skip
    return Chart("evidence", "Evidence of a change", "", "; ".join(words), data)


def _effect_chart(points: Sequence[EffectPoint], bands: Bands) -> Chart | None:
    if not points:
        return None
    series: list[dict[str, Any]] = []
    words: list[str] = []
    for name, label, colour in (
        ("psi", "PSI", "ink"), ("js", "JS", "busy"), ("kl", "KL", "second"), ("ks", "KS", "good"),
        ("nulls", "nulls rose by", "warn"),
    ):  # fmt: skip
        held = [getattr(p.sizes, name) for p in points]
        if all(v is None for v in held):
            continue
        values = [None if v is None else round(v, 4) for v in held]
        series.append({"label": label, "colour": colour, "values": values})
        known = [v for v in values if v is not None]
        words.append(f"{label}: {min(known):.2f} to {max(known):.2f}, last {known[-1]:.2f}")
    lines = [
        {"at": bands.look, "label": "look", "colour": "soft"},
        {"at": bands.investigate, "label": "investigate", "colour": "warn"},
        {"at": bands.alert, "label": "alert", "colour": "bad"},
    ]
    data: dict[str, Any] = {
        "t": [p.start for p in points], "unit": "", "series": series, "marks": [], "lines": lines,
    }  # fmt: skip
    return Chart("effects", "Size of the change", "against the training data", "; ".join(words),
                 data)  # fmt: skip


def evidence_sheet(found: FeatureDrift) -> Sheet:
    columns = ("start", "kind", "log_evidence", "log_alarm_at", "alarmed", "changed", "size",
               "material", "outcome", "sentence")  # fmt: skip
    rows = [
        (moment(p.start), r.kind.value, r.log_evidence, round(p.threshold, 4), r.alarmed, r.changed,
         r.size, r.material, p.outcome, p.sentence)
        for p in found.points
        for r in p.streams.values()
    ]  # fmt: skip
    return Sheet(f"evidence-{found.feature}", columns, rows)


def effects_sheet(found: FeatureDrift) -> Sheet:
    columns = ("start", "rows", "psi", "js", "kl", "ks", "nulls_rose", "band")
    rows = [
        (moment(p.start), p.sizes.rows, p.sizes.psi, p.sizes.js, p.sizes.kl, p.sizes.ks,
         p.sizes.nulls, found.bands.word(p.sizes.psi))
        for p in found.sizes
    ]  # fmt: skip
    return Sheet(f"effects-{found.feature}", columns, rows)


def windows_sheet(found: FeatureDrift) -> Sheet:
    rows = [
        (moment(p.start), label, before, after)
        for p in found.pictures
        for label, before, after in p.picture.rows
    ]
    return Sheet(f"bins-{found.feature}", ("start", "bin", "training_rows", "rows"), rows)


OF_FEATURE = {"evidence": evidence_sheet, "effects": effects_sheet, "bins": windows_sheet}


@dataclass(frozen=True, slots=True)
class WorstCell:
    """``part`` of the log evidence that an alarm asks for."""

    tenant: str
    feature: str
    kind: str
    part: float
    alarmed: bool
    size: float | None
    at: float


@dataclass(frozen=True, slots=True)
class MapView:
    """``data`` is what the browser draws, ``worst`` the first cells as a table; how many
    ``tenants`` and ``features`` that is, and how many of the cells have an open alarm."""

    data: Mapping[str, Any]
    worst: tuple[WorstCell, ...]
    tenants: int
    features: int
    alarmed: int


def map_view(found: DriftMap, q: str, base: str) -> MapView:
    """Narrowed to the tenants, and to the features, in whose names every word of ``q`` is found:
    where it names only one of the two, all of the other stay. ``base`` is the path of the features'
    pages."""
    words = q.casefold().split()
    tenants, features = _fits(found.tenants, words), _fits(found.features, words)
    if tenants or features:
        tenants, features = tenants or found.tenants, features or found.features
    places = {name: i for i, name in enumerate(features)}
    rows = {tenant: ["0"] * len(features) for tenant in tenants}
    alarmed = 0
    for (tenant, feature), cell in found.cells.items():
        if tenant in rows and feature in places:
            rows[tenant][places[feature]] = str(_level(found.part(cell), alarmed=cell.alarmed))
            alarmed += cell.alarmed
    worst = [
        WorstCell(
            tenant, feature, cell.kind.value, found.part(cell), cell.alarmed, cell.size, cell.at
        )
        for tenant, feature, cell in found.worst(_WORST, rows, places)
    ]
    data = {
        "tenants": list(tenants),
        "features": list(features),
        "cells": ["".join(row) for row in rows.values()],
        "base": base,
    }
    return MapView(data, tuple(worst), len(tenants), len(features), alarmed)


def _fits(names: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    return tuple(n for n in names if all(w in n.casefold() for w in words))


def _level(part: float, *, alarmed: bool) -> int:
    """0 for nothing, 1 to 8 for evidence, 9 for an alarm: one figure a cell."""
    return _LEVELS if alarmed else min(_LEVELS - 1, math.ceil(part * (_LEVELS - 1)))


def map_sheet(found: DriftMap) -> Sheet:
    columns = ("tenant", "feature", "kind", "log_evidence", "part_of_alarm", "alarmed", "size",
               "look")  # fmt: skip
    rows = [
        (tenant, feature, cell.kind.value, round(cell.log_evidence, 4),
         round(found.part(cell), 4), cell.alarmed, cell.size, moment(cell.at))
        for tenant, feature, cell in found.worst(MOST_ROWS + 1, found.tenants, found.features)
    ]  # fmt: skip
    return Sheet("drift", columns, rows)


def insensitive_sheet(found: Sequence[Insensitive]) -> Sheet:
    rows = [(i.feature, i.kind.value, i.size, i.usual, i.rows, i.sentence) for i in found]
    return Sheet("insensitive", ("feature", "kind", "least", "usual", "rows", "sentence"), rows)
