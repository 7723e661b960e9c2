"""Do rows keep the model's contract? One place for every wire format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from windvane.core.conformance import check_row
from windvane.core.signature import FeatureSpec, Violation, kind_of
from windvane.core.task import Contract
from windvane.inference.errors import BadBody, BodyTooLarge, SchemaViolation

MAX_VIOLATIONS = 20


def check_count(rows: int, max_rows: int) -> None:
    """Raises BadBody for none, BodyTooLarge for too many."""
    if not rows:
        raise BadBody("the request has no rows: at least one is needed")
    if rows > max_rows:
        raise BodyTooLarge(f"{rows:,} rows, {max_rows:,} allowed")


def validate_rows(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows of named values in the contract's order, as later steps expect them.

    Looks no further once it has found as many violations as it tells of: a bad row must not
    cost more than a good one. Raises SchemaViolation.
    """
    schema = contract.features
    found: list[tuple[int, Violation]] = []
    for i, row in enumerate(rows):
        found += [(i, v) for v in check_row(schema, row, MAX_VIOLATIONS - len(found))]
        if len(found) >= MAX_VIOLATIONS:
            break
    if found:
        raise violated(found)
    normal = _normalisers(schema)
    return [tuple(make(row.get(name)) for name, make in normal) for row in rows]


def violated(found: Sequence[tuple[int, Violation]]) -> SchemaViolation:
    """The error that tells of them."""
    more = ""
    if len(found) > 1:
        others = len(found) - 1
        more = f" (and {others} more{' at least' if len(found) >= MAX_VIOLATIONS else ''})"
    return SchemaViolation(f"{found[0][1].message}{more}", found[:MAX_VIOLATIONS])


def _normalisers(
    schema: Sequence[FeatureSpec],
) -> list[tuple[str, Callable[[Any], Any]]]:
    def of(spec: FeatureSpec) -> Callable[[Any], Any]:
        kind = kind_of(spec)
        return lambda value: None if value is None else kind.normal(spec, value)

    return [(spec.name, of(spec)) for spec in schema]


def by_name(
    contract: Contract, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """The same for rows whose values lie in the order of ``names``.

    Raises SchemaViolation, BadBody where a name is there twice or a row has another length.
    """
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise BadBody(f"column {twice[:80]!r} is there twice")
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise BadBody(f"row {i} has {len(row)} values for {len(names)} columns")
    return validate_rows(contract, [dict(zip(names, row, strict=True)) for row in rows])
