"""Route every row, answer what is cached, run the rest together, fall back where that fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from windvane.apps.gateway.batcher import BREAKER, Lane, Outputs
from windvane.apps.gateway.cache import cache_key
from windvane.apps.gateway.refusals import DeadlinePassed, NoAnswer
from windvane.apps.gateway.shelf import Slot
from windvane.core.errors import WindvaneError
from windvane.core.execution import Circuit, try_now
from windvane.core.routing import Arm, ModelRoute, choose, follow_rule
from windvane.ports.events import Row

if TYPE_CHECKING:
    from windvane.apps.gateway.access import Way
    from windvane.apps.gateway.steps import Context, Parts

_UNFORESEEN = "RUN-103"
_TIMED_OUT = "RUN-108"
_TELL_EVERY_S = 10.0
_log = logging.getLogger(__name__)
_told: dict[tuple[str, str, str], float] = {}
_FALLBACK = Arm.FALLBACK.value
_WORTH_A_LOOK_S = 0.0001


class CircuitOpen(WindvaneError):
    """The version failed too often lately and is not tried for a while."""

    code: ClassVar[str] = "RUN-107"
    hint = "it is probed again by itself; the worker's log has the failures"


async def execute(context: Context, parts: Parts) -> None:
    """All rows of a request, each with the version that its unit belongs to."""
    way = context.way
    route = way.model.route
    units, values = context.units, context.values
    picks = [pick(way, unit) for unit in units]
    outputs: list[float | Exception | None] = [None] * len(units)
    keys: list[bytes] = []
    if is_cached(route, way.slot.lane):
        keys = [cache_key(way.cached[v], row) for (v, _), row in zip(picks, values, strict=True)]
        await _look_up(way, parts, keys, outputs)
    found = [output is not None for output in outputs]
    await _run(context, parts, picks, outputs)
    if keys:
        _keep(parts, route.cache_ttl_s, keys, outputs, found)
    for i, ((version, arm), output) in enumerate(zip(picks, outputs, strict=True)):
        if isinstance(output, float):
            flags = flags_of(arm, cached=found[i])
            row = Row(units[i], version, version, arm, values[i], output, flags)
        else:
            row = await fall_back(context, parts, i, version, arm, _failure(output))
        context.rows.append(row)


def pick(way: Way, unit: str) -> tuple[str, str]:
    """The version and the arm of a unit."""
    route = way.model.route
    if not route.challenger:
        return way.pick
    version, arm = choose(route, unit)
    return version, arm.value


def is_cached(route: ModelRoute, lane: Lane | None) -> bool:
    """Whether answers are looked for in the cache: not while a challenger is measured, for both
    arms answer in the same way; and, unless the model's file wants it, not where the version
    takes hardly longer than a look."""
    if route.challenger or route.cache_ttl_s <= 0.0:
        return False
    return route.cache_all or lane is None or lane.row_s > _WORTH_A_LOOK_S


def flags_of(arm: str, *, cached: bool) -> list[str]:
    """What was odd about a row that its own version answered."""
    flags = ["stand_in"] if arm == _FALLBACK else []
    if cached:
        flags.append("cached")
    return flags


async def _look_up(
    way: Way, parts: Parts, keys: list[bytes], outputs: list[float | Exception | None]
) -> None:
    """This worker's own cache, then the one that is shared."""
    now = time.monotonic()
    hits = 0
    for i, key in enumerate(keys):
        held = parts.cache.get(key, now)
        if held is not None:
            outputs[i] = held
            hits += 1
    shared = 0
    if parts.shared is not None and hits < len(keys):
        missing = [i for i, output in enumerate(outputs) if output is None]
        for i, held in zip(
            missing, await parts.shared.get_many([keys[i] for i in missing]), strict=True
        ):
            if held is not None:
                outputs[i] = held
                shared += 1
    way.hits += hits
    way.shared_hits += shared
    way.misses += len(keys) - hits - shared


def _keep(
    parts: Parts,
    ttl_s: float,
    keys: list[bytes],
    outputs: Sequence[float | Exception | None],
    found: list[bool],
) -> None:
    until = time.monotonic() + ttl_s
    fresh = {
        key: output
        for key, output, was_found in zip(keys, outputs, found, strict=True)
        if isinstance(output, float) and not was_found
    }
    for key, output in fresh.items():
        parts.cache.put(key, output, until)
    if parts.shared is not None and fresh:
        parts.shared.put_many(fresh, ttl_s)


