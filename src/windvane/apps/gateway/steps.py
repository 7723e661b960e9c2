"""The steps of a prediction, in their order. Each works on one request context."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from windvane.apps.gateway.batcher import NextTickBatcher
from windvane.apps.gateway.live import LiveModel, LiveTable
from windvane.apps.gateway.refusals import (
    BadBody,
    BodyTooLarge,
    BrokenPromise,
    NoAnswer,
    NoKey,
    NoSuchModel,
)
from windvane.core.conformance import Problem, check_row
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.routing import Arm, choose
from windvane.ports.events import Row

_BEARER = b"bearer "
_MAX_PROBLEMS = 20


@dataclass(slots=True)
class Context:
    """One request on its way."""

    table: LiveTable
    request_id: str
    headers: dict[bytes, bytes]
    name: str
    body: bytes
    tenant: str = ""
    model: LiveModel | None = None
    units: list[str] = field(default_factory=list[str])
    values: list[Sequence[Any]] = field(default_factory=list[Sequence[Any]])
    rows: list[Row] = field(default_factory=list[Row])


class Limits(Protocol):
    @property
    def max_rows(self) -> int: ...


async def predict(context: Context, batcher: NextTickBatcher, limits: Limits) -> None:
    """The way of a prediction. What later issues add has its line here already:

    authenticate > (limit) > (admit) > route > (join features) > conform > (cache) >
    batch, execute, fall back. Answering and recording are the caller's.
    """
    authenticate(context)
    find_model(context)
    conform(context, limits.max_rows)
    await execute(context, batcher)


def authenticate(context: Context) -> None:
    """The key's hash names the tenant; nothing else can."""
    given = context.headers.get(b"authorization", b"")
    key = given[7:].strip() if given[:7].lower() == _BEARER else b""
    if not key:
        raise NoKey("no API key was sent")
    tenant = context.table.tenants.get(hashlib.sha256(key).hexdigest())
    if tenant is None:
        raise NoKey("this API key is not known")
    context.tenant = tenant


def find_model(context: Context) -> None:
    context.model = context.table.models.get(context.name)
    if context.model is None:
        known = list(context.table.models)
        raise NoSuchModel(
            f"no model {context.name!r} is deployed", hint=did_you_mean(context.name, known)
        )


def conform(context: Context, max_rows: int) -> None:
    """Decode and check in one pass; on any doubt, the slow path finds every problem."""
    assert context.model is not None
    try:
        instances = context.model.decoder.decode(context.body).instances
        context.values = [msgspec.structs.astuple(row.features) for row in instances]
        context.units = [row.unit for row in instances]
    except msgspec.MsgspecError:
        _explain(context)
    if not context.values:
        raise BadBody("instances is empty: at least one row is needed")
    if len(context.values) > max_rows:
        raise BodyTooLarge(f"{len(context.values):,} rows, {max_rows:,} allowed")
    context.units = [unit or f"{context.request_id}/{i}" for i, unit in enumerate(context.units)]


def _explain(context: Context) -> None:
    assert context.model is not None
    try:
        body = msgspec.json.decode(context.body)
    except msgspec.MsgspecError as error:
        raise BadBody(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
        raise BadBody("the body must be an object with a list `instances`")
    for name in body:
        if name != "instances":
            raise BadBody(f"unknown field {name!r}", hint=did_you_mean(name, ["instances"]))
    schema = context.model.route.schema
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
    context.values = [[r["features"].get(s.name) for s in schema] for r in body["instances"]]
    context.units = [r.get("unit", "") for r in body["instances"]]


async def execute(context: Context, batcher: NextTickBatcher) -> None:
    """Route every row by its unit and run all of them at once."""
    model = context.model
    assert model is not None
    started = [_start(model, values, unit, batcher) for values, unit in
               zip(context.values, context.units, strict=True)]  # fmt: skip
    for (version, arm, pending), values, unit in zip(
        started, context.values, context.units, strict=True
    ):
        failure: Exception
        if isinstance(pending, Exception):
            failure = pending
        else:
            try:
                output = await pending
                flags = ["stand_in"] if arm is Arm.FALLBACK else []
                context.rows.append(
                    Row(unit, version, version, arm.value, list(values), output, flags)
                )
                continue
            except Exception as error:
                failure = error
        context.rows.append(await _fall_back(model, values, unit, version, arm, failure, batcher))


def _start(
    model: LiveModel, values: Sequence[Any], unit: str, batcher: NextTickBatcher
) -> tuple[str, Arm, asyncio.Future[float] | Exception]:
    version, arm = choose(model.route, unit)
    return version, arm, _submit(model, version, values, batcher)


def _submit(
    model: LiveModel, version: str, values: Sequence[Any], batcher: NextTickBatcher
) -> asyncio.Future[float] | Exception:
    predictor = model.predictors[version]
    try:
        return batcher.submit(predictor, predictor.encode(values))
    except Exception as error:
        return error


async def _fall_back(
    model: LiveModel,
    values: Sequence[Any],
    unit: str,
    failed: str,
    arm: Arm,
    failure: Exception,
    batcher: NextTickBatcher,
) -> Row:
    """What answers everyone else, then the chain, then the constant; the flags say why."""
    route = model.route
    code = failure.code if isinstance(failure, WindvaneError) else "RUN-103"
    flags = ["failed", code]
    order = dict.fromkeys([route.standing_in or route.champion, *route.chain])
    for version in order:
        if version == failed:
            continue
        pending = _submit(model, version, values, batcher)
        if isinstance(pending, Exception):
            continue
        try:
            output = await pending
        except Exception:
            flags.append(f"failed:{version}")
        else:
            flags.append("fallback")
            return Row(unit, failed, version, arm.value, list(values), output, flags)
    if route.constant is not None:
        flags = [*flags, "constant"]
        return Row(unit, failed, "", arm.value, list(values), route.constant, flags)
    error = NoAnswer(f"version {failed} failed ({failure}) and no fallback could answer")
    error.routed, error.arm = failed, arm.value
    raise error
