"""Inputs that changed against their own recent past: of everyone, or of one tenant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windvane.core.alerting import (
    Cause,
    CauseGroup,
    CauseKind,
    Finding,
    Join,
    Response,
    Severity,
    rank_suspects,
)
from windvane.core.drift import (
    Cell,
    DriftFacts,
    DriftPolicy,
    Kind,
    Part,
    StreamState,
    blame,
    describe_change,
    is_mix,
    judge_drift,
    psi_words,
    unpack_learned,
    unpack_pending,
    windows_to_close,
)
from windvane.core.routing import NO_SAMPLE
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import (
    ClosedWindow,
    Counts,
    StateRows,
    tenant_of,
    tenant_subject,
)
from windvane.usecases.gather_evidence import histogram, sample_requests, tenant_shares
from windvane.usecases.monitors.base import AlarmState, Judge, Judged, Monitor, moment
from windvane.usecases.monitors.cells import (
    EVERYONE,
    CellRow,
    LearnedCells,
    cell_rows,
    load_cells,
)
from windvane.usecases.monitors.drift_table import bands_of, drift_table, material_sizes
from windvane.usecases.monitors.look_at_cells import SeenCell, look_at_cells
from windvane.usecases.moves import MARK_SOURCE, STAND_IN, TENANT_STAND_IN
from windvane.usecases.read_model_file import ModelFile, as_duration, parse_duration
from windvane.usecases.window_policy import WindowPolicy

SALT = "sudden_shift"
_NAMED = 4
_NEARLY_ALL = 0.9
_TOTAL = 100.0  # a total fault is suspected before any shift
_DOUBT = 0.75  # of an alarm's log evidence, with which a source is not called healthy

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
TENANT_FEED = CauseKind(
    "tenant_feed",
    CauseGroup.TENANT,
    "tenant-feed-broken.md",
    moves={Response.FALLBACK: (TENANT_STAND_IN,), Response.ROLLBACK: (TENANT_STAND_IN,)},
)
SHIFT = CauseKind("input_shift", CauseGroup.DRIFT, "drift.md", joins={"feed": Join.SAME_SOURCES})
_OF_TENANTS = "of tenants"
"""What everyone's alarm is told as where some tenants explain it."""
_KINDS = {kind.name: kind for kind in (FEED, SHIFT, TENANT_FEED)}


