"""Events as columns, and columns as the counts of a layout."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from windvane.core.signature import FeatureSpec, FeatureType, RowPacker, kind_of, summary_name
from windvane.core.sketch import Axis, CategoryAxis, Layout, NumericAxis
from windvane.core.task import Contract, Task, is_output_axis
from windvane.ports.events import Predicted, column_values
from windvane.usecases.derived_axes import derived_columns

Counts = NDArray[np.int64]
ValueColumn = NDArray[np.float64] | Sequence[Any]
_COARSE = 0.2
_NUMERIC = {
    FeatureType.NUMBER, FeatureType.INTEGER, FeatureType.BOOLEAN, FeatureType.DATETIME,
}  # fmt: skip


@dataclass(slots=True)
class Rows:
    """Rows of one contract: values by its features' order, outputs by its task's. ``times`` (s) of
    their requests, where what is counted depends on these."""

    values: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    outputs: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    times: list[float] = field(default_factory=list[float])

    def __len__(self) -> int:
        return len(self.values)


def event_rows(event: Predicted) -> Rows:
    """The rows of an event, one after the other."""
    if event.rows == 1:
        return Rows([event.features], [event.outputs])
    return Rows(_transposed(event.features, event.rows), _transposed(event.outputs, event.rows))


def _transposed(columns: Sequence[Any], rows: int) -> list[Sequence[Any]]:
    return list(zip(*(column_values(column, rows) for column in columns), strict=True))


def output_arrays(outputs: Sequence[Sequence[Any]]) -> list[NDArray[np.float64]]:
    """Outputs by the task's order, each (rows, *shape)."""
    return [np.array(column, np.float64) for column in zip(*outputs, strict=True)]


def count_rows(
    layout: Layout,
    contract: Contract,
    task: Task,
    rows: Rows,
    groups: NDArray[np.int64] | None = None,
    size: int = 1,
    own: NDArray[np.bool_] | None = None,
) -> Counts:
    """(size, layout size): each row in the bins of its group; ``own`` as in `code_rows`."""
    return layout.tally(code_rows(layout, contract, task, rows, own), groups, size)


