"""What the truth says of one version's answers in a block of time, by units and tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.outcomes import Shift, UnitValues
from windvane.core.task import Task
from windvane.ports.event_log import ScoredRows
from windvane.usecases.closed_window import tenant_subject

Floats = NDArray[np.float64]

OTHERS = "others"
MOST_CELLS = 200
# Losses of a unit are told in those of the holdout; what is further out is as far as this.
_FAR = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class AnswerCell:
    """The units of one tenant, or of all that have too few: their values by statistic, and the
    mean of what was ``said`` to them (of probabilities; 0 elsewhere)."""

    units: int
    values: Mapping[Shift, UnitValues]
    said: float


def answer_cells(
    task: Task, found: Sequence[ScoredRows], scale: float, least_units: int
) -> Mapping[str, AnswerCell]:
    """By the key of a cell: ``tenant/NAME`` for those with so many units, and ``others`` for all
    other tenants together. A unit counts once, whatever its number of rows; a row without a unit
    is its own. ``scale`` is the unit of losses, for tasks whose losses have one. Rows whose loss is
    no number are left out."""
    shapes = [one.labels.shape[1:] for one in found]
    alike = [one for one in found if one.labels.shape[1:] == max(set(shapes), key=shapes.count)]
    if not alike:
        return {}
    outputs = [np.concatenate(parts) for parts in zip(*(f.outputs for f in alike), strict=True)]
    labels = np.concatenate([f.labels for f in alike])
    columns = _columns(task, outputs, labels, scale)
    good = np.isfinite(columns[Shift.LOSS][0])
    if not good.any():
        return {}
    tenants = np.concatenate([f.tenants for f in alike])[good]
    units = np.concatenate([f.units for f in alike])[good]
    said = np.zeros(len(units))
    if Shift.RATE in columns:
        said = columns[Shift.RATE][0][good] - columns[Shift.BIAS][0][good]
    _, places = np.unique(units, return_inverse=True)
    alone = units == 0
    places[alone] = len(units) + np.arange(int(alone.sum()))
    _, firsts, places = np.unique(places, return_index=True, return_inverse=True)
    sizes = np.bincount(places)
    names, of_unit = np.unique(tenants[firsts], return_inverse=True)
    counts = np.bincount(of_unit)
    order = sorted(range(len(names)), key=lambda i: (-counts[i], str(names[i])))
    own = [i for i in order if counts[i] >= least_units][:MOST_CELLS]
    means = {
        kind: (np.bincount(places, column[good]) / sizes, low, high)
        for kind, (column, low, high) in columns.items()
    }
    said_means = np.bincount(places, said) / sizes
    chosen = {tenant_subject(str(names[i])): of_unit == i for i in own}
    rest = ~np.isin(of_unit, own)
    if rest.any():
        chosen[OTHERS] = rest
    return {
        key: AnswerCell(
            int(mine.sum()),
            {k: UnitValues(k, mean[mine], low, high) for k, (mean, low, high) in means.items()},
            float(said_means[mine].mean()),
        )
        for key, mine in chosen.items()
    }


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