class SuddenShift(Monitor):
    """Values, nulls and total faults of each feature, of everyone and of each tenant.

    A change of some tenants only is theirs: the source is not broken for the others.
    """

    name = "sudden_shift"
    title = "Sudden shifts"
    cause = FEED
    more_causes = (TENANT_FEED, SHIFT)
    closable = False
    acceptable = True
    judge = Judge("drift", DriftFacts, DriftPolicy, lambda f, p, now: judge_drift(f, p, now)[0])

    def streams(self, file: ModelFile, tenants: int) -> int:
        return 3 * len(file.schema) * (1 + tenants)

    def layouts(self, rows: StateRows) -> Iterable[str]:
        return {str(row["layout"]) for row in rows.values() if "pending" in row}

    def look(self, window: ClosedWindow, rows: StateRows, log: EventLog) -> Sequence[Judged]:
        del log
        policy = shift_policy(window.file, window.policy)
        cells = load_cells(window, rows, self.name)
        seen = look_at_cells(window, cells, policy, window.seed(SALT))
        seen, findings, told = self._findings(window, seen, policy, cells.learned)
        everyone = seen[EVERYONE]
        out: list[Judged] = []
        gone = {s: None for s in rows if s != EVERYONE and tenant_of(s) is None}
        for subject, one in seen.items():
            after = replace(one.after, told=told.get(subject, {}))
            mine = tuple(found for to, found in findings if to == subject)
            worth = subject == EVERYONE or bool(mine) or one.verdict.failed
            states: dict[str, AlarmState | None] = {subject: after.row()}
            if one is everyone:
                states |= gone
            about = "" if one is everyone else subject
            streams = after.streams
            detail = drift_table(one.facts, one.alarms, policy, streams, new=one.held.is_new)
            out.append(
                Judged(
                    about, one.facts, policy, one.verdict, mine, states, detail, worth,
                    after.learned(),
                )
            )  # fmt: skip
        return out

    def _findings(
        self,
        window: ClosedWindow,
        looked: Mapping[str, SeenCell],
        policy: DriftPolicy,
        learned: LearnedCells,
    ) -> tuple[Mapping[str, SeenCell], list[tuple[str, Finding]], Mapping[str, Mapping[str, str]]]:
        """The cells with whose alarm it is; what began and ended, by the subject of the cell; and
        what each cell's open alarms are told as, by source, from now on."""
        seen = dict(looked)
        told = {subject: dict(one.held.told) for subject, one in seen.items()}
        out: list[tuple[str, Finding]] = []
        began: dict[tuple[str, str], list[str]] = {}
        for view in _concerned(seen):
            for subject, now in _whose(window, seen, view, policy, learned).items():
                before = told[subject].get(view)
                # What is broken is not mended by being a little less so.
                kind = FEED.name if (before, now) == (FEED.name, SHIFT.name) else now
                more = any(a.view == view for a in seen[subject].opened)
                if kind == before and not more:
                    continue
                told[subject][view] = kind
                seen[subject] = _with_alarms_of(seen[subject], seen[EVERYONE], window.views, view)
                if before not in (None, kind, _OF_TENANTS):
                    out.append((subject, _ended(self.name, seen[subject], view, before, window)))
                if kind != _OF_TENANTS:
                    # One tenant's change of several sources is one.
                    of = "" if kind == TENANT_FEED.name else view
                    began.setdefault((subject, of), []).append(view)
        for (subject, _), views in began.items():
            kind = told[subject][views[0]]
            out.append((subject, _began(self.name, window, seen, subject, views, kind, policy)))
        doubt = _DOUBT * math.log(policy.alarm_at)
        for subject, one in seen.items():
            sounding = {
                window.views.get(stream.rpartition("/")[0])
                for stream, state in one.after.streams.items()
                if state.alarmed or state.log_evidence > doubt
            }
            for view, kind in list(told[subject].items()):
                if view in sounding or not one.looked:
                    continue
                del told[subject][view]
                if kind == _OF_TENANTS or (
                    kind == TENANT_FEED.name and TENANT_FEED.name in told[subject].values()
                ):
                    continue
                out.append((subject, _ended(self.name, one, view, kind, window)))
        return seen, out, told

    def evidence(
        self, window: ClosedWindow, found: Judged, finding: Finding, log: EventLog
    ) -> Mapping[str, Any]:
        row = next(r for r in found.states.values() if isinstance(r, CellRow))
        subject = found.subject or EVERYONE
        kept = {**window.learned(self.name, [subject]), **found.learned}
        pending = unpack_pending(row.pending)
        cell = (
            Cell.empty(window.layout, window.start)
            if subject not in kept
            else unpack_learned(kept[subject], pending, row.streams)
        )
        tenant = tenant_of(found.subject)
        layout = window.layout
        before, after = cell.past, _counts_of(window, tenant)
        suspects = [name for name, _ in finding.suspects]
        kinds = {
            Kind(r["kind"])
            for r in found.detail["readings"]
            if r["changed"] and r["view"] in finding.sources
        }
        # Of a total fault every row tells; rows that waited before it would water it down.
        few = window.rows_in(after) < window.policy.min_rows and Kind.OUTAGE not in kinds
        if few and cell.held.any():
            after = cell.held
        mine = [
            (k.tenant, s.features)
            for k, s in window.sketches
            if k.arm not in NO_SAMPLE and (tenant is None or k.tenant == tenant)
        ]
        where: dict[str, Any] = {f"features.{suspects[0]}": None} if Kind.NULLS in kinds else {}
        if tenant is not None:
            where["tenant"] = tenant
        samples = log.samples(
            window.model, window.file.contract, window.start, window.end, where, 5
        )
        return {
            "view": " and ".join(finding.sources),
            "suspects": [{"feature": n, "size": round(size, 4)} for n, size in finding.suspects],
            "changes": [describe_change(layout, name, before, after) for name in suspects[:_NAMED]],
            "kinds": sorted(kind.value for kind in kinds),
            "first_window": finding.since,
            "earliest": _earliest(row, window.views, finding),
            "tenants": tenant_shares(layout, suspects[0], mine),
            "histograms": [histogram(layout, name, before, after) for name in suspects[:6]],
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.champion, "before": finding.since},
        }

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What came since the change is what windows are compared with from now on."""
        of_tenant = cause.kind.name == TENANT_FEED.name
        subject = tenant_subject(cause.subject) if of_tenant else EVERYONE
        row = cell_rows(rows).get(subject)
        if row is None:
            return {}
        mine = [v for v in row.told if of_tenant or v == cause.subject]
        accepted = tuple(sorted({*row.accepted, *mine}))
        return {subject: replace(row, accepted=accepted)} if mine else {}

    def outlook(self, file: ModelFile, rows: StateRows, cause: Cause) -> str:
        of_tenant = cause.kind.name == TENANT_FEED.name
        subject = tenant_subject(cause.subject) if of_tenant else EVERYONE
        row = cell_rows(rows).get(subject)
        sounding = [] if row is None else [s for s in row.streams.values() if s.alarmed]
        if not sounding:
            return ""
        policy = DriftPolicy(1.0)  # what it closes by does not depend on the budget
        windows = max(windows_to_close(state, policy) for state in sounding)
        at_once = as_duration(windows * parse_duration(file.watch.window))
        return f"closes after {windows} calm windows in a row at the earliest, {at_once}"

    def about(self, subject: str) -> str:
        tenant = tenant_of(subject)
        return self.title if tenant is None else f"tenant {tenant}"

    def about_cause(self, cause: Cause) -> str:
        of_tenant = cause.kind.name == TENANT_FEED.name
        return f"{'tenant' if of_tenant else 'source'} {cause.subject}"


def shift_policy(file: ModelFile, policy: WindowPolicy) -> DriftPolicy:
    return DriftPolicy(policy.alarm_at, material_sizes(file))


def _concerned(seen: Mapping[str, SeenCell]) -> list[str]:
    """Sources of which an alarm opened, or whose change may turn out to be graver or of more."""
    views = {a.view for one in seen.values() for a in one.opened}
    everyone = seen[EVERYONE]
    views |= {v for v, kind in everyone.held.told.items() if kind in (SHIFT.name, _OF_TENANTS)}
    return sorted(views)


def _whose(
    window: ClosedWindow,
    seen: Mapping[str, SeenCell],
    view: str,
    policy: DriftPolicy,
    learned: LearnedCells,
) -> dict[str, str]:
    """By the subject of a cell, what its alarms of a source are told as."""
    everyone = seen[EVERYONE]
    mine = _alarmed(everyone, window.views, view)
    tenants = {s: one for s, one in seen.items() if one.held.tenant is not None}
    sounding = {s for s, one in tenants.items() if _alarmed(one, window.views, view)}
    streams = list(dict.fromkeys([*mine, *(x for s in sounding for x in _alarmed(
        tenants[s], window.views, view))]))  # fmt: skip
    if not streams:
        return {}
    if mine and everyone.held.told.get(view) == FEED.name:
        # What began as everyone's is no tenant's, whose alarm sounds later for being of fewer rows.
        return {EVERYONE: _grade(everyone, window, view)}
    learned.read([s for s, one in tenants.items() if one.held.has_past])
    parts = [
        Part(s, one.held.pending.waiting + one.counts, one.held.reference, one.held.cell)
        for s, one in tenants.items()
        if not one.held.is_new and one.held.has_past
    ]
    blamed = blame(window.layout, parts, streams, policy, frozenset(sounding))
    if blamed:
        out = {subject: TENANT_FEED.name for subject in blamed if subject in sounding}
        if mine:
            out = dict.fromkeys(blamed, TENANT_FEED.name)
            out[EVERYONE] = _OF_TENANTS
        return out
    if not mine:
        return {}
    if everyone.held.told.get(view) == _OF_TENANTS:
        # It took evidence to say that it was some tenants', and takes some to say that it is not.
        others = [p for p in parts if seen[p.tenant].held.told.get(view) != TENANT_FEED.name]
        if not others or is_mix(window.layout, others, streams, policy):
            return {EVERYONE: _OF_TENANTS}
    known = sum(p.counts.sum() for p in parts)
    every = (everyone.held.pending.waiting + everyone.counts).sum()
    if known >= _NEARLY_ALL * every > 0 and is_mix(window.layout, parts, streams, policy):
        return {EVERYONE: SHIFT.name}
    return {EVERYONE: _grade(everyone, window, view)}


def _alarmed(one: SeenCell, views: Mapping[str, str], view: str) -> list[tuple[str, Kind]]:
    out: list[tuple[str, Kind]] = []
    for stream, state in one.after.streams.items():
        feature, _, kind = stream.rpartition("/")
        if state.alarmed and views.get(feature) == view:
            out.append((feature, Kind(kind)))
    return out


def _states(
    one: SeenCell, views: Mapping[str, str], view: str
) -> Iterator[tuple[str, Kind, StreamState]]:
    for feature, kind in _alarmed(one, views, view):
        yield feature, kind, one.after.streams[f"{feature}/{kind.value}"]


def _with_alarms_of(
    one: SeenCell, everyone: SeenCell, views: Mapping[str, str], view: str
) -> SeenCell:
    """A cell that sounds: a tenant whose change was seen in everyone's rows first has the alarm
    from now on, so that it ends by the tenant's own."""
    if _alarmed(one, views, view):
        return one
    streams = dict(one.after.streams)
    for feature, kind, state in _states(everyone, views, view):
        streams[f"{feature}/{kind.value}"] = replace(state, health=0.0, calm=0)
    return replace(one, after=replace(one.after, streams=streams), looked=False)


