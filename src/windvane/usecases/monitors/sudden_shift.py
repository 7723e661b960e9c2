"""Inputs that changed against their own recent past: of everyone, a tenant or a segment."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from windvane.core.alerting import (
    Cause,
    Finding,
    Severity,
    rank_suspects,
)
from windvane.core.drift import (
    Cell,
    DriftFacts,
    DriftPolicy,
    Kind,
    StreamState,
    describe_change,
    doubt_change,
    has_returned,
    judge_drift,
    psi_words,
    return_to_former,
    take_as_past,
    unpack_learned,
    unpack_pending,
    windows_to_close,
    with_former,
)
from windvane.core.routing import NO_SAMPLE
from windvane.core.signature import FeatureType
from windvane.core.sketch import MOST_SEGMENTS, OTHER, segmented_by, value_of
from windvane.ports.event_log import EventLog
from windvane.usecases.closed_window import (
    ClosedWindow,
    Counts,
    StateRows,
    segment_of,
    segment_subject,
    tenant_of,
    tenant_subject,
)
from windvane.usecases.gather_evidence import histogram, sample_requests, tenant_shares
from windvane.usecases.monitors.base import AlarmState, Judge, Judged, Monitor, moment
from windvane.usecases.monitors.cells import (
    EVERYONE,
    CellRow,
    HeldCell,
    LearnedCells,
    cell_rows,
    load_cells,
)
from windvane.usecases.monitors.drift_table import bands_of, drift_table, material_sizes
from windvane.usecases.monitors.look_at_cells import SeenCell, look_at_cells
from windvane.usecases.monitors.whose_shift import (
    FEED,
    KINDS,
    OF_ALL,
    OF_ONE,
    OF_PARTS,
    SEGMENT_FEED,
    SHIFT,
    TENANT_FEED,
    UNTOLD,
    alarmed_states,
    whose,
)
from windvane.usecases.read_model_file import ModelFile, as_duration, parse_duration
from windvane.usecases.watched_segments import is_declared, withdrawn_line
from windvane.usecases.window_policy import WindowPolicy

SALT = "sudden_shift"
_NAMED = 4
_RETURNED_LOOKS = 3  # looks' rows that are as before a change
_TOTAL = 100.0  # a total fault is suspected before any shift
_SILENT_S = 7 * 86_400.0  # a shop is closed over holidays
_DOUBT = 0.75  # of an alarm's log evidence, with which a source is not called healthy


class SuddenShift(Monitor):
    """Values, nulls and total faults of each feature, of everyone, each tenant and each segment.

    A change of some tenants only is theirs: the source is not broken for the others. So is one of
    the rows with some value of a feature that the file declares, where no tenant explains it.
    """

    name = "sudden_shift"
    title = "Sudden shifts"
    cause = FEED
    more_causes = (TENANT_FEED, SEGMENT_FEED, SHIFT)
    closable = False
    acceptable = True
    judge = Judge("drift", DriftFacts, DriftPolicy, lambda f, p, now: judge_drift(f, p, now)[0])

    def streams(self, file: ModelFile, tenants: int) -> int:
        return 3 * len(file.schema) * (1 + tenants + segments_watched(file))

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
        gone = {
            s: None
            for s in rows
            if s != EVERYONE and tenant_of(s) is None and not is_declared(s, window.file)
        }
        over = frozenset(everyone.held.told) - frozenset(told[EVERYONE])
        for subject, one in seen.items():
            after = _with_lasting(window, replace(one.after, told=told.get(subject, {})), policy)
            if one is not everyone:
                after = _without_everyones(window, after, over)
            mine = tuple(found for to, found in findings if to == subject)
            if one is everyone:
                mine += tuple(_withdrawn(self.name, window, cell_rows({s: rows[s] for s in gone})))
            worth = subject == EVERYONE or bool(mine) or one.verdict.failed
            states: dict[str, AlarmState | None] = {subject: after.row(window.start)}
            if one is everyone:
                states |= gone
                unseen = {s: r for s, r in rows.items() if s not in seen and r.get("told")}
                silent = _silent(window, cell_rows(unseen))
                mine += tuple(_fell_silent(self.name, window, silent))
                states |= {s: replace(row, told={}, streams={}) for s, row in silent.items()}
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
        for view in _concerned(seen, window.views):
            for subject, now in whose(window, seen, view, policy, learned).items():
                before = told[subject].get(view)
                # What is broken is not mended by being a little less so.
                kind = FEED.name if (before, now) == (FEED.name, SHIFT.name) else now
                more = any(a.view == view for a in seen[subject].opened)
                if kind == before and not more:
                    continue
                told[subject][view] = kind
                seen[subject] = _with_alarms_of(seen[subject], seen[EVERYONE], window.views, view)
                if before not in (None, kind, *UNTOLD):
                    out.append((subject, _ended(self.name, seen[subject], view, before, window)))
                if kind not in UNTOLD:
                    # One tenant's change of several sources is one.
                    of = "" if kind in OF_ONE else view
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
                if view in sounding or view in one.held.lasting or not one.looked:
                    continue
                del told[subject][view]
                if kind in UNTOLD or (kind in OF_ONE and kind in told[subject].values()):
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
        segment = segment_of(found.subject)
        layout = window.layout
        before, after = cell.past, _counts_of(window, found.subject)
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
        if segment is not None:
            where |= _rows_of(window.file, segment)
        samples = log.samples(
            window.model, window.file.contract, window.start, window.end, where, 5
        )
        return {
            "view": " and ".join(finding.sources),
            "suspects": [{"feature": n, "size": round(size, 4)} for n, size in finding.suspects],
            "changes": [describe_change(layout, name, before, after) for name in suspects[:_NAMED]],
            "kinds": sorted(kind.value for kind in kinds),
            "outages": _outages(row, suspects),
            "first_window": finding.since,
            "segment": segment or "",
            "earliest": _earliest(row, window.views, finding),
            "tenants": tenant_shares(layout, suspects[0], mine),
            "histograms": [histogram(layout, name, before, after) for name in suspects[:6]],
            "samples": sample_requests(samples),
            "last_good": {"version": window.live.champion, "before": finding.since},
        }

    def accept(self, rows: StateRows, cause: Cause) -> Mapping[str, AlarmState | None]:
        """What came since the change is what windows are compared with from now on."""
        subject = _subject_of(cause)
        row = cell_rows(rows).get(subject)
        if row is None:
            return {}
        mine = [v for v in row.told if subject != EVERYONE or v == cause.subject]
        accepted = tuple(sorted({*row.accepted, *mine}))
        return {subject: replace(row, accepted=accepted)} if mine else {}

    def outlook(self, file: ModelFile, rows: StateRows, cause: Cause) -> str:
        row = cell_rows(rows).get(_subject_of(cause))
        sounding = [] if row is None else [s for s in row.streams.values() if s.alarmed]
        if not sounding:
            return ""
        policy = DriftPolicy(1.0)  # what it closes by does not depend on the budget
        windows = max(windows_to_close(state, policy) for state in sounding)
        at_once = as_duration(windows * parse_duration(file.watch.window))
        return f"closes after {windows} calm windows in a row at the earliest, {at_once}"

    def about(self, subject: str) -> str:
        return _named(subject) or self.title

    def about_cause(self, cause: Cause) -> str:
        return _named(_subject_of(cause)) or f"source {cause.subject}"


def _withdrawn(
    monitor: str, window: ClosedWindow, gone: Mapping[str, CellRow]
) -> Iterator[Finding]:
    """What ends with segments that the file declares no more."""
    for subject, row in sorted(gone.items()):
        segment = segment_of(subject)
        if segment is not None and SEGMENT_FEED.name in row.told.values():
            line = withdrawn_line(segment)
            cause = Cause(SEGMENT_FEED, segment)
            yield Finding(monitor, cause, False, row.broken_since or window.start, line)


def _silent(window: ClosedWindow, unseen: Mapping[str, CellRow]) -> Mapping[str, CellRow]:
    """Tenants that something was told of, and that sent nothing for so long that nobody waits for
    it to be over."""
    return {
        subject: row
        for subject, row in unseen.items()
        if tenant_of(subject) is not None
        and TENANT_FEED.name in row.told.values()
        and row.seen
        and window.start - row.seen >= _SILENT_S
    }


def _fell_silent(
    monitor: str, window: ClosedWindow, silent: Mapping[str, CellRow]
) -> Iterator[Finding]:
    for subject, row in sorted(silent.items()):
        tenant = tenant_of(subject) or ""
        line = f"{tenant} sends nothing since {moment(row.seen)}: what it sent last is not judged"
        cause = Cause(TENANT_FEED, tenant)
        yield Finding(monitor, cause, False, row.broken_since or window.start, line)


def _with_lasting(window: ClosedWindow, after: HeldCell, policy: DriftPolicy) -> HeldCell:
    """A cell of which values that changed and stayed so for ``watch.recent`` are the past that
    windows are compared with from now on: a spring is no reference for a summer, and what breaks
    next is to be seen. Whoever was told is still to say what it was, unless it comes back."""
    long_ago = window.end - window.policy.recent_s
    alarmed: dict[str, dict[str, bool]] = {}
    for stream, state in after.streams.items():
        feature, _, kind = stream.rpartition("/")
        if state.alarmed and feature in window.views:
            lasts = kind == Kind.VALUES and state.since is not None and state.since <= long_ago
            of_view = alarmed.setdefault(window.views[feature], {})
            of_view[feature] = of_view.get(feature, True) and lasts
    for view, features in alarmed.items():
        if all(features.values()):
            based = take_as_past(after.cell, after.layout, list(features))
            lasting = after.lasting | {view} if view in after.told else after.lasting
            after = replace(after.after(based, changed=True), lasting=lasting)
    back = [v for v in sorted(after.lasting) if v in alarmed]
    return _with_returned(window, after, back, policy) if back else after


def _with_returned(
    window: ClosedWindow, after: HeldCell, views: Sequence[str], policy: DriftPolicy
) -> HeldCell:
    """A cell of which sources that changed again came back to what they were before they changed
    for long: nobody has to say so."""
    layout, least = after.layout, _RETURNED_LOOKS * window.policy.min_rows
    for view in views:
        mine = [n for n in with_former(after.cell, layout) if window.views.get(n) == view]
        if mine and has_returned(after.cell, layout, mine, policy, least):
            based = return_to_former(after.cell, layout, mine)
            lasting = after.lasting - {view}
            after = replace(after.after(based, changed=True), lasting=lasting)
    return after


def _without_everyones(window: ClosedWindow, after: HeldCell, over: Collection[str]) -> HeldCell:
    """A part's cell once everyone's lasting change of sources is ``over``: it is compared with what
    it was before again, so that it is told of where it stays as it was changed."""
    for view in sorted(after.lasting.intersection(over)):
        if after.told.get(view) != OF_ALL:
            continue
        mine = [n for n in with_former(after.cell, after.layout) if window.views.get(n) == view]
        based = doubt_change(after.cell, after.layout, mine)
        told = {v: kind for v, kind in after.told.items() if v != view}
        lasting = after.lasting - {view}
        after = replace(after.after(based, changed=True), told=told, lasting=lasting)
    return after


def _subject_of(cause: Cause) -> str:
    """The subject of the cell that a cause is of."""
    if cause.kind.name == TENANT_FEED.name:
        return tenant_subject(cause.subject)
    return segment_subject(cause.subject) if cause.kind.name == SEGMENT_FEED.name else EVERYONE


def _named(subject: str) -> str:
    """What a tenant or segment is called on a page; "" for everyone."""
    tenant, segment = tenant_of(subject), segment_of(subject)
    if tenant is not None:
        return f"tenant {tenant}"
    return f"segment {segment}" if segment is not None else ""


def segments_watched(file: ModelFile) -> int:
    """How many segments there are at most: of a feature whose names are not closed, as many as are
    watched at all."""
    of = {spec.name: spec for spec in file.schema}
    return sum(
        2 + (2 if of[name].type is FeatureType.BOOLEAN else len(of[name].known) or MOST_SEGMENTS)
        for name in file.segments
    )


def shift_policy(file: ModelFile, policy: WindowPolicy) -> DriftPolicy:
    return DriftPolicy(policy.alarm_at, material_sizes(file))


def _concerned(seen: Mapping[str, SeenCell], of_views: Mapping[str, str]) -> list[str]:
    """Sources of which an alarm opened, or whose change may turn out to be graver, or of more or
    fewer; and those of parts that sound and of which nobody was told."""
    views = {a.view for one in seen.values() for a in one.opened}
    told = seen[EVERYONE].held.told
    views |= {v for v, kind in told.items() if kind in (SHIFT.name, OF_PARTS)}
    for subject, one in seen.items():
        if subject == EVERYONE:
            continue
        for stream, held in one.after.streams.items():
            view = of_views.get(stream.rpartition("/")[0])
            if not held.alarmed or view is None:
                continue
            as_told = one.held.told.get(view)
            goes_on = as_told == OF_ALL and not held.calm
            if as_told is None or goes_on:
                views.add(view)
    return sorted(views)


def _with_alarms_of(
    one: SeenCell, everyone: SeenCell, views: Mapping[str, str], view: str
) -> SeenCell:
    """A cell that sounds: a tenant whose change was seen in everyone's rows first has the alarm
    from now on, so that it ends by the tenant's own."""
    if any(alarmed_states(one, views, view)):
        return one
    streams = dict(one.after.streams)
    for feature, kind, state in alarmed_states(everyone, views, view):
        streams[f"{feature}/{kind.value}"] = replace(state, health=0.0, calm=0)
    return replace(one, after=replace(one.after, streams=streams), looked=False)


