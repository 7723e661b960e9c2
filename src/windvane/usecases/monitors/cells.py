"""The cells that sudden shifts are watched by: of everyone, of each tenant, of each segment."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from windvane.core.drift import (
    PAST_LOOKS,
    Cell,
    Forecast,
    Pending,
    Reference,
    StreamState,
    accept_change,
    axis_index,
    pack_learned,
    pack_pending,
    project_cell,
    rows_of,
    unpack_learned,
    unpack_pending,
)
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Layout
from windvane.usecases.closed_window import (
    ClosedWindow,
    Counts,
    StateRows,
    segment_of,
    segment_subject,
    tenant_of,
    tenant_subject,
)
from windvane.usecases.monitors.base import read_rows

EVERYONE = "everyone"
_ESTABLISHED = 0.125
"""The part of `recent` after which a tenant is no longer new."""
_LOOKS = 10
"""Looks after which total faults of a tenant can be told from how it always was."""


@dataclass(frozen=True, slots=True)
class CellRow:
    """What changes of a cell with every window; what it learned is kept apart.

    ``layout`` is that of its counts, ``first`` the start of the first window with its rows (s),
    ``past`` the rows that it is compared with; ``told``: what an open alarm of a source was told
    as, by source; of those in ``lasting`` the change has become the past that windows are compared
    with. ``only``: the one tenant that there was so far, whose cell is everyone's.
    ``accepted``: sources whose change a person accepted since the last window. ``seen`` is the
    start of the last window with its rows (s), 0 where an earlier release wrote it."""

    pending: str
    layout: str
    first: float
    past: int = 0
    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])
    told: Mapping[str, str] = field(default_factory=dict[str, str])
    only: str = ""
    accepted: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    seen: float = 0.0

    @property
    def alarmed(self) -> bool:
        return bool(self.lasting) or any(held.alarmed for held in self.streams.values())

    @property
    def broken_since(self) -> float | None:
        """When the earliest of what sounds now began."""
        began = [h.since for h in self.streams.values() if h.alarmed and h.since is not None]
        return min(began, default=None)


@dataclass(frozen=True, slots=True)
class WholeCell:
    """A cell of few bins, kept in one piece: of counts of the ``layout``, since the ``first``
    window with its rows (s)."""

    pending: str
    learned: str
    layout: str
    first: float
    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])

    @classmethod
    def of(cls, cell: Cell, layout: str, first: float) -> WholeCell:
        learned = base64.b64encode(pack_learned(cell)).decode()
        return cls(pack_pending(cell.pending), learned, layout, first, cell.streams)

    @property
    def unpacked(self) -> Cell:
        learned = base64.b64decode(self.learned)
        return unpack_learned(learned, unpack_pending(self.pending), self.streams)


@dataclass(frozen=True, eq=False)
class HeldCell:
    """A cell in use, of ``subject``: `EVERYONE`, a tenant or a segment. ``past``: rows that it is
    compared with; ``changed``: what it learned is to be kept anew. The whole `cell` is read when
    it is asked for."""

    subject: str
    layout: Layout
    pending: Pending
    streams: Mapping[str, StreamState]
    first: float
    past: int
    read: Callable[[], Cell]
    told: Mapping[str, str] = field(default_factory=dict[str, str])
    is_new: bool = False
    has_past: bool = True
    only: str = ""
    changed: bool = False
    lasting: frozenset[str] = frozenset()

    @classmethod
    def of(cls, subject: str, layout: Layout, cell: Cell, first: float) -> HeldCell:
        """A tenant's that begins with a past; its residuals are ranked among everyone's."""
        unranked = Forecast.empty(len(layout.axes), ranked=False).ranks
        own = replace(cell, forecast=replace(cell.forecast, ranks=unranked))
        return cls(
            subject, layout, own.pending, own.streams, first, rows_of(layout, own.past),
            lambda: own, changed=True,
        )  # fmt: skip

    @property
    def tenant(self) -> str | None:
        """The tenant that it is of."""
        return tenant_of(self.subject)

    @property
    def segment(self) -> str | None:
        """The segment that it is of."""
        return segment_of(self.subject)

    @cached_property
    def cell(self) -> Cell:
        return replace(self.read(), pending=self.pending, streams=self.streams)

    @cached_property
    def reference(self) -> Reference:
        return Reference.of(axis_index(self.layout), self.cell.past)

    @property
    def can_be_off(self) -> bool:
        """Whether enough is known for all of its rows being alike to mean something."""
        return self.subject == EVERYONE or float(self.cell.forecast.seen.max(initial=0.0)) >= _LOOKS

    def after(self, cell: Cell, *, changed: bool) -> HeldCell:
        """With the cell that a window left; ``changed``: it learned something."""
        return replace(
            self,
            pending=cell.pending,
            streams=cell.streams,
            past=rows_of(self.layout, cell.past) if changed else self.past,
            read=lambda: cell,
            changed=self.changed or changed,
        )

    def row(self, seen: float) -> CellRow:
        """``seen`` (s): the start of the window that it was seen in."""
        return CellRow(
            pack_pending(self.pending), self.layout.id, self.first, self.past, self.streams,
            self.told, self.only, lasting=tuple(sorted(self.lasting.intersection(self.told))),
            seen=seen,
        )  # fmt: skip

    def learned(self) -> Mapping[str, bytes]:
        """What it learned, by subject, where that is to be kept anew."""
        return {self.subject: pack_learned(self.cell)} if self.changed else {}


def cell_rows(rows: StateRows) -> dict[str, CellRow]:
    """Rows of this kind, by subject; what an earlier release left is none."""
    return read_rows({s: r for s, r in rows.items() if "pending" in r}, CellRow)


class LearnedCells:
    """What a monitor keeps of cells beside their rows, read when it is asked for."""

    def __init__(self, window: ClosedWindow, monitor: str) -> None:
        self._window, self._monitor = window, monitor
        self._held: dict[str, bytes | None] = {}

    def read(self, subjects: Sequence[str]) -> None:
        """Those of some at once, which saves a query each."""
        fresh = [s for s in subjects if s not in self._held]
        if fresh:
            found = self._window.learned(self._monitor, fresh)
            self._held |= {s: found.get(s) for s in fresh}

    def of(self, subject: str) -> bytes | None:
        self.read([subject])
        return self._held[subject]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Of one window: ``everyone``, and by subject ``parts``: the tenants that sent something in it
    and the segments that something came of, with their counts. Where a model has one tenant only,
    everyone's cell is its own."""

    learned: LearnedCells
    everyone: HeldCell
    counts: Counts
    parts: Mapping[str, HeldCell]
    part_counts: Mapping[str, Counts]


