"""Whose a change of inputs is: everyone's, some tenants' or some segments'; and how it is told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from windvane.core.alerting import CauseGroup, CauseKind, Join
from windvane.core.drift import (
    LEAST_ROWS,
    NO_VALUE,
    DriftPolicy,
    Kind,
    Part,
    StreamState,
    blame,
    has_healed,
    is_mix,
    rows_of,
)
from windvane.core.sketch import Layout, segment_name
from windvane.usecases.closed_window import ClosedWindow, segment_of, tenant_of
from windvane.usecases.monitors.cells import EVERYONE, LearnedCells
from windvane.usecases.monitors.drift_table import bands_of
from windvane.usecases.monitors.look_at_cells import SeenCell
from windvane.usecases.moves import AGAINST_A_SOURCE, FOR_A_TENANT

_NEARLY_ALL = 0.9
_NONE = 0.9  # of the rows without a value
_SOON = (
    10  # windows within which everyone's alarm follows that of some tenants, if it is everyone's
)

FEED = CauseKind(
    "feed",
    CauseGroup.BROKEN_INPUT,
    "feed-broken.md",
    moves=AGAINST_A_SOURCE,
    # Values that are old explain values that changed.
    joins={"feed": Join.SAME_ONSET, "stale_source": Join.SAME_SOURCES},
)
TENANT_FEED = CauseKind(
    "tenant_feed",
    CauseGroup.TENANT,
    "tenant-feed-broken.md",
    moves=FOR_A_TENANT,
    joins={"tenant_stale_source": Join.SAME_SOURCES},
)
SEGMENT_FEED = CauseKind("segment_feed", CauseGroup.BROKEN_INPUT, "segment-feed-broken.md")
SHIFT = CauseKind(
    "input_shift",
    CauseGroup.DRIFT,
    "drift.md",
    joins={"feed": Join.SAME_SOURCES, "stale_source": Join.SAME_SOURCES},
)
OF_PARTS = "of tenants"
"""What everyone's alarm is told as where some tenants or segments explain it."""
OF_ALL = "of everyone"
"""What a tenant's or segment's alarm is told as where it is part of everyone's."""
UNTOLD = (OF_PARTS, OF_ALL)
"""Told as another's: no incident is of them."""
KINDS = {kind.name: kind for kind in (FEED, SHIFT, TENANT_FEED, SEGMENT_FEED)}
OF_ONE = (TENANT_FEED.name, SEGMENT_FEED.name)
"""Told of one tenant or segment, whatever its sources."""


