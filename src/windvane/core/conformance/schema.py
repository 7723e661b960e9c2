"""The promise a model makes about its inputs, and every way a row breaks it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import did_you_mean
from windvane.core.sketch import FeatureSpec, FeatureType

# Beyond it a float, which is what versions compute on, no longer holds every whole number.
MAX_INTEGER = 2**53


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken promise: a stable code, the field, and both sides."""

    code: str
    field: str
    message: str


def check_row(schema: Sequence[FeatureSpec], row: Mapping[str, Any]) -> list[Problem]:
    """Every problem of one row, in the schema's order, then unknown names."""
    problems = [p for spec in schema if (p := _check(spec, row.get(spec.name), spec.name in row))]
    names = {spec.name for spec in schema}
    problems += [
        Problem("CON-105", name, f"unknown feature {name!r}; {did_you_mean(name, names)}")
        for name in row
        if name not in names
    ]
    return problems


def plain_row(schema: Sequence[FeatureSpec]) -> tuple[Any, ...]:
    """A row that keeps the promise and has nothing missing: numbers as near to zero as they
    may be, categories by their first known name ("" where none is named)."""
    return tuple(_plain_value(spec) for spec in schema)


def _plain_value(spec: FeatureSpec) -> Any:
    if spec.type is FeatureType.CATEGORY:
        return spec.known[0] if spec.known else ""
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    value = min(max(0.0, low), high)
    if spec.type is not FeatureType.INTEGER:
        return value
    return math.floor(value) if value < 0.0 else math.ceil(value)  # away from zero: inside


def _check(spec: FeatureSpec, value: Any, given: bool) -> Problem | None:
    if value is None:
        if spec.nullable:
            return None
        said = "null" if given else "missing"
        return Problem("CON-101", spec.name, f"{spec.name} is {said}, but may not be null")
    if spec.type is FeatureType.CATEGORY:
        return _check_category(spec, value)
    return _check_number(spec, value)


def _check_category(spec: FeatureSpec, value: Any) -> Problem | None:
    if not isinstance(value, str):
        return Problem("CON-102", spec.name, f"{spec.name} must be a string, got {_show(value)}")
    if spec.known and value not in spec.known:
        hint = did_you_mean(value, spec.known)
        return Problem("CON-104", spec.name, f"{spec.name} {_show(value)} is not known; {hint}")
    return None


def _check_number(spec: FeatureSpec, value: Any) -> Problem | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Problem("CON-102", spec.name, f"{spec.name} must be a number, got {_show(value)}")
    if not _finite(value):
        return Problem("CON-102", spec.name, f"{spec.name} must be finite, got {_show(value)}")
    if spec.type is FeatureType.INTEGER and value != int(value):
        return Problem("CON-102", spec.name, f"{spec.name} must be whole, got {_show(value)}")
    widest = MAX_INTEGER if spec.type is FeatureType.INTEGER else math.inf
    low = -widest if spec.low is None else spec.low
    high = widest if spec.high is None else spec.high
    if not low <= value <= high:
        sides = f"{_show(value)} is outside {_bound(low)} to {_bound(high)}"
        return Problem("CON-103", spec.name, f"{spec.name} {sides}")
    return None


def _bound(value: float) -> str:
    """Short where that is the bound itself: a rounded one would contradict the value beside it."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _show(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of that many digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else text[:37] + "..."
