"""What a version serves against what the model's own library answers.

Real rows first, then rows that real traffic brings sooner or later: values on and beside the
model's splits, missing ones, categories that training never saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.acceptance import (
    ParityReport,
    RowDifference,
    RowGroup,
    Tolerance,
    changed_labels,
    largest,
    row_differences,
)
from windvane.core.errors import WindvaneError
from windvane.core.signature import (
    FeatureSpec,
    FeatureType,
    InputSpec,
    OutputMapping,
    OutputReader,
)
from windvane.core.task import Contract, Outputs, Task, by_row, make_task
from windvane.ports.learner import Columns
from windvane.ports.library import LibraryModel, RawRows
from windvane.ports.runtime import RuntimeFailed

_PROBES = 1_000
_BESIDE = 50
_GAPS = 50
_UNSEEN = 20
_EXAMPLES = 10
_SHOWN_VALUES = 8
REAL = "real rows"
AROUND_SPLITS = "values around splits"
# XGBoost 3.2 refuses a category that it does not know, but only one that sorts after those it
# knows; another is taken for its neighbour.
_UNSEEN_NAME = "~ never seen by training"

Rows = Sequence[Sequence[Any]]
Mapped = Callable[[Mapping[str, tuple[int, ...]]], tuple[OutputMapping, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Both sides of a comparison. ``served`` answers rows in the contract's order, ``library``
    frames of the inputs; ``table``: it takes vectors and times as they are, not as numbers.
    ``mapped`` finds the task's outputs among the library's own, by the shapes of one row.
    ``coded``: the categories that a person encoded before training, by lists of theirs."""

    contract: Contract
    inputs: Sequence[InputSpec]
    served: Callable[[Rows], Outputs]
    library: LibraryModel
    mapped: Mapped
    table: bool
    coded: frozenset[str]
    tolerance: float


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Who is compared: ``served`` and ``reference`` answer rows in the contract's order, or raise.
    ``library`` says what the reference is, with its version; ``against`` is what sentences call
    it."""

    contract: Contract
    inputs: Sequence[InputSpec]
    served: Callable[[Rows], Outputs]
    reference: Callable[[Rows], Outputs]
    library: str
    against: str
    tolerance: float


def compare_library(
    asked: Asked,
    columns: Columns,
    splits: Sequence[tuple[int, float]],
    on_group: Callable[[str], None] = lambda _: None,
) -> ParityReport:
    """``splits``: (column of the model's matrix, threshold)."""
    about, task = asked.library.about, make_task(asked.contract.task)
    packages = ", ".join(f"{name} {version}" for name, version in about.packages.items())
    sides = Sides(
        asked.contract,
        asked.inputs,
        asked.served,
        lambda rows: library_outputs(asked, rows, task),
        f"{about.kind} ({packages or 'own code'})",
        "its library",
        asked.tolerance,
    )
    return compare_answers(sides, columns, splits, on_group)


def compare_answers(
    sides: Sides,
    columns: Columns,
    splits: Sequence[tuple[int, float]],
    on_group: Callable[[str], None] = lambda _: None,
) -> ParityReport:
    """As `compare_library`, of any two sides."""
    task = make_task(sides.contract.task)
    report = ParityReport(
        0, 0.0, 0, 0.0, 0, library=sides.library, against=sides.against,
        of_spread=task.loss_is_relative,
    )  # fmt: skip
    allowed: Tolerance | None = None
    rows = [list(row) for row in zip(*(columns[n] for n in sides.contract.names), strict=True)]
    for name, some, tolerant in _groups(sides, rows, splits):
        if not some:
            continue
        on_group(f"compare {len(some):,} rows: {name}")
        report, allowed = _with_group(report, sides, name, some, allowed, tolerant=tolerant)
    return report


def _groups(
    sides: Sides, rows: list[list[Any]], splits: Sequence[tuple[int, float]]
) -> Iterator[tuple[str, list[list[Any]], bool]]:
    """A name, rows, and whether the library may refuse what Windvane answers."""
    yield REAL, rows, False
    places = {name: i for i, name in enumerate(sides.contract.names)}
    specs = {spec.name: spec for spec in sides.contract.features}
    if splits:
        yield AROUND_SPLITS, _around(sides, rows, splits, places, specs), False
    else:
        yield "values one step beside real ones", _beside(sides, rows, places, specs), False
    for one in sides.inputs:
        spec, place = specs[one.feature], places[one.feature]
        if spec.nullable:
            yield f"{spec.name} missing", [_with(r, place, None) for r in rows[:_GAPS]], False
    for one in sides.inputs:
        spec, place = specs[one.feature], places[one.feature]
        if spec.type is FeatureType.CATEGORY and not spec.known:
            some = [_with(row, place, _UNSEEN_NAME) for row in rows[:_UNSEEN]]
            yield f"{spec.name} never seen", some, True


def _around(
    sides: Sides,
    rows: list[list[Any]],
    splits: Sequence[tuple[int, float]],
    places: Mapping[str, int],
    specs: Mapping[str, FeatureSpec],
) -> list[list[Any]]:
    columns = _scalar_columns(sides.inputs, specs)
    usable = [(columns[c], value) for c, value in splits if c in columns]
    every = max(1, 5 * len(usable) // _PROBES)
    probes: list[list[Any]] = []
    for i, (spec, value) in enumerate(usable[::every]):
        row, place = rows[i % len(rows)], places[spec.name]
        probes += [_with(row, place, probe) for probe in _near(spec, value)]
    return probes[:_PROBES]


def _near(spec: FeatureSpec, value: float) -> list[float]:
    """On a threshold, and one step of either precision to both sides. A whole number has only
    its neighbours: others cannot come."""
    if spec.type is FeatureType.INTEGER:
        return sorted({float(math.floor(value)), float(math.ceil(value))})
    single = np.float32(value)
    with np.errstate(over="ignore"):
        found = {
            value, math.nextafter(value, -math.inf), math.nextafter(value, math.inf),
            float(np.nextafter(single, np.float32(-np.inf))),
            float(np.nextafter(single, np.float32(np.inf))),
        }  # fmt: skip
    return sorted(one for one in found if math.isfinite(one))


def _beside(
    sides: Sides,
    rows: list[list[Any]],
    places: Mapping[str, int],
    specs: Mapping[str, FeatureSpec],
) -> list[list[Any]]:
    probes: list[list[Any]] = []
    for spec in _scalar_columns(sides.inputs, specs).values():
        if spec.type is FeatureType.INTEGER:
            continue
        for i, row in enumerate(rows[:_BESIDE]):
            value = row[places[spec.name]]
            if value is not None:
                side = math.inf if i % 2 else -math.inf
                moved = math.nextafter(float(value), side)
                probes.append(_with(row, places[spec.name], moved))
    return probes[:_PROBES]


def _scalar_columns(
    inputs: Sequence[InputSpec], specs: Mapping[str, FeatureSpec]
) -> dict[int, FeatureSpec]:
    """Numbers, by their column in the model's matrix."""
    found: dict[int, FeatureSpec] = {}
    column = 0
    for one in inputs:
        spec = specs[one.feature]
        numeric = spec.type in (FeatureType.NUMBER, FeatureType.INTEGER)
        if numeric and one.vocabulary is None:
            found[column] = spec
        column += max(1, spec.length)
    return found


def _with(row: list[Any], place: int, value: Any) -> list[Any]:
    made = list(row)
    made[place] = value
    return made


def _with_group(
    report: ParityReport,
    sides: Sides,
    name: str,
    rows: list[list[Any]],
    allowed: Tolerance | None,
    *,
    tolerant: bool,
) -> tuple[ParityReport, Tolerance | None]:
    """The report with one more sort of rows in it, and what is ``allowed``, which the first
    rows that are answered say: real ones, if any."""
    task = make_task(sides.contract.task)
    ours, refused_here = _tried(lambda: sides.served(rows))
    theirs, refused_there = _tried(lambda: sides.reference(rows))
    if ours is not None and theirs is None and not any(task.rows(ours)):
        ours, refused_here = None, refused_there  # outputs that are none: nobody would get them
    if ours is None or theirs is None:
        only = "" if ours is theirs or tolerant else "Windvane" if theirs is None else sides.against
        unanswered = refused_here if ours is None else refused_there
        group = RowGroup(name, len(rows), unanswered=unanswered, only=only)
        return replace(report, groups=(*report.groups, group)), allowed
    library, served = (
        np.concatenate([by_row(o) for o in found], axis=1) for found in (theirs, ours)
    )
    gaps = row_differences(library, served)
    if allowed is None:
        has_unit = task.loss_is_relative
        allowed = Tolerance.of(sides.tolerance, library, has_unit=has_unit)
    moved = allowed.beyond(library, served)
    group = RowGroup(name, len(rows), largest(gaps), int(moved.sum()))
    changed = 0 if task.loss_is_relative else changed_labels(theirs[0], ours[0])
    room = _EXAMPLES - len(report.examples)
    examples = [
        RowDifference(
            name,
            {spec.feature: rows[i][sides.contract.names.index(spec.feature)]
             for spec in sides.inputs},
            _values(library[i]),
            _values(served[i]),
        )
        for i in np.flatnonzero(moved)[:room].tolist()
    ]  # fmt: skip
    real = name == REAL
    after = replace(
        report,
        rows=report.rows + (len(rows) if real else 0),
        probes=report.probes + (0 if real else len(rows)),
        max_difference=max(report.max_difference, group.max_difference if real else 0.0),
        probe_max_difference=max(
            report.probe_max_difference, 0.0 if real else group.max_difference
        ),
        moved=report.moved + group.moved,
        changed_labels=report.changed_labels + changed,
        groups=(*report.groups, group),
        examples=(*report.examples, *examples),
    )
    return after, allowed


def library_outputs(asked: Asked, rows: Rows, task: Task) -> Outputs:
    """The task's outputs by the model's own library. Raises RuntimeFailed, BadOutputs,
    ValueError."""
    raw = raw_rows(asked.contract, asked.inputs, rows, table=asked.table, coded=asked.coded)
    found = asked.library.answer(raw)
    mappings = asked.mapped(output_shapes(found))
    return OutputReader(mappings, task.outputs)(found)


def output_shapes(found: Mapping[str, NDArray[np.float64]]) -> dict[str, tuple[int, ...]]:
    """Of one row, by the model's own names."""
    return {name: values.shape[1:] for name, values in found.items()}


def raw_rows(
    contract: Contract,
    inputs: Sequence[InputSpec],
    rows: Rows,
    *,
    table: bool,
    coded: frozenset[str],
) -> RawRows:
    """Rows in the contract's order as the frame that the model was trained on would have them.

    What a person said of the encoding holds for the library too: a category that is ``coded`` by
    a list of theirs is a number here. Where the model takes one matrix (not ``table``) a vector is
    as many columns, and a time is seconds.
    """
    specs = {spec.name: spec for spec in contract.features}
    places = {name: i for i, name in enumerate(contract.names)}
    names: list[str] = []
    kinds: list[str] = []
    columns: list[list[Any]] = []
    for one in inputs:
        spec = specs[one.feature]
        values = [row[places[one.feature]] for row in rows]
        kind = spec.type.value
        if one.vocabulary is not None and one.feature in coded:
            codes = {name: float(i) for i, name in enumerate(one.vocabulary)}
            values, kind = [codes.get(value) for value in values], "number"
        elif spec.type is FeatureType.VECTOR and not table:
            names += [f"{one.own_name}_{i}" for i in range(spec.length)]
            kinds += ["number"] * spec.length
            empty = [None] * spec.length
            spread = [value or empty for value in values]
            columns += [[value[i] for value in spread] for i in range(spec.length)]
            continue
        elif spec.type is FeatureType.DATETIME and not table:
            kind = "number"
        names.append(one.own_name)
        kinds.append(kind)
        columns.append(values)
    return RawRows(names, kinds, columns)


def _tried(answer: Callable[[], Outputs]) -> tuple[Outputs | None, str]:
    try:
        return answer(), ""
    except (WindvaneError, ValueError) as error:
        return None, (error.message if isinstance(error, WindvaneError) else str(error))[:300]


def _values(found: NDArray[np.float64]) -> list[float | None]:
    return [v if math.isfinite(v) else None for v in found[:_SHOWN_VALUES].tolist()]


__all__ = [
    "AROUND_SPLITS",
    "REAL",
    "Asked",
    "RuntimeFailed",
    "Sides",
    "compare_answers",
    "compare_library",
    "raw_rows",
]
