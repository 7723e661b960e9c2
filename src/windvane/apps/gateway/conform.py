"""Does the body keep the model's promise? Decoded and checked in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from windvane.apps.gateway.refusals import BadBody, BodyTooLarge, BrokenPromise
from windvane.core.conformance import Problem, check_row
from windvane.core.errors import did_you_mean
from windvane.core.sketch import FeatureSpec, FeatureType

if TYPE_CHECKING:
    from windvane.apps.gateway.steps import Context

_MAX_PROBLEMS = 20
_astuple = msgspec.structs.astuple


def conform(context: Context, max_rows: int) -> None:
    """The rows' values and units; on any doubt, the slow path finds every problem.

    Raises BadBody, BrokenPromise, BodyTooLarge.
    """
    try:
        instances = context.way.model.decoder.decode(context.body).instances
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _explain(context, max_rows)
    else:
        if not 0 < len(instances) <= max_rows:
            _bound(len(instances), max_rows)
        context.values = [_astuple(row.features) for row in instances]
        context.units = [row.unit for row in instances]
    if "" in context.units:
        own = context.request_id
        context.units = [unit or f"{own}/{i}" for i, unit in enumerate(context.units)]


def _bound(rows: int, max_rows: int) -> None:
    if not rows:
        raise BadBody("instances is empty: at least one row is needed")
    if rows > max_rows:
        raise BodyTooLarge(f"{rows:,} rows, {max_rows:,} allowed")


def _plain(spec: FeatureSpec, value: Any) -> Any:
    """As the fast path would have given it: 3.0 is a whole number, 3 is a number."""
    if value is None or spec.type is FeatureType.CATEGORY:
        return value
    return int(value) if spec.type is FeatureType.INTEGER else float(value)


def _explain(context: Context, max_rows: int) -> None:
    try:
        body = msgspec.json.decode(context.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise BadBody("the body must be an object with a list `instances`")
    for name in body:
        if name != "instances":
            raise BadBody(f"unknown field {name!r}", hint=did_you_mean(name, ["instances"]))
    _bound(len(body["instances"]), max_rows)
    schema = context.way.model.route.schema
    problems: list[tuple[int, Problem]] = []
    for i, row in enumerate(body["instances"]):
        if not isinstance(row, dict) or not isinstance(row.get("features"), dict):
            raise BadBody(f"instances[{i}] must be an object with an object `features`")
        for name in row.keys() - {"features", "unit"}:
            hint = did_you_mean(name, ["features", "unit"])
            raise BadBody(f"instances[{i}] has an unknown field {name!r}", hint=hint)
        if not isinstance(row.get("unit", ""), str):
            raise BadBody(f"instances[{i}].unit must be a string")
        problems += [(i, p) for p in check_row(schema, row["features"])]
    if problems:
        first = problems[0][1].message
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BrokenPromise(f"{first}{more}", problems[:_MAX_PROBLEMS])
    context.values = [
        tuple(_plain(s, r["features"].get(s.name)) for s in schema) for r in body["instances"]
    ]
    context.units = [r.get("unit", "") for r in body["instances"]]
