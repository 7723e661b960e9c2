"""What the truth says of one version's answers in a block of time, by units, tenants and
segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.outcomes import Shift, UnitValues
from windvane.core.sketch import NO_AXES, Layout
from windvane.core.task import Task
from windvane.ports.event_log import ScoredRows
from windvane.usecases.closed_window import segment_of, segment_subject, tenant_of, tenant_subject
from windvane.usecases.row_segments import RowSegments, row_segments

Floats = NDArray[np.float64]
Moves = Mapping[Shift, float]
"""By how much the values of rows moved, by statistic."""

OTHERS = "others"
MOST_CELLS = 200
# Losses of a unit are told in those of the holdout; what is further out is as far as this.
_FAR = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class AnswerCell:
    """The units of one tenant, of one segment, or of all tenants that have too few: their values by
    statistic, and the mean of what was ``said`` to them (of probabilities; 0 elsewhere)."""

    units: int
    values: Mapping[Shift, UnitValues]
    said: float


@dataclass(frozen=True, slots=True, eq=False)
class AnswerRows:
    """Rows (n,) of one version: by statistic their values, what was ``said`` (of probabilities; 0
    elsewhere), whose they are, and by declared feature which segment they are in."""

    values: Mapping[Shift, UnitValues]
    said: Floats
    tenants: NDArray[np.str_]
    units: NDArray[np.uint64]
    segments: Mapping[str, RowSegments] = field(default_factory=dict[str, RowSegments])

    def without(self, moved: Mapping[str, Moves]) -> AnswerRows:
        """As they would be had those of each cell (by its key) not moved by so much."""
        values = dict(self.values)
        for key, moves in moved.items():
            mine = self._of(key)
            for kind, by in moves.items():
                if by and kind in values:
                    held = values[kind]
                    values[kind] = UnitValues(
                        kind, held.values - by * mine, held.low - max(by, 0.0),
                        held.high - min(by, 0.0),
                    )  # fmt: skip
        return replace(self, values=values)

    def _of(self, key: str) -> NDArray[np.bool_]:
        tenant, segment = tenant_of(key), segment_of(key)
        for one in self.segments.values() if segment is not None else ():
            if segment in one.names:
                return one.places == one.names.index(segment)
        return self.tenants == tenant


def answer_rows(
    task: Task,
    found: Sequence[ScoredRows],
    scale: float,
    layout: Layout = NO_AXES,
    features: Sequence[str] = (),
) -> AnswerRows | None:
    """``scale`` is the unit of losses, for tasks whose losses have one; segments are of the
    ``features``, by the bins of the ``layout``. Rows whose loss is no number are left out; None
    where no row is left."""
    shapes = [one.labels.shape[1:] for one in found]
    alike = [one for one in found if one.labels.shape[1:] == max(set(shapes), key=shapes.count)]
    if not alike:
        return None
    outputs = [np.concatenate(parts) for parts in zip(*(f.outputs for f in alike), strict=True)]
    labels = np.concatenate([f.labels for f in alike])
    columns = _columns(task, outputs, labels, scale)
    good = np.isfinite(columns[Shift.LOSS][0])
    if not good.any():
        return None
    said = np.zeros(int(good.sum()))
    if Shift.RATE in columns:
        said = columns[Shift.RATE][0][good] - columns[Shift.BIAS][0][good]
    segments = row_segments(layout, features, alike)
    return AnswerRows(
        {k: UnitValues(k, column[good], low, high) for k, (column, low, high) in columns.items()},
        said,
        np.concatenate([f.tenants for f in alike])[good],
        np.concatenate([f.units for f in alike])[good],
        {name: one.taken(good) for name, one in segments.items()},
    )


def tenant_cells(rows: AnswerRows, least_units: int) -> Mapping[str, AnswerCell]:
    """By the key of a cell: ``tenant/NAME`` for those with so many units, and ``others`` for all
    other tenants together. A unit counts once, whatever its number of rows; a row without a unit
    is its own."""
    names, of_row = np.unique(rows.tenants, return_inverse=True)
    units = _units(rows, of_row.astype(np.int64), len(names))
    counts = np.bincount(units.groups, minlength=len(names))
    order = sorted(range(len(names)), key=lambda i: (-counts[i], str(names[i])))
    own = [i for i in order if counts[i] >= least_units][:MOST_CELLS]
    chosen = {tenant_subject(str(names[i])): units.groups == i for i in own}
    rest = ~np.isin(units.groups, own)
    if rest.any():
        chosen[OTHERS] = rest
    return {key: units.cell(mine) for key, mine in chosen.items()}


def segment_cells(rows: AnswerRows, feature: str, least_units: int) -> Mapping[str, AnswerCell]:
    """By ``segment/NAME``, of one feature's segments those with so many units. A unit counts once
    in each segment that it has rows in."""
    held = rows.segments[feature]
    units = _units(rows, held.places, len(held.names))
    counts = np.bincount(units.groups, minlength=len(held.names))
    return {
        segment_subject(name): units.cell(units.groups == i)
        for i, name in enumerate(held.names)
        if counts[i] >= least_units
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """The units of each group: the ``groups`` that they are in, and the means over their rows."""

    groups: NDArray[np.int64]
    values: Mapping[Shift, UnitValues]
    said: Floats

    def cell(self, mine: NDArray[np.bool_]) -> AnswerCell:
        values = {
            k: UnitValues(k, one.values[mine], one.low, one.high) for k, one in self.values.items()
        }
        return AnswerCell(int(mine.sum()), values, float(self.said[mine].mean()))


def _units(rows: AnswerRows, groups: NDArray[np.int64], size: int) -> _Units:
    """By the group (rows,) of each row, one of ``size``."""
    _, places = np.unique(rows.units, return_inverse=True)
    alone = rows.units == 0
    places[alone] = len(rows.units) + np.arange(int(alone.sum()))
    _, firsts, places = np.unique(places * size + groups, return_index=True, return_inverse=True)
    sizes = np.bincount(places)
    means = {
        k: UnitValues(k, np.bincount(places, one.values) / sizes, one.low, one.high)
        for k, one in rows.values.items()
    }
    return _Units(groups[firsts], means, np.bincount(places, rows.said) / sizes)


def _columns(
    task: Task, outputs: Sequence[Floats], labels: Floats, scale: float
) -> Mapping[Shift, tuple[Floats, float, float]]:
    """(rows,) and bounds, by statistic."""
    losses, residuals = task.excess_losses(outputs, labels), task.residuals(outputs, labels)
    out: dict[Shift, tuple[Floats, float, float]] = {}
    if task.loss_is_relative:
        out[Shift.LOSS] = np.minimum(losses / scale, _FAR), 0.0, _FAR
        if residuals is not None:
            out[Shift.BIAS] = np.clip(residuals / scale, -_FAR, _FAR), -_FAR, _FAR
        return out
    low, high = task.loss_bounds
    out[Shift.LOSS] = losses, low, high
    if residuals is not None:
        out[Shift.BIAS] = residuals, -1.0, 1.0
    positives = task.positives(labels)
    if positives is not None:
        out[Shift.RATE] = positives, 0.0, 1.0
    return out
