"""Tables of named columns: what is the same whether they came as CSV, Arrow, JSON or tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.task import Contract, Task
from windvane.inference.errors import BadBody
from windvane.inference.request import Inputs
from windvane.inference.validation import (
    MAX_VIOLATIONS,
    Column,
    as_values,
    validate_columns,
)

UNIT = "unit"
MAX_UNIT = 256
ABOUT_ROW = ("value", "version", "arm", "flags")
"""The first columns of an answer."""


def output_columns(task: Task) -> dict[int, str]:
    """The further columns of an answer: an output's place and its name, `output_NAME` where
    one of the first is called so. An only `value` of one number is told by the first already."""
    outputs = task.outputs
    if len(outputs) == 1 and outputs[0].name == "value" and not outputs[0].shape:
        return {}
    return {
        place: f"output_{spec.name}" if spec.name in ABOUT_ROW else spec.name
        for place, spec in enumerate(outputs)
    }


def inputs_of_columns(contract: Contract, columns: Mapping[str, Column], rows: int) -> Inputs:
    """Checked rows. A column ``unit`` names the unit of each, unless a feature has that name.

    Raises SchemaViolation, BadBody.
    """
    units = [""] * rows
    if UNIT in columns and UNIT not in contract.names:
        columns = dict(columns)
        units = units_of(as_values(columns.pop(UNIT)))
    return Inputs(validate_columns(contract, columns, rows), units)


def units_of(values: Sequence[Any]) -> list[str]:
    """Raises BadBody for what is no unit; null is none."""
    units = ["" if value is None else value for value in values]
    for i, unit in enumerate(units):
        if not isinstance(unit, str) or len(unit) > MAX_UNIT:
            raise BadBody(f"unit of row {i} must be a string of at most {MAX_UNIT} characters")
    return units


def once(names: Sequence[str], what: str) -> None:
    """Raises BadBody where a name is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadBody(f"{what} {name[:80]!r} is there twice")
        seen.add(name)


def check_width(contract: Contract, width: int) -> None:
    """Raises BadBody for far more columns than there are features: only some that nobody knows
    are told of one by one."""
    most = len(contract.features) + 1 + MAX_VIOLATIONS
    if width > most:
        raise BadBody(f"{width:,} columns for {len(contract.features):,} features")


def ordered_names(contract: Contract, width: int) -> Sequence[str]:
    """What ``width`` columns without names are: all features in the contract's order, or all
    but the optional ones. Raises BadBody."""
    if width == len(contract.features):
        return contract.names
    required = [spec.name for spec in contract.features if not spec.optional]
    if width == len(required):
        return required
    raise BadBody(f"{width:,} columns for {len(contract.features):,} features")
