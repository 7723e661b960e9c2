"""The cells that sudden shifts are watched by: of everyone, and of each tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from windvane.core.drift import (
    PAST_LOOKS,
    AxisIndex,
    Cell,
    Reference,
    StreamState,
    accept_change,
    pack_cell,
    project_cell,
    rows_of,
    unpack_cell,
)
from windvane.core.routing import NO_SAMPLE
from windvane.usecases.closed_window import (
    ClosedWindow,
    Counts,
    StateRows,
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
    """A cell as it is kept. ``layout`` is that of its counts, ``first`` the start of the first
    window with its rows (s); ``told``: what an open alarm of a source was told as, by source.
    ``only``: the one tenant that there was so far, whose cell is everyone's. ``accepted``: sources
    whose change a person accepted since the last window."""

    packed: str
    layout: str
    began: float
    first: float
    waits: float | None = None
    streams: Mapping[str, StreamState] = field(default_factory=dict[str, StreamState])
    told: Mapping[str, str] = field(default_factory=dict[str, str])
    only: str = ""
    accepted: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, cell: Cell, layout: str, first: float, told: Mapping[str, str] | None = None,
        only: str = "",
    ) -> CellRow:  # fmt: skip
        """A cell, to be kept."""
        return cls(
            pack_cell(cell), layout, cell.began, first, cell.waits, cell.streams,
            told or {}, only,
        )  # fmt: skip

    @property
    def unpacked(self) -> Cell:
        """The cell that is kept."""
        return unpack_cell(self.packed, self.began, self.waits, self.streams)

    @property
    def alarmed(self) -> bool:
        return any(held.alarmed for held in self.streams.values())

    @property
    def broken_since(self) -> float | None:
        """When the earliest of what sounds now began."""
        began = [h.since for h in self.streams.values() if h.alarmed and h.since is not None]
        return min(began, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class HeldCell:
    """A cell in use; ``tenant`` None for everyone's. ``has_past``: there is enough of it to
    compare with; before, its rows are gathered and nothing else."""

    tenant: str | None
    cell: Cell
    first: float
    told: Mapping[str, str]
    is_new: bool = False
    only: str = ""
    has_past: bool = True

    @property
    def subject(self) -> str:
        return EVERYONE if self.tenant is None else tenant_subject(self.tenant)

    def row(self, layout: str) -> CellRow:
        return CellRow.of(self.cell, layout, self.first, self.told, self.only)


def cell_rows(rows: StateRows) -> dict[str, CellRow]:
    """Rows of this kind, by subject; what an earlier release left is none."""
    return read_rows({s: r for s, r in rows.items() if "packed" in r}, CellRow)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Of one window: ``everyone``, and the tenants that sent something in it, with their counts.
    Where a model has one tenant only, everyone's cell is its own."""

    everyone: HeldCell
    counts: Counts
    tenants: Mapping[str, HeldCell]
    tenant_counts: Mapping[str, Counts]

    def references(self, index: AxisIndex) -> tuple[Reference, Mapping[str, Reference]]:
        """What everyone's rows are compared with, and those of each tenant that has a past of its
        own."""
        whole = Reference.of(index, self.everyone.cell.past)
        own = {t: Reference.of(index, h.cell.past) for t, h in self.tenants.items() if h.has_past}
        return whole, own


def load_cells(window: ClosedWindow, rows: StateRows) -> Cells:
    held = cell_rows(rows)
    by_tenant: dict[str, Counts] = {}
    for key, sketch in window.sketches:
        if key.arm not in NO_SAMPLE:
            before = by_tenant.get(key.tenant)
            by_tenant[key.tenant] = sketch.features if before is None else before + sketch.features
    by_tenant = {t: c for t, c in sorted(by_tenant.items()) if c.any()}
    everyone = _load(window, held.get(EVERYONE), None)
    known = {t for s in held if (t := tenant_of(s)) is not None} | set(by_tenant)
    if everyone.only:
        known.add(everyone.only)
    if len(known) < 2:
        only = next(iter(known), "")
        return Cells(replace(everyone, only=only), window.counts, {}, {})
    tenants = {t: _load(window, held.get(tenant_subject(t)), t) for t in by_tenant}
    if everyone.only in tenants and tenant_subject(everyone.only) not in held:
        first = tenants[everyone.only]
        tenants[everyone.only] = replace(
            first,
            cell=replace(everyone.cell, streams={}),
            first=everyone.first,
            is_new=False,
            has_past=True,
        )
    counts = window.counts
    fresh = [t for t, h in tenants.items() if h.is_new]
    if len(fresh) < len(tenants):
        counts = counts - np.sum([by_tenant[t] for t in fresh], axis=0, dtype=np.int64)
    else:  # of new tenants only: they are all there is
        tenants = {t: replace(h, is_new=False) for t, h in tenants.items()}
    return Cells(replace(everyone, only=""), counts, tenants, by_tenant)


def can_be_off(held: HeldCell) -> bool:
    """Whether enough is known of a cell for all of its rows being alike to mean something."""
    return held.tenant is None or float(held.cell.forecast.seen.max(initial=0.0)) >= _LOOKS


def _load(window: ClosedWindow, row: CellRow | None, tenant: str | None) -> HeldCell:
    layout, start = window.layout, window.start
    if row is None:
        cell = _fresh(window, tenant)
        return HeldCell(
            tenant, cell, start, {}, _is_new(window, start, tenant), has_past=tenant is None
        )
    cell = row.unpacked
    former = window.layouts.get(row.layout)
    if row.layout != layout.id:
        fresh = _fresh(window, tenant)
        cell = fresh if former is None else project_cell(cell, former, layout, fresh)
    views = window.views
    streams = {s: h for s, h in cell.streams.items() if s.rpartition("/")[0] in views}
    cell = replace(cell, streams=streams)
    if row.accepted:
        names = [name for name, view in views.items() if view in row.accepted]
        cell = accept_change(cell, layout, names)
    is_new = _is_new(window, row.first, tenant)
    enough = PAST_LOOKS * window.policy.min_rows
    has_past = tenant is None or rows_of(layout, cell.past) >= enough
    told = {view: kind for view, kind in row.told.items() if view not in row.accepted}
    return HeldCell(tenant, cell, row.first, told, is_new, row.only, has_past)


def _fresh(window: ClosedWindow, tenant: str | None) -> Cell:
    """A cell that begins: everyone's with what the training data taught."""
    trained = window.baseline.cell
    if tenant is None and len(trained.forecast.seen) == len(window.layout.axes):
        return trained
    empty = Cell.empty(window.layout, window.start)
    return empty if tenant is not None else replace(empty, current=window.baseline.counts)


def _is_new(window: ClosedWindow, first: float, tenant: str | None) -> bool:
    """A tenant that came later than the model's first days, and not long ago: what it sends is
    no change of what others send."""
    if tenant is None:
        return False
    learning = window.policy.recent_s * _ESTABLISHED
    late = first >= window.watched_since + learning
    return late and window.start < first + learning
