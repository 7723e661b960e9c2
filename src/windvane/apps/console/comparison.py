"""Two versions of a model side by side: what they were made of, and how they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from windvane.apps.console.colours import colour_of
from windvane.apps.console.csv_files import Sheet, moment
from windvane.apps.console.reading import ModelPage, baseline_of
from windvane.apps.console.traffic import Tally, summed_until, windows_of
from windvane.core.drift import psi
from windvane.core.journal import Decision
from windvane.core.sketch import CategoryAxis, Layout
from windvane.ports.control_store import Tx, UnknownName, VersionRecord
from windvane.usecases.measure_quality import QualityReport, SpanQuality
from windvane.usecases.read_model_file import ModelFile

_MOST_LINES = 200
_MOST_NAMES = 12
_MOST_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One fact of both; ``same`` where they do not differ."""

    name: str
    a: Any
    b: Any

    @property
    def same(self) -> bool:
        return self.a == self.b


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """``change`` is added, removed, changed or same, from the first version to the second; ``psi``
    how far its training data moved, None where they cannot be compared."""

    name: str
    view: str
    type: str
    change: str
    what: str
    psi: float | None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a version was accepted with: its metric on the holdout with its bounds."""

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    rows: int | None
    decision: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Live:
    """How a version did over some windows, and how good its answers were; ``quality`` None where
    no outcome of its predictions is known. ``windows`` are those in which it answered, of windows
    that are kept as such."""

    windows: int
    tally: Tally
    quality: SpanQuality | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is read for a comparison, beside the model's page."""

    a: VersionRecord
    b: VersionRecord
    layouts: Mapping[str, Layout]
    accepted: Mapping[str, Decision]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``a`` and ``b`` are the versions. ``together``: how each did in the windows in which both
    served, ``apart``: in all of the range. ``summed_until`` (s): windows before it are kept as
    sums of hours or days, so nobody knows who served in which; None where none is."""

    a: str
    b: str
    lineage: tuple[Line, ...]
    features: tuple[FeatureChange, ...]
    metrics: tuple[Line, ...]
    accepted: tuple[Acceptance | None, Acceptance | None]
    together: tuple[Live, Live]
    apart: tuple[Live, Live]
    spans: tuple[tuple[SpanQuality, SpanQuality], ...]
    summed_until: float | None

    @property
    def colours(self) -> tuple[int, int]:
        return colour_of(self.a), colour_of(self.b)

    @property
    def changed_features(self) -> int:
        return sum(one.change != "same" for one in self.features)


def default_pair(page: ModelPage) -> tuple[str, str]:
    """Who answers and who is to follow, else who answered before, else the newest two."""
    live, names = page.glance.live, [v.version for v in page.versions]
    if live is not None and live.challenger:
        return live.champion, live.challenger
    if live is not None and live.previous:
        return live.previous, live.champion
    return (names[-2], names[-1]) if len(names) > 1 else (names[-1], names[-1])


def load_comparison(tx: Tx, page: ModelPage, a: str, b: str) -> Loaded:
    """Raises UnknownName."""
    model = page.glance.record.name
    records = tx.version(model, a), tx.version(model, b)
    accepted: dict[str, Decision] = {}
    for one in records:
        try:
            accepted[one.version] = tx.decision(f"{model}/register/{one.version}")
        except UnknownName:
            continue
    ids = {one.layout_id for one in records}
    return Loaded(*records, {name: tx.layout(name) for name in ids}, accepted)


def compare(page: ModelPage, loaded: Loaded, report: QualityReport | None) -> Comparison:
    """``report`` is None where the log cannot be read."""
    a, b = loaded.a, loaded.b
    mine = {name: _tallies(page, name) for name in (a.version, b.version)}
    summed = {name: _summed(page, name) for name in (a.version, b.version)}
    both = set(mine[a.version]) & set(mine[b.version])
    whole = {one.version: one for one in report.whole} if report else {}

    def live(name: str, starts: set[float] | None) -> Live:
        found = {s: t for s, t in mine[name].items() if starts is None or s in starts}
        total = Tally()
        for tally in (*found.values(), *([summed[name]] if starts is None else [])):
            total.add(tally.traffic, tally.latency)
        return Live(len(found), total, whole.get(name))

    return Comparison(
        a=a.version,
        b=b.version,
        lineage=_lineage(a, b),
        features=_features(page.glance.file, loaded),
        metrics=tuple(
            Line(name, a.metrics.get(name), b.metrics.get(name))
            for name in sorted({*a.metrics, *b.metrics})
        ),
        accepted=(_accepted(loaded, a), _accepted(loaded, b)),
        together=(live(a.version, both), live(b.version, both)),
        apart=(live(a.version, None), live(b.version, None)),
        spans=_spans(report, a.version, b.version),
        summed_until=summed_until(page.found, page.glance.grid),
    )


def _tallies(page: ModelPage, version: str) -> dict[float, Tally]:
    """By window, of those in which the version answered and that are kept as such."""
    out: dict[float, Tally] = {}
    for key, sketch in page.found:
        if key.version == version and key.span_s is None:
            out.setdefault(key.start, Tally()).add(sketch.traffic, sketch.latency)
    return {start: tally for start, tally in out.items() if tally.rows}


def _summed(page: ModelPage, version: str) -> Tally:
    """Of the page's windows that are kept as sums of hours or days."""
    out, grid = Tally(), page.glance.grid
    first = grid.starts[0] if grid.starts else grid.open
    for key, sketch in page.found:
        if key.version == version and key.span_s is not None:
            for start, part in windows_of(key, sketch, grid.window_s):
                if start >= first:
                    out.add(part.traffic, part.latency)
    return out