def _severity(one: SeenCell, window: ClosedWindow, view: str, kind: str) -> Severity:
    if kind == SHIFT.name:
        return Severity.LOW
    bands = bands_of(window.file)
    gravest = Severity.MEDIUM
    for _, of, state in alarmed_states(one, window.views, view):
        if of is Kind.OUTAGE or state.size >= bands.alert:
            gravest = Severity.HIGH
    return gravest


def _cause(kind: str, one: SeenCell, view: str) -> Cause:
    return Cause(KINDS[kind], one.held.tenant or one.held.segment or view)


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
    states = [found for view in views for found in alarmed_states(one, window.views, view)]
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
    whose = _whose_input(subject, " and ".join(views))
    title = f"{whose} changed: {changes}{more} since {moment(since)}"
    suspects = tuple((name, sizes[name]) for name, _ in ranked)
    return Finding(
        monitor, _cause(kind, one, views[0]), True, since, title, suspects, tuple(views),
        max((_severity(one, window, view, kind) for view in views), key=lambda s: s.rank),
    )  # fmt: skip


def _whose_input(subject: str, of_what: str) -> str:
    tenant, segment = tenant_of(subject), segment_of(subject)
    if tenant is not None:
        return f"what tenant {tenant} sends of {of_what}"
    return f"{of_what} of {segment}" if segment is not None else f"the {of_what} feed"


