"""The contract that a model has about its inputs, and every way a row breaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.errors import did_you_mean
from windvane.core.signature import KINDS, FeatureSpec, Violation, kind_of

_SHOWN = 80


def check_row(
    schema: Sequence[FeatureSpec],
    row: Mapping[str, Any],
    most: int = 1_000_000,
    *,
    held: bool = False,
) -> list[Violation]:
    """The first ``most`` violations of one row, in the schema's order, then unknown names.
    ``held``: its values may have been read before (a time is a number then)."""
    found: list[Violation] = []
    for spec in schema:
        if len(found) >= most:
            return found
        name = spec.name
        value = row.get(name)
        if value is None:
            violation = check_value(spec, None, given=name in row)
        else:
            kind = KINDS[spec.type]
            violation = kind.check_held(spec, value) if held else kind.check(spec, value)
        if violation is not None:
            found.append(violation)
    if len(row) <= len(schema) and all(spec.name in row for spec in schema):
        return found
    names = {spec.name for spec in schema}
    for name in row:
        if len(found) >= most:
            break
        if name not in names:
            shown = name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "..."
            message = f"unknown feature {shown!r}; {did_you_mean(name, names)}"
            found.append(Violation("CON-105", shown, message))
    return found


def check_value(spec: FeatureSpec, value: Any, *, given: bool = True) -> Violation | None:
    """Why one value, as a table or a row holds it, breaks the contract; None if it does not."""
    if value is None:
        if spec.nullable or spec.optional:
            return None
        state = "null" if given else "missing"
        return Violation("CON-101", spec.name, f"{spec.name} is {state}, but may not be null")
    return kind_of(spec).check_held(spec, value)
