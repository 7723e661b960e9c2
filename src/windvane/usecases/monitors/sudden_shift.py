"""A source that changed against its own recent past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.alerting import (
    Cause,
    CauseGroup,
    CauseKind,
    Finding,
    Join,
    Response,
    rank_suspects,
)
from windvane.core.drift import (
    Alarm,
    DriftFacts,
    DriftPolicy,
    Kind,
    StreamState,
    judge_drift,
    null_rate,
    rank_shift,
    recent_readings,
)
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Axis, NumericAxis
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import ClosedWindow, Counts, StateRows
from windvane.usecases.gather_evidence import histogram, sample_requests, tenant_shares
from windvane.usecases.monitors.base import Judge, Judged, Monitor, moment, read_rows
from windvane.usecases.monitors.drift_table import drift_table, material_sizes
from windvane.usecases.moves import MARK_SOURCE, STAND_IN
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.window_policy import WindowPolicy

Floats = NDArray[np.float64]
# What is drawn for this judge. With another name, the figures in benchmarks/results, and a window
# that is judged once more, would come from other draws.
SALT = "breaks"
_SPANS_KEPT = 20
_TENANTS_NAMED = 3
_WORDS = {Kind.NULLS: "nulls rose by", Kind.VALUES: "values moved by", Kind.DRIFT: "PSI"}

FEED = CauseKind(
    "feed",
    CauseGroup.BROKEN_INPUT,
    "feed-broken.md",
    moves={
        Response.LOG: (MARK_SOURCE,),
        Response.DIGEST: (MARK_SOURCE,),
        Response.NOTIFY: (MARK_SOURCE,),
        Response.FALLBACK: (MARK_SOURCE, STAND_IN),
        Response.ROLLBACK: (MARK_SOURCE, STAND_IN),
    },
    joins={"feed": Join.SAME_ONSET},
)


@dataclass(frozen=True, slots=True)
class SourceState:
    """The detectors of a source's streams, since when the source is broken (s), and the former
    spans that it was, which its recent past leaves out."""

    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])
    since: float | None = None
    excluded: tuple[tuple[float, float], ...] = ()

    @property
    def alarmed(self) -> bool:
        return any(held.alarmed for held in self.streams.values())

    @property
    def broken_since(self) -> float | None:
        """When the earliest of what sounds now began."""
        began = [h.since for h in self.streams.values() if h.alarmed and h.since is not None]
        return min(began, default=None)


Sources = Mapping[str, SourceState]


class SuddenShift(Monitor):
    """Values and nulls of each feature against its recent past, gathered by source."""

    name = "sudden_shift"
    title = "Sudden shift"
    cause = FEED
    judge = Judge("drift", DriftFacts, DriftPolicy, lambda f, p, now: judge_drift(f, p, now)[0])
    closable = False

    def streams(self, file: ModelFile, tenants: int) -> int:
        del tenants
        return 2 * len(file.schema)

    def reads_from(
        self, start: float, policy: WindowPolicy, views: Mapping[str, str], rows: StateRows
    ) -> float:
        del views
        held = read_rows(rows, SourceState).values()
        began = [s.broken_since for s in held if s.broken_since is not None]
        return min([start, *began]) - policy.recent_s

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        sources = read_rows(rows, SourceState)
        policy = shift_policy(window.file, window.policy)
        facts = shift_facts(window, sources, policy)
        verdict, states, alarms = judge_drift(facts, policy, window.end)
        for r in facts.readings:
            window.history.remember(r.stream, window.start, round(r.size, 4))
        fresh = by_source(window.views, states, sources)
        findings: list[Finding] = []
        for view in sorted({alarm.view for alarm in alarms}):
            mine = [a for a in alarms if a.view == view]
            opened = [a for a in mine if a.opened]
            cause, since = Cause(FEED, view), min(a.since for a in (opened or mine))
            if opened:
                ranked = _ranked(opened)
                title = _title(window, sources, view, opened, since)
                findings.append(
                    Finding(self.name, cause, True, since, title, tuple(ranked), (view,))
                )
            elif not fresh[view].alarmed:
                began = sources[view].since if view in sources else None
                began = since if began is None else began
                spans = (*fresh[view].excluded, (began, window.end))[-_SPANS_KEPT:]
                fresh[view] = replace(fresh[view], excluded=spans)
                line = f"{view} is healthy again"
                findings.append(Finding(self.name, cause, False, since, line, (), (view,)))
        changed = {v: s for v, s in fresh.items() if s != sources.get(v)}
        judged = Judged(
            "", facts, policy, verdict, tuple(findings), changed, drift_table(facts, alarms)
        )
        return [judged]

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        kinds = {
            Kind(r["kind"])
            for r in found.detail["readings"]
            if r["changed"] and r["view"] in finding.sources
        }
        before = window.history.between(0.0, finding.since)
        if before is None:
            before = window.baseline.counts
        after = window.history.between(finding.since, window.end)
        after = window.counts if after is None else after
        suspect = finding.suspects[0][0]
        mine = [(k.tenant, s.features) for k, s in window.sketches if k.arm not in NO_SAMPLE]
        where: Mapping[str, Any] = {f"features.{suspect}": None} if Kind.NULLS in kinds else {}
        samples = log.samples(
            window.model, window.file.contract, window.start, window.end, where, 5
        )
        drawn = [name for name, _ in finding.suspects[:6]]
        return {
            "view": finding.cause.subject,
            "suspects": [{"feature": n, "size": round(size, 4)} for n, size in finding.suspects],
            "kinds": sorted(kind.value for kind in kinds),
            "first_window": finding.since,
            "tenants": tenant_shares(window.layout, suspect, mine),
            "histograms": [histogram(window.layout, name, before, after) for name in drawn],
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.champion, "before": finding.since},
        }

    def about(self, subject: str) -> str:
        return f"source {subject}" if subject else self.title


def shift_policy(file: ModelFile, policy: WindowPolicy) -> DriftPolicy:
    return DriftPolicy(policy.alarm_at, material_sizes(file))


def shift_facts(window: ClosedWindow, sources: Sources, policy: DriftPolicy) -> DriftFacts:
    """Readings of every stream against its recent past; none of a thin window."""
    min_rows = window.policy.min_rows
    readings = (
        recent_readings(
            window.layout,
            window.views,
            window.counts,
            references(window, sources),
            calibration(window, sources, policy.enough),
            min_rows=min_rows,
            seed=window.seed(SALT),
        )
        if window.rows >= min_rows
        else ()
    )
    states = {name: held for s in sources.values() for name, held in s.streams.items()}
    return DriftFacts(window.start, window.rows, min_rows, readings, states)


def references(window: ClosedWindow, sources: Sources) -> dict[str, Counts]:
    """Each feature's counts over its recent healthy past; absent until there is enough.

    The past of a source that is broken ends where the shift began, and stays there until it
    heals; former shifts are left out. Training windows count as the recent past of a model's
    first days.
    """
    recent = window.policy.recent_s
    tail_s = window.baseline.block_s
    known = {s: (s + tail_s, counts) for s, counts in window.baseline.tail.items()}
    known |= {start: (end, counts) for start, end, counts in window.history.spans()}
    out: dict[str, Counts] = {}
    views = window.views
    for view in dict.fromkeys(views.values()):
        until, spans = _past_of(window, sources, view)
        healthy = [
            (end - start, counts)
            for start, (end, counts) in known.items()
            if until - recent <= start and end <= until
            and _healthy(start, end, spans)
            and counts.any()
        ]  # fmt: skip
        if sum(span for span, _ in healthy) < recent / 8.0:
            continue
        merged = np.sum([counts for _, counts in healthy], axis=0)
        for name, of in views.items():
            if of == view:
                out[name] = window.layout.part(merged, name)
    return out


def calibration(
    window: ClosedWindow, sources: Sources, enough: int
) -> dict[str, tuple[Floats, Floats]]:
    """Sizes of healthy windows by feature, values and nulls: of the training data, or of what
    was served where fewer than ``enough`` training windows were full enough to be measured."""
    out: dict[str, tuple[Floats, Floats]] = {}
    for name, view in window.views.items():
        trained = window.baseline.calibration[name]
        until, spans = _past_of(window, sources, view)
        both: list[Floats] = []
        for row, kind in ((0, Kind.VALUES), (1, Kind.NULLS)):
            scores = trained[row][~np.isnan(trained[row])]
            if len(scores) < enough:
                sizes = window.history.sizes.get(f"{name}/{kind.value}", {})
                scores = np.array(
                    [
                        size
                        for start, size in sizes.items()
                        if start < until and _healthy(start, start + window.policy.window_s, spans)
                    ]
                )
            both.append(scores)
        out[name] = (both[0], both[1])
    return out


def _past_of(
    window: ClosedWindow, sources: Sources, view: str
) -> tuple[float, Sequence[tuple[float, float]]]:
    """Where the healthy past of a source ends, and the broken spans in it."""
    held = sources.get(view, SourceState())
    since = held.broken_since
    return window.start if since is None else min(since, window.start), held.excluded


def _healthy(start: float, end: float, broken: Sequence[tuple[float, float]]) -> bool:
    return not any(low < end and start < high for low, high in broken)


def by_source(
    views: Mapping[str, str], states: Mapping[str, StreamState], before: Sources
) -> dict[str, SourceState]:
    """The detectors of all streams, gathered by source; those of features that the file has no
    more are dropped."""
    streams: dict[str, dict[str, StreamState]] = {}
    for stream, held in states.items():
        view = views.get(stream.rpartition("/")[0])
        if view is not None:
            streams.setdefault(view, {})[stream] = held
    out: dict[str, SourceState] = {}
    for view in dict.fromkeys([*views.values(), *before]):
        held = before.get(view, SourceState())
        fresh = SourceState(streams.get(view, {}), None, held.excluded)
        began = [s for s in (held.since, fresh.broken_since) if s is not None]
        out[view] = replace(fresh, since=min(began)) if fresh.alarmed else fresh
    return out


def _ranked(opened: Sequence[Alarm]) -> list[tuple[str, float]]:
    sizes: dict[str, float] = {}
    for alarm in opened:
        sizes[alarm.feature] = max(sizes.get(alarm.feature, 0.0), alarm.size)
    return rank_suspects(list(sizes.items()))


def _title(
    window: ClosedWindow, sources: Sources, view: str, opened: Sequence[Alarm], since: float
) -> str:
    ranked = rank_suspects([(f"{a.feature} {_WORDS[a.kind]}", a.size) for a in opened])
    changes = ", ".join(f"{name} {size:.0%}" for name, size in ranked[:4])
    more = f" and {len(ranked) - 4} more" if len(ranked) > 4 else ""
    where = _where(window, sources, max(opened, key=lambda a: a.size))
    return f"the {view} feed changed: {changes}{more} since {moment(since)}{where}"


def _where(window: ClosedWindow, sources: Sources, alarm: Alarm) -> str:
    """The tenants whose own rows show it, where not everyone's do."""
    past = references(window, sources).get(alarm.feature)
    if past is None:
        return ""
    axis = window.layout.axes[window.layout.names.index(alarm.feature)]
    by_tenant: dict[str, Counts] = {}
    for key, sketch in window.sketches:
        if key.arm in NO_SAMPLE:
            continue
        part = window.layout.part(sketch.features, alarm.feature)
        if part.any():
            by_tenant[key.tenant] = by_tenant.get(key.tenant, np.zeros_like(part)) + part
    hit = [
        t
        for t, c in sorted(by_tenant.items())
        if _effect(c, past, axis, alarm.kind) >= alarm.size / 2
    ]
    if not hit or len(hit) == len(by_tenant):
        return ""
    named = ", ".join(hit[:_TENANTS_NAMED])
    more = f" and {len(hit) - _TENANTS_NAMED} more" if len(hit) > _TENANTS_NAMED else ""
    return f", at {named}{more}"


def _effect(counts: Counts, past: Counts, axis: Axis, kind: Kind) -> float:
    if kind is Kind.NULLS:
        return null_rate(counts) - null_rate(past)
    return float(rank_shift(counts, past, ordered=isinstance(axis, NumericAxis)))
