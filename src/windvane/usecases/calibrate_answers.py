"""What known labels say of each bin of a version's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from windvane.core.outcomes import (
    Calibration,
    CalibrationCheck,
    check_calibration,
    fit_calibration,
)
from windvane.core.sketch import Axis, Layout
from windvane.core.task import Outputs, Task
from windvane.ports.event_log import ScoredRows
from windvane.usecases.row_segments import row_segments

Floats = NDArray[np.float64]

_MOST_TENANTS = 200
_LEAST_ROWS = 50


def answers_axis(task: Task, layout: Layout) -> Axis | None:
    """The axis by whose bins the task's metric is estimated; None where the layout has none."""
    return next((axis for axis in layout.axes if axis.name == task.estimated_by), None)


def calibrate(
    task: Task, layout: Layout, outputs: Outputs, labels: Floats, times: Floats
) -> Calibration | None:
    """Of a holdout, by a version's own layout; None where it is too small, or the task has no
    value of a row."""
    axis = answers_axis(task, layout)
    if axis is None:
        return None
    ranked = task.ranked(labels) is not None
    return fit_calibration(
        _bins(task, axis, outputs), axis.bins, _values(task, outputs, labels), times,
        outputs[0] if ranked else None,
    )  # fmt: skip


def check_segments(
    task: Task, layout: Layout, calibration: Calibration, found: Sequence[ScoredRows]
) -> tuple[CalibrationCheck, ...]:
    """Of all rows together (""), and of the tenants with most of them, as far as they have
    enough."""
    known = _known(task, layout, found)
    if known is None:
        return ()
    alike, bins, values = known
    tenants = np.concatenate([one.tenants for one in alike])
    out: list[CalibrationCheck] = []
    if len(values) >= _LEAST_ROWS:
        out.append(check_calibration(calibration, "", bins, values))
    names, counts = np.unique(tenants, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_MOST_TENANTS]
    for name in sorted(names[i] for i in most if counts[i] >= _LEAST_ROWS):
        mine = tenants == name
        out.append(check_calibration(calibration, str(name), bins[mine], values[mine]))
    return tuple(out)


def check_declared(
    task: Task,
    layout: Layout,
    calibration: Calibration,
    found: Sequence[ScoredRows],
    features: Sequence[str],
) -> Mapping[str, CalibrationCheck]:
    """Of the segments by the ``features``, by name, as far as they have enough rows."""
    known = _known(task, layout, found)
    if known is None:
        return {}
    alike, bins, values = known
    out: dict[str, CalibrationCheck] = {}
    for held in row_segments(layout, features, alike).values():
        counts = np.bincount(held.places, minlength=len(held.names))
        for i in np.flatnonzero(counts >= _LEAST_ROWS).tolist():
            mine, name = held.places == i, held.names[i]
            out[name] = check_calibration(
                calibration, name, bins[mine], values[mine], declared=True
            )  # fmt: skip
    return out


def _known(
    task: Task, layout: Layout, found: Sequence[ScoredRows]
) -> tuple[Sequence[ScoredRows], NDArray[np.int64], Floats] | None:
    """Those with labels of one shape, the bins of their rows and their values; None where they
    are none, or are no numbers."""
    axis = answers_axis(task, layout)
    alike = [one for one in found if one.labels.ndim == found[0].labels.ndim and len(one.labels)]
    if axis is None or not alike:
        return None
    bins = np.concatenate([_bins(task, axis, one.outputs) for one in alike])
    values = np.concatenate([_values(task, one.outputs, one.labels) for one in alike])
    return (alike, bins, values) if bool(np.isfinite(values).all()) else None


def _bins(task: Task, axis: Axis, outputs: Outputs) -> NDArray[np.int64]:
    return axis.codes(task.streams(outputs)[axis.name])


def _values(task: Task, outputs: Outputs, labels: Floats) -> Floats:
    """(rows,): 1 for what an area wants ranked above, else what each row has of the metric."""
    above = task.ranked(labels)
    if above is not None:
        return above.astype(np.float64)
    return task.row_metrics(outputs, labels)[task.metric]