def _spans(
    report: QualityReport | None, a: str, b: str
) -> tuple[tuple[SpanQuality, SpanQuality], ...]:
    if report is None or a == b:
        return ()
    held = {(one.start, one.version): one for one in report.spans}
    starts = sorted({one.start for one in report.spans})
    return tuple((held[s, a], held[s, b]) for s in starts if (s, a) in held and (s, b) in held)


def _lineage(a: VersionRecord, b: VersionRecord) -> tuple[Line, ...]:
    sides = [
        {
            "made": moment(one.created_at),
            "task": one.task,
            "manifest": one.manifest,
            "sources": ", ".join(one.views),
            **_flat(one.lineage),
        }
        for one in (a, b)
    ]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))[:_MOST_LINES]
    return tuple(Line(name, sides[0].get(name), sides[1].get(name)) for name in names)


def _flat(given: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Nested facts by their path; of a list how long it is, unless it is short."""
    out: dict[str, Any] = {}
    for name, value in given.items():
        path = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping) and depth < _MOST_DEPTH:
            out |= _flat(cast("Mapping[str, Any]", value), f"{path}, ", depth + 1)
        elif isinstance(value, list | tuple):
            held = cast("Sequence[Any]", value)
            plain = len(held) <= _MOST_NAMES and all(isinstance(v, str | int | float) for v in held)
            out[path] = ", ".join(map(str, held)) if plain else f"{len(held):,} items"
        elif value not in (None, ""):
            out[path] = value
    return out


def _features(file: ModelFile, loaded: Loaded) -> tuple[FeatureChange, ...]:
    specs = {spec.name: spec for spec in file.schema}
    taken = [set(one.features or specs) for one in (loaded.a, loaded.b)]
    layouts = loaded.layouts[loaded.a.layout_id], loaded.layouts[loaded.b.layout_id]
    moved = _training_moves(loaded, layouts)
    out: list[FeatureChange] = []
    for name in [*specs, *sorted((taken[0] | taken[1]) - specs.keys())]:
        if name not in taken[0] | taken[1]:
            continue
        spec = specs.get(name)
        if name not in taken[0]:
            change, what = "added", "the second version takes it, the first does not"
        elif name not in taken[1]:
            change, what = "removed", "the first version takes it, the second does not"
        else:
            what = _axis_change(name, *layouts, hidden=name in file.pii)
            change = "changed" if what else "same"
        view, kind = (spec.view, spec.type.value) if spec else ("", "no longer in the file")
        out.append(FeatureChange(name, view, kind, change, what, moved.get(name)))
    rank = {"removed": 0, "added": 1, "changed": 2, "same": 3}
    return tuple(sorted(out, key=lambda one: (rank[one.change], -(one.psi or 0.0), one.name)))


def _axis_change(name: str, a: Layout, b: Layout, *, hidden: bool) -> str:
    """What differs in how the feature is counted; "" for nothing. ``hidden``: no value is told."""
    if a.id == b.id or name not in a.names or name not in b.names:
        return ""
    first, second = (one.axes[one.names.index(name)] for one in (a, b))
    if first == second:
        return ""
    if isinstance(first, CategoryAxis) and isinstance(second, CategoryAxis):
        more = sorted(set(second.categories) - set(first.categories))
        less = sorted(set(first.categories) - set(second.categories))
        if hidden:
            return f"{len(more):,} categories more and {len(less):,} less in the training data"
        told = [
            f"{word} {_some(names)}" for word, names in (("new", more), ("gone", less)) if names
        ]
        return f"categories of the training data: {'; '.join(told) or 'in another order'}"
    if isinstance(first, CategoryAxis) or isinstance(second, CategoryAxis):
        return "counted as a category by one, as a number by the other"
    return "the training data have another range: other bins"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _training_moves(loaded: Loaded, layouts: tuple[Layout, Layout]) -> dict[str, float]:
    """The population stability index of each feature's training data, where both were counted
    alike."""
    first, second = baseline_of(loaded.a.baseline), baseline_of(loaded.b.baseline)
    if first is None or second is None:
        return {}
    out: dict[str, float] = {}
    for name in layouts[0].names:
        if name not in layouts[1].names:
            continue
        if _axis(layouts[0], name) != _axis(layouts[1], name):
            continue
        p, q = layouts[0].part(first.counts, name), layouts[1].part(second.counts, name)
        if p.sum() and q.sum():
            out[name] = psi(q, p)
    return out


def _axis(layout: Layout, name: str) -> Any:
    return layout.axes[layout.names.index(name)]


def _accepted(loaded: Loaded, record: VersionRecord) -> Acceptance | None:
    decision = loaded.accepted.get(record.version)
    if decision is None:
        return None
    found: Any = decision.facts.get("quality")
    quality: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    return Acceptance(
        metric=str(quality.get("metric", "")),
        value=quality.get("value"),
        lower=quality.get("lower"),
        upper=quality.get("upper"),
        rows=quality.get("rows"),
        decision=decision.id,
        sentence=decision.verdict.sentence,
    )


FACTS = ("rows", "requests", "p50_ms", "p99_ms", "error_rate", "fell_back_rate", "unanswered",
         "unanswered_rate")  # fmt: skip


def live_facts(one: Live) -> dict[str, Any]:
    """By the names of ``FACTS``."""
    tally = one.tally
    values = (tally.rows, tally.requests, tally.latency_ms(0.5), tally.latency_ms(0.99),
              tally.error_rate, tally.fell_back_rate, tally.unanswered,
              tally.unanswered_rate)  # fmt: skip
    return dict(zip(FACTS, values, strict=True))


def comparison_sheet(found: Comparison) -> Sheet:
    """Everything of the page, a line a fact."""
    rows: list[tuple[Any, ...]] = [("lineage", o.name, o.a, o.b, "") for o in found.lineage]
    rows += [
        ("feature", o.name, o.change != "added", o.change != "removed", o.what or o.change)
        for o in found.features
    ]
    rows += [("training data moved (PSI)", o.name, "", o.psi, "") for o in found.features if o.psi]
    rows += [("metric", o.name, o.a, o.b, "") for o in found.metrics]
    for part in ("value", "lower", "upper", "rows"):
        sides = [getattr(one, part) if one else None for one in found.accepted]
        rows.append(("accepted with", part, *sides, ""))
    for title, pair in (("while both served", found.together), ("in the range", found.apart)):
        first, second = map(live_facts, pair)
        rows += [(title, name, first[name], second[name], "") for name in FACTS]
    for part in ("value", "lower", "upper", "rows"):
        sides = [
            getattr(one.quality.quality, part)
            if one.quality and (part == "rows" or not one.quality.short_of)
            else None
            for one in found.apart
        ]
        rows.append(("outcomes", part, *sides, ""))
    if found.summed_until is not None:
        note = "windows before are sums of hours or days, in which nobody knows who served when"
        rows.append(("while both served", "since", *[moment(found.summed_until)] * 2, note))
    columns = ("of", "what", f"version {found.a}", f"version {found.b}", "note")
    return Sheet(f"{found.a}-{found.b}", columns, rows)