def code_rows(
    layout: Layout,
    contract: Contract,
    task: Task,
    rows: Rows,
    own: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """`Layout.codes` of rows. The outputs of rows that are not the version's ``own`` (rows,) are
    null: what answered in its place says nothing of it."""
    wanted = set(layout.names)
    held = value_columns(contract.features, rows.values) if len(rows) else []
    columns = feature_columns(contract.features, held, wanted) if held else {}
    arrays = output_arrays(rows.outputs)
    for name, column in task.streams(arrays).items():
        columns[name] = column if own is None else _only(column, own)
    columns |= derived_columns(contract.features, held, rows.times, wanted)
    for name in wanted - columns.keys():
        axis = name.partition("@")[0]  # an output, on the bins of another version
        columns[name] = columns[axis] if axis in columns else [None] * len(rows)
    return layout.codes(columns)


def _only(column: Any, own: NDArray[np.bool_]) -> Any:
    """A column of numbers or names, null where a row is not ``own``."""
    if isinstance(column, list):
        held = cast("list[Any]", column)
        return [value if mine else None for value, mine in zip(held, own.tolist(), strict=True)]
    return np.where(own, column, np.nan)


def value_columns(
    features: Sequence[FeatureSpec], values: Sequence[Sequence[Any]]
) -> list[ValueColumn]:
    """What rows hold of each feature: an array of numbers, NaN for null, else its values."""
    if all(spec.type in _NUMERIC for spec in features):
        matrix = RowPacker(len(features))(values)
        return [matrix[:, i] for i in range(len(features))]
    return [
        np.array(column, np.float64) if spec.type in _NUMERIC else column
        for spec, column in zip(features, zip(*values, strict=True), strict=True)
    ]


def feature_columns(
    features: Sequence[FeatureSpec], columns: Sequence[ValueColumn], wanted: set[str]
) -> dict[str, Any]:
    """What is counted of each feature, by axis: the value, or its summaries."""
    out: dict[str, Any] = {}
    for spec, column in zip(features, columns, strict=True):
        out |= (
            {spec.name: column}
            if isinstance(column, np.ndarray)
            else summarised(spec, column, wanted)
        )
    return out


def summarised(
    spec: FeatureSpec, column: Sequence[Any], wanted: set[str] | None = None
) -> dict[str, Any]:
    """One feature's columns by axis; those in ``wanted`` only, all for None."""
    summaries = kind_of(spec).summaries(spec)
    if not summaries:
        return {spec.name: list(column)}
    named = {summary_name(spec.name, short): summary for short, summary in summaries.items()}
    return {
        name: [None if value is None else summary(value) for value in column]
        for name, summary in named.items()
        if wanted is None or name in wanted
    }


def fit_axes(spec: FeatureSpec, column: Sequence[Any]) -> list[Axis]:
    """Axes for one feature, from its values."""
    if spec.type is FeatureType.CATEGORY:
        return [CategoryAxis.fit(spec.name, column, spec.known)]
    if spec.type is FeatureType.BOOLEAN:
        return [NumericAxis(spec.name, (0.0, 1.0))]
    return [
        NumericAxis.fit(name, np.array([np.nan if v is None else v for v in found], np.float64))
        for name, found in summarised(spec, column).items()
    ]


def fit_layout(
    contract: Contract, columns: dict[str, Sequence[Any]], outputs: Sequence[Axis],
    before: Layout | None, clocks: Container[str] = (),
) -> Layout:  # fmt: skip
    """The layout of a new version: the model's own axes as long as they fit its training data,
    new ones where they do not (the old ones are counted on beside them), and its outputs. The
    features ``clocks`` have none: they say when a row was observed, and all that is served is
    later than training."""
    held: dict[str, Axis] = {}
    for axis in before.axes if before else ():
        if not is_output_axis(axis.name):
            held.setdefault(axis.name, axis)
    first: list[Axis] = []
    beside: list[Axis] = []
    for spec in contract.features:
        if spec.name in clocks:
            continue
        column = columns.get(spec.name)
        known = [axis for name, axis in held.items() if feature_of(name, {spec.name})]
        if column is None:
            first += known
            continue
        fresh = {axis.name: axis for axis in fit_axes(spec, column)}
        values = summarised(spec, column)
        for name, axis in fresh.items():
            old = held.get(name)
            if old is None or misfits(old, axis, values[name]):
                first.append(axis)
                beside += [old] if old is not None else []
            else:
                first.append(old)
    return Layout((*first, *beside, *outputs))


def feature_of(axis: str, features: Container[str]) -> str:
    """The feature that an axis counts; "" for none of these."""
    if axis in features:
        return axis
    own, sign, _ = axis.rpartition("#")
    return own if sign and own in features else ""


def views_of(features: Sequence[FeatureSpec], axes: Iterable[str]) -> dict[str, str]:
    """The source of what each axis counts, by the axis; nothing for those of outputs."""
    sources = {spec.name: spec.view for spec in features}
    return {axis: sources[feature] for axis in axes if (feature := feature_of(axis, sources))}


def misfits(old: Axis, fresh: Axis, column: Sequence[Any]) -> bool:
    """Whether ``old`` tells far less of these values than axes made for them: most fall into
    one bin of it, or among what it does not know."""
    if type(old) is not type(fresh):
        return True
    return _largest(old, column) > max(_COARSE, 2.0 * _largest(fresh, column))


def _largest(axis: Axis, column: Sequence[Any]) -> float:
    """The share of the values that are there in the fullest bin; of names, in the rest."""
    codes = axis.codes(column)
    present = codes[codes > 0]
    if not len(present):
        return 0.0
    if isinstance(axis, CategoryAxis):
        return float((present > len(axis.categories)).mean())
    return float(np.bincount(present).max() / len(present))