def counts_by_tenant(window: ClosedWindow) -> dict[str, Counts]:
    """Of the tenants that sent something."""
    out: dict[str, Counts] = {}
    for key, sketch in window.sketches:
        if key.arm not in NO_SAMPLE:
            before = out.get(key.tenant)
            out[key.tenant] = sketch.features if before is None else before + sketch.features
    return {t: c for t, c in sorted(out.items()) if c.any()}


def load_cells(window: ClosedWindow, rows: StateRows, monitor: str) -> Cells:
    """What ``monitor`` carries, of everyone, of who sent something and of the segments of it."""
    by_tenant = counts_by_tenant(window)
    tenants = {tenant_subject(t): counts for t, counts in by_tenant.items()}
    segments = {
        segment_subject(name): counts
        for name, counts in sorted(window.segments.items())
        if counts.any()
    }
    present = {EVERYONE, *tenants, *segments}
    held = cell_rows({s: r for s, r in rows.items() if s in present})
    learned = LearnedCells(window, monitor)
    everyone = _load(window, held.get(EVERYONE), EVERYONE, learned)
    of_segments = {s: _load(window, held.get(s), s, learned) for s in segments}
    known = {t for s in rows if (t := tenant_of(s)) is not None} | set(by_tenant)
    if everyone.only:
        known.add(everyone.only)
    if len(known) < 2:
        everyone = replace(everyone, only=next(iter(known), ""))
        return Cells(learned, everyone, window.counts, of_segments, segments)
    of_tenants = {s: _load(window, held.get(s), s, learned) for s in tenants}
    former = tenant_subject(everyone.only)
    if former in of_tenants and former not in held:
        of_tenants[former] = _as_tenant(everyone)
    counts = window.counts
    fresh = [s for s, h in of_tenants.items() if h.is_new]
    if len(fresh) < len(of_tenants):
        counts = counts - np.sum([tenants[s] for s in fresh], axis=0, dtype=np.int64)
    else:  # of new tenants only: they are all there is
        of_tenants = {s: replace(h, is_new=False) for s, h in of_tenants.items()}
    parts = {**of_tenants, **of_segments}
    return Cells(learned, replace(everyone, only=""), counts, parts, {**tenants, **segments})