def _word(feature: str, kind: Kind, state: StreamState, what: str) -> str:
    if kind is Kind.OUTAGE:
        return f"{feature} has {what or state.what or 'one value'} in all rows"
    if kind is Kind.NULLS:
        return f"{feature} nulls rose by {state.size:.0%}"
    return f"{feature} values moved by {psi_words(state.size)}"


def _ended(monitor: str, one: SeenCell, view: str, kind: str, window: ClosedWindow) -> Finding:
    began = [
        a.since for a in one.alarms if not a.opened and a.view == view
    ]  # fmt: skip
    of = one.held.tenant or one.held.segment
    line = f"{view} is healthy again" if of is None else f"{of} sends as before again"
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


def _outages(row: CellRow, features: Sequence[str]) -> dict[str, str]:
    """What all rows of a feature are, of those with an open total fault."""
    states = {name: row.streams.get(f"{name}/{Kind.OUTAGE.value}") for name in features}
    return {name: state.what for name, state in states.items() if state and state.alarmed}


def _counts_of(window: ClosedWindow, subject: str) -> Counts:
    """The window's own rows, of everyone, of one tenant or of one segment."""
    tenant, segment = tenant_of(subject), segment_of(subject)
    if segment is not None:
        return window.segments.get(segment, np.zeros_like(window.counts))
    if tenant is None:
        return window.counts
    total = np.zeros_like(window.counts)
    for key, sketch in window.sketches:
        if key.tenant == tenant and key.arm not in NO_SAMPLE:
            total += sketch.features
    return total


def _rows_of(file: ModelFile, segment: str) -> Mapping[str, Any]:
    """The value that the rows of a segment have in the log; nothing where they have several."""
    feature = segmented_by(segment, file.segments)
    kind = next((spec.type for spec in file.schema if spec.name == feature), None)
    value = value_of(segment, feature)
    if kind is None or value == OTHER:
        return {}
    if kind is FeatureType.CATEGORY:
        return {f"features.{feature}": value}
    try:
        return {f"features.{feature}": float(value)}
    except ValueError:  # null
        return {f"features.{feature}": None}