def _grade(one: SeenCell, window: ClosedWindow, view: str) -> str:
    """Whether the source is broken, or its values moved by less than is worth acting on."""
    bands = bands_of(window.file)
    for _, kind, state in _states(one, window.views, view):
        if kind is not Kind.VALUES or state.size >= bands.investigate:
            return FEED.name
    return SHIFT.name


def _severity(one: SeenCell, window: ClosedWindow, view: str, kind: str) -> Severity:
    if kind == SHIFT.name:
        return Severity.LOW
    bands = bands_of(window.file)
    gravest = Severity.MEDIUM
    for _, of, state in _states(one, window.views, view):
        if of is Kind.OUTAGE or state.size >= bands.alert:
            gravest = Severity.HIGH
    return gravest


def _cause(kind: str, one: SeenCell, view: str) -> Cause:
    return Cause(_KINDS[kind], view if one.held.tenant is None else one.held.tenant)


def _began(
    monitor: str,
    window: ClosedWindow,
    seen: Mapping[str, SeenCell],
    subject: str,
    views: Sequence[str],
    kind: str,
    policy: DriftPolicy,
) -> Finding:
    one = seen[subject]
    states = [found for view in views for found in _states(one, window.views, view)]
    what = {(a.feature, a.kind): a.what for a in (*seen[EVERYONE].opened, *one.opened)}
    since = min(s.since for _, _, s in states if s.since is not None)
    weights: dict[str, float] = {}
    words: dict[str, str] = {}
    sizes: dict[str, float] = {}
    for feature, of, state in states:
        sizes[feature] = max(sizes.get(feature, 0.0), state.size)
        weight = state.size / policy.material[of] * (_TOTAL if of is Kind.OUTAGE else 1.0)
        if weight > weights.get(feature, 0.0):
            weights[feature] = weight
            words[feature] = _word(feature, of, state, what.get((feature, of), ""))
    ranked = rank_suspects(list(weights.items()))
    changes = ", ".join(words[name] for name, _ in ranked[:_NAMED])
    more = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
    tenant = one.held.tenant
    of_what = " and ".join(views)
    whose = f"the {of_what} feed" if tenant is None else f"what tenant {tenant} sends of {of_what}"
    title = f"{whose} changed: {changes}{more} since {moment(since)}"
    suspects = tuple((name, sizes[name]) for name, _ in ranked)
    return Finding(
        monitor, _cause(kind, one, views[0]), True, since, title, suspects, tuple(views),
        max((_severity(one, window, view, kind) for view in views), key=lambda s: s.rank),
    )  # fmt: skip