def whose(
    window: ClosedWindow,
    seen: Mapping[str, SeenCell],
    view: str,
    policy: DriftPolicy,
    learned: LearnedCells,
) -> dict[str, str]:
    """By the subject of a cell, what its alarms of a source are told as."""
    everyone = seen[EVERYONE]
    mine = list(_measured_as(everyone, window.views, view))
    others = {s: one for s, one in seen.items() if s != EVERYONE}
    of_parts = {s: list(_measured_as(one, window.views, view)) for s, one in others.items()}
    # Of several changes of a source it is the whole's that is asked about, where it has one.
    streams = list(dict.fromkeys(mine or [x for found in of_parts.values() for x in found]))
    features = {feature for feature, _ in streams}
    sounding = {
        s
        for s, found in of_parts.items()
        if features.intersection(f for f, _ in found)
        and not (view in everyone.held.told and _goes_back(seen[s], window.views, view))
    }
    if not streams:
        return {}
    if mine and _is_total(everyone, window, view) and _send(others, window) > 1:
        # All rows of several are so: there is nobody whom it is not of.
        return _everyones(seen, window, view, sounding)
    begun = everyone.held.told.get(view) == FEED.name
    # What lasted is everyone's past by now: what sounds beside it is another change.
    lasts = begun and view in everyone.held.lasting
    if mine and begun and not sounding:
        return {EVERYONE: grade_of(everyone, window, view)}
    if begun and not mine:
        # It is over for all rows together: whoever sounds still is to be seen off once more.
        return {s: OF_ALL for s in sounding if seen[s].held.told.get(view) is None}
    learned.read([s for s, one in others.items() if one.held.has_past])
    # What no value at all came of needs no past of its own to be odd.
    young = any(
        not one.held.has_past and _has_none(one, window.layout, streams) for one in others.values()
    )
    every = [
        _part_of(s, one, everyone)
        for s, one in others.items()
        if not one.held.is_new and (one.held.has_past or young)
    ]
    tenants = _Partition(TENANT_FEED.name, [p for p in every if tenant_of(p.name) is not None])
    partitions = [
        tenants,
        *(_Partition(SEGMENT_FEED.name, _of_feature(every, n)) for n in window.file.segments),
    ]
    learned_by_all, at = everyone.held.cell.forecast, (window.start + window.end) / 2.0
    if mine and begun:
        # What began as everyone's is no tenant's, whose alarm sounds later for being of fewer rows.
        changes = {key: state.size for key, state in _changes(everyone, window.views, view)}
        healed = [
            one
            for one in partitions
            if one.few_of(sounding, window.layout)
            and has_healed(
                window.layout, one.without(sounding), changes, policy, learned_by_all, at
            )
        ]
        if healed:
            least = min(healed, key=lambda one: one.rows_of(sounding))
            # An alarm ends some windows after what it is of.
            still = {
                p.name
                for p in least.parts
                if p.name in sounding
                and not has_healed(window.layout, [p], changes, policy, learned_by_all, at)
            }
            of_all = FEED.name if lasts else OF_PARTS
            return {**least.told_as(still or sounding), EVERYONE: of_all}
        return _everyones(seen, window, view, sounding)
    told = {s for s, one in seen.items() if one.held.told.get(view) in OF_ONE}
    # What was told as some segments' does not become some tenants' for being seen in them later.
    for one in sorted(partitions, key=lambda found: _none_told(found.parts, told)):
        blamed = blame(
            window.layout, one.parts, streams, policy, frozenset(sounding), learned_by_all, at
        )
        if blamed and mine:
            return {**dict.fromkeys(blamed, one.kind), EVERYONE: OF_PARTS}
        if blamed:
            return {subject: one.kind for subject in blamed if subject in sounding}
    if not mine:
        # Everyone's alarm may follow soon; where it does not, somebody is to be told.
        if max((_lasts(seen[s], window, view) for s in sounding), default=0.0) < _SOON:
            return {}
        return next((found for one in partitions if (found := one.told_as(sounding))), {})
    if everyone.held.told.get(view) == OF_PARTS:
        # It took evidence to say that it was some tenants', and takes some to say that it is not.
        mine_told = [one.parts for one in partitions if not _none_told(one.parts, told)]
        rest = [p for p in (*mine_told, tenants.parts)[0] if p.name not in told]
        if not rest or is_mix(window.layout, rest, streams, policy, learned_by_all, at):
            return {EVERYONE: OF_PARTS}
    known = sum(p.counts.sum() for p in tenants.parts)
    whole = (everyone.held.pending.waiting + everyone.counts).sum()
    nearly_all = known >= _NEARLY_ALL * whole > 0
    if nearly_all and is_mix(window.layout, tenants.parts, streams, policy, learned_by_all, at):
        return {EVERYONE: SHIFT.name}
    return _everyones(seen, window, view, sounding)


def _has_none(one: SeenCell, layout: Layout, streams: Sequence[tuple[str, Kind]]) -> bool:
    """Whether hardly any of its rows in this window have a value of a feature whose nulls are asked
    about."""
    for feature in {feature for feature, kind in streams if kind is Kind.NULLS}:
        mine = layout.part(one.counts, feature)
        if mine.sum() >= LEAST_ROWS and mine[0] >= _NONE * mine.sum():
            return True
    return False


def _part_of(subject: str, one: SeenCell, everyone: SeenCell) -> Part:
    """With what it is compared with: one that has no past of its own with everyone's."""
    known = one.held if one.held.has_past else everyone.held
    waiting = one.held.pending.waiting if one.held.has_past else 0
    return Part(subject, waiting + one.counts, known.reference, known.cell)