def _as_tenant(everyone: HeldCell) -> HeldCell:
    """The cell of who was everyone so far."""
    cell = replace(everyone.cell, streams={})
    return HeldCell.of(tenant_subject(everyone.only), everyone.layout, cell, everyone.first)


def _load(
    window: ClosedWindow, row: CellRow | None, subject: str, learned: LearnedCells
) -> HeldCell:
    layout, start = window.layout, window.start
    whole = subject == EVERYONE
    if row is None:
        cell = _fresh(window, subject, layout, start)
        return HeldCell(
            subject, layout, cell.pending, {}, start, rows_of(layout, cell.past), lambda: cell,
            is_new=_is_new(window, start, subject), has_past=whole, changed=whole,
        )  # fmt: skip
    views = window.views
    former = window.layouts.get(row.layout)
    held = HeldCell(
        subject, layout, unpack_pending(row.pending), row.streams, row.first, row.past,
        lambda: _read(window, learned, subject, row, layout if former is None else former),
        {view: kind for view, kind in row.told.items() if view not in row.accepted},
        _is_new(window, row.first, subject), only=row.only,
        lasting=frozenset(row.lasting).difference(row.accepted),
    )  # fmt: skip
    if row.layout != layout.id:
        fresh = _fresh(window, subject, layout, start)
        cell = fresh if former is None else project_cell(held.cell, former, layout, fresh)
        held = held.after(cell, changed=True)
    streams = {s: h for s, h in held.streams.items() if s.rpartition("/")[0] in views}
    held = replace(held, streams=streams)
    if row.accepted:
        fresh = set(row.accepted).difference(row.lasting)  # else it is the past already
        names = [name for name, view in views.items() if view in fresh]
        held = held.after(accept_change(held.cell, layout, names), changed=True)
    enough = PAST_LOOKS * window.policy.min_rows
    return replace(held, has_past=whole or held.past >= enough)


def _read(
    window: ClosedWindow, learned: LearnedCells, subject: str, row: CellRow, layout: Layout
) -> Cell:
    packed = learned.of(subject)
    if packed is None:
        return _fresh(window, subject, layout, row.first)
    return unpack_learned(packed, Pending.empty(layout), {})


def _fresh(window: ClosedWindow, subject: str, layout: Layout, began: float) -> Cell:
    """A cell that begins: everyone's with what the training data taught."""
    trained = window.baseline.cell
    if subject != EVERYONE:
        empty = Cell.empty(layout, began)
        if layout.id != window.layout.id or len(trained.forecast.seen) != len(layout.axes):
            return replace(empty, forecast=Forecast.empty(len(layout.axes), ranked=False))
        of_part = Forecast.of_part(trained.forecast)
        return replace(empty, forecast=of_part, known=trained.known)
    if layout.id != window.layout.id:
        return Cell.empty(layout, began)
    if len(trained.forecast.seen) == len(layout.axes):
        return trained
    return Cell.of_past(layout, began, window.baseline.counts)


def _is_new(window: ClosedWindow, first: float, subject: str) -> bool:
    """A tenant or segment that came later than the model's first days, and not long ago: what comes
    of it is no change of what others send."""
    if subject == EVERYONE:
        return False
    learning = window.policy.recent_s * _ESTABLISHED
    late = first >= window.watched_since + learning
    return late and window.start < first + learning