def _word(feature: str, kind: Kind, state: StreamState, what: str) -> str:
    if kind is Kind.OUTAGE:
        return f"{feature} has {what or state.what or 'one value'} in all rows"
    if kind is Kind.NULLS:
        return f"{feature} nulls rose by {state.size:.0%}"
    return f"{feature} values moved by {psi_words(state.size)}"


def _ended(monitor: str, one: SeenCell, view: str, kind: str, window: ClosedWindow) -> Finding:
    tenant = one.held.tenant
    began = [
        a.since for a in one.alarms if not a.opened and a.view == view
    ]  # fmt: skip
    line = f"{view} is healthy again" if tenant is None else f"{tenant} sends as before again"
    return Finding(
        monitor, _cause(kind, one, view), False, min(began, default=window.start), line, (),
        (view,),
    )  # fmt: skip


def _earliest(row: CellRow, views: Mapping[str, str], finding: Finding) -> float | None:
    """Where the interval of the onset begins (s)."""
    began = [
        s.earliest
        for stream, s in row.streams.items()
        if s.alarmed and s.earliest is not None
        and views.get(stream.rpartition("/")[0]) in finding.sources
    ]  # fmt: skip
    return min(began, default=None)


def _counts_of(window: ClosedWindow, tenant: str | None) -> Counts:
    """The window's own rows, of everyone or of one tenant."""
    if tenant is None:
        return window.counts
    total = np.zeros_like(window.counts)
    for key, sketch in window.sketches:
        if key.tenant == tenant and key.arm not in NO_SAMPLE:
            total += sketch.features
    return total
