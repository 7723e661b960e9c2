"""What came since a change, as the past that later windows are compared with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import axis_index
from windvane.core.drift.cell import Cell, overdispersion, rare_bins
from windvane.core.drift.deviation import Measure, Reference, effects, measure_deviations
from windvane.core.drift.forecast import Forecast
from windvane.core.drift.judge import DriftPolicy, Kind
from windvane.core.sketch import Layout

_FEW_WINDOWS = 2.0


def accept_change(cell: Cell, layout: Layout, features: Sequence[str]) -> Cell:
    """The cell once what came of these features since they changed is how they are: it becomes
    their past, their alarms are gone, and how their windows vary is learned anew."""
    mine = _of(layout, features)
    based = take_as_past(cell, layout, features)
    runs = based.pending.runs
    # What all rows were when it was accepted is how they are now.
    going_on = mine[:, None] & (runs.rows > 0)
    runs = replace(
        runs,
        rows=np.where(mine[:, None], 0.0, runs.rows),
        often=np.where(going_on, 1.0, runs.often),
        windows=np.where(mine, _FEW_WINDOWS, runs.windows),
    )
    anew = {
        name: np.where(mine.reshape(-1, *[1] * (held.ndim - 1)), 0.0, held)
        for name in Forecast.BY_AXIS
        for held in (getattr(cell.forecast, name),)
    }
    slots = np.where(mine[None, :, None], 0.0, cell.forecast.slots)
    return replace(
        based,
        forecast=replace(cell.forecast, **anew, slots=slots),
        pending=replace(based.pending, runs=runs),
        former=np.where(axis_index(layout).spread(mine), 0, based.former),
    )


def take_as_past(cell: Cell, layout: Layout, features: Sequence[str]) -> Cell:
    """The cell that compares these features with what came of them since they changed, where
    something did: their detectors begin anew. How windows vary about their past is kept, and only
    where they are just now is forgotten. What their past was before is kept as well, of the first
    of several changes: it may come back."""
    index = axis_index(layout)
    mine = _of(layout, features)
    since = cell.held + cell.pending.waiting
    some = index.sum(since.astype(np.float64)) > 0  # else there is nothing to begin with yet
    of_bins = index.spread(mine & some)
    previous = np.where(of_bins, 0, cell.previous)
    current = np.where(of_bins, since, cell.current)
    first = of_bins & index.spread(index.sum(cell.former.astype(np.float64)) == 0)
    none = mine[:, None]
    now = {
        name: np.where(none, 0.0, getattr(cell.forecast, name))
        for name in ("before", "before2", "ahead", "ahead_variance")
    }
    return replace(
        cell,
        forecast=replace(cell.forecast, **now),
        pending=replace(cell.pending, rare=rare_bins(layout, previous + current, cell.known)),
        previous=previous,
        current=current,
        former=np.where(first, cell.past, cell.former),
        held=np.where(of_bins, 0, cell.held),
        left=np.where(none, 0.0, cell.left),
        looks=np.where(none, 0.0, cell.looks),
        streams={s: h for s, h in cell.streams.items() if s.rpartition("/")[0] not in features},
    )


def with_former(cell: Cell, layout: Layout) -> frozenset[str]:
    """Features that changed and stayed so, and whose past before that is known."""
    rows = axis_index(layout).sum(cell.former.astype(np.float64))
    return frozenset(name for name, n in zip(layout.names, rows, strict=True) if n > 0)


def has_returned(
    cell: Cell, layout: Layout, features: Collection[str], policy: DriftPolicy, least_rows: int
) -> bool:
    """Whether what came of features since they changed last, or lately where they did not, is as it
    was before they changed first: off that by less than matters, of ``least_rows`` at least."""
    index = axis_index(layout)
    held = cell.held + cell.pending.waiting
    some = index.spread(index.sum(cell.held.astype(np.float64)) > 0)
    found = measure_deviations(np.where(some, held, cell.past), Reference.of(index, cell.former))
    variance = found.chance * overdispersion(cell.forecast)
    sizes = effects(np.nan_to_num(found.value), variance, found.units)
    return all(
        found.rows[i] >= least_rows
        and bool((sizes[i, : Measure.NULLS] < policy.material[Kind.VALUES]).all())
        and bool(abs(sizes[i, Measure.NULLS]) < policy.material[Kind.NULLS])
        for i, name in enumerate(layout.names)
        if name in features
    )


def return_to_former(cell: Cell, layout: Layout, features: Sequence[str]) -> Cell:
    """The cell that compares these features with what they were before they changed."""
    based = take_as_past(cell, layout, features)
    of_bins = axis_index(layout).spread(_of(layout, features))
    return replace(
        based,
        previous=np.where(of_bins, cell.former, based.previous),
        former=np.where(of_bins, 0, based.former),
    )


def doubt_change(cell: Cell, layout: Layout, features: Sequence[str]) -> Cell:
    """The cell that compares these features with what they were before they changed, and with
    nothing that came since: whether that is how they are is to be told anew."""
    based = return_to_former(cell, layout, features)
    of_bins = axis_index(layout).spread(_of(layout, features))
    return replace(based, current=np.where(of_bins, 0, based.current))


def _of(layout: Layout, features: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([name in features for name in layout.names])
