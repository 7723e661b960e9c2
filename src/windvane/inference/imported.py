"""Predictions that somebody else made: checked like our own, and told as the same events."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from windvane.core.errors import did_you_mean
from windvane.core.routing import Arm
from windvane.core.signature import Violation, nested_numbers, parse_time, show
from windvane.core.task import BadTask, OutputRow, Task
from windvane.inference.access import ModelAccess
from windvane.inference.errors import BadBody, SchemaViolation
from windvane.inference.validation import MAX_VIOLATIONS, check_count, validate_rows, violated
from windvane.ports.events import Predicted, RouteTaken

IMPORTED = "imported"
MAX_AHEAD_S = 300.0
_AT_A_TIME = 64
_MAX_LATENCY_MS = 86_400_000.0


@dataclass(frozen=True, slots=True)
class Imported:
    """One prediction as its maker tells of it. ``id`` is what the maker calls it; ``outputs``
    the task's by name, or what a constant may be; ``version`` "" for the champion; ``time`` in
    seconds since the epoch or RFC 3339, None for now."""

    id: str
    features: Mapping[str, Any]
    outputs: Any
    version: str = ""
    unit: str = ""
    time: float | str | None = None
    latency_ms: float = 0.0


def imported_id(tenant: str, model: str, client_id: str) -> str:
    """The event's id: the same prediction told twice is one event, and no tenant can meet the
    ids of another one."""
    key = "\x00".join((tenant, model, client_id)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(key).hexdigest()[:32]


async def imported_events(
    access: ModelAccess,
    given: Sequence[Imported],
    *,
    key: str,
    now: float,
    max_age_s: float,
    max_rows: int,
) -> list[Predicted]:
    """One event each, all or none. Gives way to other work between some and the next.

    Raises BadBody, BodyTooLarge, SchemaViolation.
    """
    check_count(len(given), max_rows)
    twice = len(given) - len({one.id for one in given})
    if twice:
        raise BadBody(
            f"{twice:,} of {len(given):,} events have an id that another one has",
            hint="give each prediction an id of its own",
        )
    out: list[Predicted] = []
    found: list[tuple[int, Violation]] = []
    for start in range(0, len(given), _AT_A_TIME):
        some = given[start : start + _AT_A_TIME]
        try:
            rows = validate_rows(access.model.contract, [one.features for one in some])
        except SchemaViolation as error:
            rows = []
            found += [(start + at, violation) for at, violation in error.violations]
        read = [_read(access, one, start + i, now, max_age_s, found) for i, one in enumerate(some)]
        if len(found) >= MAX_VIOLATIONS:
            break
        if not found:
            out += [
                _event(access, one, row, *about, key=key)
                for one, row, about in zip(some, rows, read, strict=True)
            ]
        await asyncio.sleep(0)
    if found:
        raise violated(sorted(found, key=lambda one: one[0]))
    return out


def _event(
    access: ModelAccess, one: Imported, row: Sequence[Any], at: float, outputs: OutputRow,
    *, key: str,
) -> Predicted:  # fmt: skip
    route = access.model.route
    version = one.version or route.champion
    flags = access.model.task.flags(outputs)
    taken = RouteTaken(version, version, Arm.CHAMPION.value, [IMPORTED, *flags])
    return Predicted(
        imported_id(access.tenant, route.model, one.id), at, route.model, access.tenant,
        access.model.contract.id, "", round(one.latency_ms * 1e3), 1, one.unit, [taken], row,
        outputs, one.id, key,
    )  # fmt: skip


def _read(
    access: ModelAccess, one: Imported, at: int, now: float, max_age_s: float,
    found: list[tuple[int, Violation]],
) -> tuple[float, OutputRow]:  # fmt: skip
    """When it was made and what it said; what is wrong is added to ``found``."""
    served = access.model
    if not one.id.isprintable():
        found.append((at, Violation("CON-124", "id", f"id {show(one.id)} is not printable")))
    versions = [entry.version for entry in served.route.versions]
    if one.version and one.version not in versions:
        hint = did_you_mean(one.version[:64], versions)
        message = f"version {show(one.version)} is not live; {hint}"
        found.append((at, Violation("CON-122", "version", message)))
    if not 0.0 <= one.latency_ms <= _MAX_LATENCY_MS:
        message = f"latency_ms must lie from 0 to a day, got {one.latency_ms:g}"
        found.append((at, Violation("CON-123", "latency_ms", message)))
    made, outputs = now, ()
    try:
        made = _time(one.time, now, max_age_s)
    except ValueError as error:
        found.append((at, Violation("CON-121", "time", str(error))))
    try:
        outputs = read_outputs(served.task, one.outputs)
    except ValueError as error:
        found.append((at, Violation("CON-120", "outputs", str(error))))
    return made, outputs


def _time(given: float | str | None, now: float, max_age_s: float) -> float:
    """Raises ValueError. A clock that runs a little ahead is no reason to refuse, but nothing
    may be newer than now: windows close by what is newest in them."""
    if given is None:
        return now
    at = parse_time(given) if isinstance(given, str) else float(given)
    if not math.isfinite(at) or at > now + MAX_AHEAD_S:
        raise ValueError(f"time {show(given)} is more than {MAX_AHEAD_S:g} s ahead of now")
    if at < now - max_age_s:
        age, most = _span(now - at), _span(max_age_s)
        raise ValueError(f"time {show(given)} is {age} ago, `events_max_age_s` allows {most}")
    return min(at, now)


def _span(seconds: float) -> str:
    """To about what a person can compare."""
    for size, word in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {word}".replace(".0 ", " ")
    return f"{seconds:,.0f} s"


def read_outputs(task: Task, given: Any) -> OutputRow:
    """Outputs as an answer names them (``{"probability": 0.7}``), or in the short form that a
    constant of the model's file may have (``0.7``, ``"cat"``). Raises ValueError."""
    names = [spec.name for spec in task.outputs]
    if not isinstance(given, dict) or set(cast("dict[Any, Any]", given)) != set(names):
        try:
            return task.constant(given)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"outputs {show(given)} are not {', '.join(names)}") from error
        except BadTask as error:
            raise ValueError(error.message) from error
    by_name = cast("dict[str, Any]", given)
    arrays: list[Any] = []
    for spec in task.outputs:
        array = nested_numbers(spec, task.unnamed(spec, by_name[spec.name]))
        arrays.append(array[np.newaxis])
    row = task.rows(arrays)[0]
    if row is None:
        raise ValueError(task.wrong(arrays, 0))
    return row