def _everyones(
    seen: Mapping[str, SeenCell], window: ClosedWindow, view: str, sounding: Collection[str]
) -> dict[str, str]:
    untold = [s for s in sounding if seen[s].held.told.get(view) is None]
    return {**dict.fromkeys(untold, OF_ALL), EVERYONE: grade_of(seen[EVERYONE], window, view)}


@dataclass(frozen=True, slots=True)
class _Partition:
    """The tenants, or the segments by one feature: together they are everyone. ``kind`` is what a
    change of some of them is told as."""

    kind: str
    parts: Sequence[Part]

    def few_of(self, sounding: Collection[str], layout: Layout) -> bool:
        """Whether some sound, and half of those that can be told at most."""
        sent = [p for p in self.parts if rows_of(layout, p.counts) >= LEAST_ROWS]
        loud = sum(p.name in sounding for p in sent)
        return 0 < loud <= len(sent) / 2.0

    def without(self, sounding: Collection[str]) -> list[Part]:
        return [p for p in self.parts if p.name not in sounding]

    def rows_of(self, sounding: Collection[str]) -> int:
        return int(sum(p.counts.sum() for p in self.parts if p.name in sounding))

    def told_as(self, sounding: Collection[str]) -> dict[str, str]:
        return {p.name: self.kind for p in self.parts if p.name in sounding}


def _goes_back(one: SeenCell, views: Mapping[str, str], view: str) -> bool:
    """Whether it may change only as everyone's lasting change ends, of which it was part: values
    come back so, and nothing else does."""
    if view not in one.held.lasting or one.held.told.get(view) != OF_ALL:
        return False
    return all(kind is Kind.VALUES for _, kind, _ in alarmed_states(one, views, view))


def _is_total(one: SeenCell, window: ClosedWindow, view: str) -> bool:
    states = alarmed_states(one, window.views, view)
    return any(kind is Kind.OUTAGE and state.calm == 0 for _, kind, state in states)


def _send(others: Mapping[str, SeenCell], window: ClosedWindow) -> int:
    """How many tenants sent enough in this window to be told apart."""
    return sum(
        tenant_of(s) is not None and window.rows_in(one.counts) >= LEAST_ROWS
        for s, one in others.items()
    )


def _of_feature(parts: Sequence[Part], feature: str) -> list[Part]:
    """The segments by one feature: together they are everyone."""
    mine = segment_name(feature, "")
    return [p for p in parts if (segment_of(p.name) or "").startswith(mine)]


def _measured_as(one: SeenCell, views: Mapping[str, str], view: str) -> Iterator[tuple[str, Kind]]:
    return (key for key, _ in _changes(one, views, view))


def _changes(
    one: SeenCell, views: Mapping[str, str], view: str
) -> Iterator[tuple[tuple[str, Kind], StreamState]]:
    """The streams that sound, by what is measured of them: rows that have no value are told apart
    from others by nulls alone, whatever values the others have."""
    for feature, kind, state in alarmed_states(one, views, view):
        gone = kind is Kind.OUTAGE and state.what == NO_VALUE
        yield (feature, Kind.NULLS if gone else kind), state


def _lasts(one: SeenCell, window: ClosedWindow, view: str) -> float:
    """For how many windows there was evidence of a change of a source."""
    since = [s.since for _, _, s in alarmed_states(one, window.views, view) if s.since is not None]
    return (window.end - min(since)) / (window.end - window.start) if since else 0.0


def _none_told(parts: Sequence[Part], told: Collection[str]) -> bool:
    return not any(p.name in told for p in parts)


def alarmed_states(
    one: SeenCell, views: Mapping[str, str], view: str
) -> Iterator[tuple[str, Kind, StreamState]]:
    for stream, state in one.after.streams.items():
        feature, _, kind = stream.rpartition("/")
        if state.alarmed and views.get(feature) == view:
            yield feature, Kind(kind), state


def grade_of(one: SeenCell, window: ClosedWindow, view: str) -> str:
    """Whether the source is broken, or its values moved by less than is worth acting on."""
    bands = bands_of(window.file)
    for _, kind, state in alarmed_states(one, window.views, view):
        if kind is not Kind.VALUES or state.size >= bands.investigate:
            return FEED.name
    return SHIFT.name