async def _run(
    context: Context,
    parts: Parts,
    picks: Sequence[tuple[str, str]],
    outputs: list[float | Exception | None],
) -> None:
    """Fill in every output that is None; all versions of the request run at once."""
    groups: dict[str, list[int]] = {}
    for i, (version, _) in enumerate(picks):
        if outputs[i] is None:
            groups.setdefault(version, []).append(i)
    waiting: list[tuple[list[int], asyncio.Future[Outputs]]] = []
    for version, mine in groups.items():
        waiting += await _submit(context, parts, version, mine, outputs)
    for places, future in waiting:
        for i, output in zip(places, await future, strict=True):
            outputs[i] = output


async def _submit(
    context: Context,
    parts: Parts,
    version: str,
    mine: Sequence[int],
    outputs: list[float | Exception | None],
) -> list[tuple[list[int], asyncio.Future[Outputs]]]:
    """Hand the rows at ``mine`` to the version; rows that cannot go get their exception."""
    lane = context.way.model.slots[version].lane
    ready = (
        lane if lane is not None else await _bring(context, parts, context.way.model.slots[version])
    )
    if isinstance(ready, Lane) and not _may_try(ready):
        ready = CircuitOpen(f"version {version} failed too often and is not tried")
    if isinstance(ready, Exception):
        for i in mine:
            outputs[i] = ready
        return []
    ready.used = time.monotonic()
    encode, values = ready.predictor.encode, context.values
    places: list[int] = []
    rows: list[Sequence[Any]] = []
    for i in mine:
        try:
            rows.append(encode(values[i]))
        except Exception as error:
            outputs[i] = error
        else:
            places.append(i)
    return [(places, parts.batcher.submit(ready, rows, context.deadline))] if rows else []


async def _bring(context: Context, parts: Parts, slot: Slot) -> Lane | Exception:
    """A version that is not in memory: load it now if that can be done in time."""
    try:
        async with asyncio.timeout(max(0.0, context.deadline - time.monotonic())):
            await parts.shelf.bring(slot)
            while slot.lane is None and slot.error is None:  # unloaded again before our turn
                await parts.shelf.bring(slot)
    except TimeoutError:
        return TimeoutError(f"version {slot.entry.version} is still being loaded")
    if slot.lane is not None:
        return slot.lane
    return slot.error or TimeoutError(f"version {slot.entry.version} is not loaded")


def _may_try(lane: Lane) -> bool:
    if lane.breaker.circuit is Circuit.CLOSED:
        return True
    may, lane.breaker = try_now(lane.breaker, time.monotonic(), BREAKER)
    return may


async def fall_back(
    context: Context, parts: Parts, at: int, failed: str, arm: str, failure: Exception
) -> Row:
    """What answers everyone else, then the chain, the rule and the constant; flags say why."""
    route = context.way.model.route
    _tell(route.model, failed, failure)
    unit, values = context.units[at], context.values[at]
    flags = ["failed", _code(failure)]
    for version in dict.fromkeys([route.standing_in or route.champion, *route.chain]):
        # Out of time: only what costs none can still help.
        if version == failed or time.monotonic() >= context.deadline:
            continue
        outputs: list[float | Exception | None] = [None] * (at + 1)
        for _, future in await _submit(context, parts, version, [at], outputs):
            outputs[at] = (await future)[0]
        output = outputs[at]
        if isinstance(output, float):
            flags.append("fallback")
            return Row(unit, failed, version, arm, values, output, flags)
        flags.append(f"failed:{version}")
    names = [spec.name for spec in route.schema]
    ruled = follow_rule(route.rule, dict(zip(names, values, strict=True))) if route.rule else None
    if ruled is not None:
        flags = [*flags, "rule"]
        return Row(unit, failed, "", arm, values, ruled, flags)
    if route.constant is not None:
        flags = [*flags, "constant"]
        return Row(unit, failed, "", arm, values, route.constant, flags)
    refusal = DeadlinePassed if isinstance(failure, TimeoutError) else NoAnswer
    error = refusal(f"version {failed} failed ({failure}) and no fallback could answer")
    error.routed, error.arm = failed, arm
    raise error


def _tell(model: str, version: str, failure: Exception) -> None:
    """Each kind of failure of a version once in a while: a flood says no more than the first."""
    code = _code(failure)
    now = time.monotonic()
    if now - _told.get((model, version, code), float("-inf")) >= _TELL_EVERY_S:
        _told[model, version, code] = now
        _log.warning("model %s version %s failed: %s %s", model, version, code, failure)


def _code(failure: Exception) -> str:
    if isinstance(failure, WindvaneError):
        return failure.code
    return _TIMED_OUT if isinstance(failure, TimeoutError) else _UNFORESEEN


def _failure(output: float | Exception | None) -> Exception:
    return output if isinstance(output, Exception) else RuntimeError("no output")
