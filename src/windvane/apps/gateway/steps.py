"""The steps of a prediction, in their order. Each works on one request context."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from windvane.apps.gateway.access import Caller, Gatekeeper, Way
from windvane.apps.gateway.answers import ApiVersion, pick_version
from windvane.apps.gateway.batcher import NextTickBatcher
from windvane.apps.gateway.bodies import BodyReader, Receive
from windvane.apps.gateway.cache import AnswerCache
from windvane.apps.gateway.conform import conform
from windvane.apps.gateway.execute import execute
from windvane.apps.gateway.refusals import BadDeadline, GatewayError, Overloaded, RateLimited
from windvane.apps.gateway.shelf import Shelf
from windvane.core.admission import FREE, Taken, read_grpc_timeout, read_timeout
from windvane.core.routing import Scope
from windvane.ports.events import Row
from windvane.ports.limits import Limiter
from windvane.ports.shared_cache import SharedCache

Headers = dict[bytes, bytes]
_RETRY_WHEN_FULL_S = 1.0
_HEADROOM = 0.7
_WAY_BACK = 0.02  # of the time: an answer that leaves at the deadline comes after it


@dataclass(slots=True)
class Parts:
    """What the steps work with: one worker's gatekeeper, limiter, caches and batcher, and its
    bounds."""

    gatekeeper: Gatekeeper
    limiter: Limiter
    batcher: NextTickBatcher
    shelf: Shelf
    cache: AnswerCache
    shared: SharedCache | None
    bodies: BodyReader
    max_rows: int
    max_under_way: int
    max_deadline_s: float
    under_way: int = 0


class Context:
    """One request on its way, since ``began_ns`` (of ``time.monotonic_ns``)."""

    __slots__ = (
        "api", "began_ns", "body", "caller", "deadline", "headers", "latency_us", "name",
        "request_id", "rows", "taken", "units", "values", "way",
    )  # fmt: skip
    caller: Caller
    way: Way
    api: ApiVersion
    units: list[str]
    values: list[tuple[Any, ...]]

    def __init__(
        self, request_id: str, headers: Headers, name: str, began_ns: int | None = None
    ) -> None:
        self.began_ns = time.monotonic_ns() if began_ns is None else began_ns
        self.request_id = request_id
        self.headers = headers
        self.name = name
        self.taken: Taken = FREE
        self.deadline = 0.0
        self.latency_us = 0
        self.body = b""
        self.rows: list[Row] = []

    @property
    def known(self) -> Way | None:
        """The way, if the request got as far as to have one."""
        return getattr(self, "way", None)


async def predict(context: Context, parts: Parts, receive: Receive, wall: float) -> None:
    """The way of a prediction; `straight.py` goes the same way without waiting. What later
    issues add has its line here already:

    authenticate > limit > admit > (join features) > conform > cache > batch, execute, fall
    back. Answering, recording and giving the limits' places back are the caller's.
    """
    authenticate(context, parts, Scope.PREDICT, wall)
    if context.way.limits:
        await limit(context, parts)
    admit(context, parts)
    context.body = await parts.bodies.read(receive)
    conform(context, parts.max_rows)
    await execute(context, parts)


def authenticate(context: Context, parts: Parts, scope: Scope, wall: float) -> None:
    """The key's hash, or the token's signature, names the tenant; nothing else can."""
    headers = context.headers
    try:
        caller = parts.gatekeeper.admit(headers.get(b"authorization", b""), scope, wall)
    except GatewayError as error:
        if error.key_id and parts.gatekeeper.knows(context.name):
            error.model = context.name
        raise
    context.caller = caller
    asked = headers.get(b"windvane-version")
    context.api = caller.api if asked is None else pick_version(asked, "")
    if scope is Scope.PREDICT:
        context.way = caller.way(context.name)


async def limit(context: Context, parts: Parts) -> None:
    """The tenant's windows and caps: a place in all of them, or none."""
    now = time.monotonic()
    taken = parts.limiter.take(context.way.limits, now)
    _note(context, taken if isinstance(taken, Taken) else await taken, now)


def limit_now(context: Context, parts: Parts) -> None:
    """The same for a limiter that answers at once."""
    now = time.monotonic()
    taken = parts.limiter.take(context.way.limits, now)
    assert isinstance(taken, Taken)
    _note(context, taken, now)


def _note(context: Context, taken: Taken, at: float) -> None:
    if not taken.admitted:
        raise RateLimited(_said(taken), taken, at)
    context.taken = taken


def admit(context: Context, parts: Parts) -> None:
    """Let in only what can be answered in time: an early no is cheaper for both sides."""
    timeout_s = context.way.model.route.deadline_s
    headers = context.headers
    if b"x-request-deadline" in headers or b"grpc-timeout" in headers:
        timeout_s = min(_asked_s(headers), parts.max_deadline_s)
    context.deadline = context.began_ns * 1e-9 + (1.0 - _WAY_BACK) * timeout_s
    if parts.under_way > parts.max_under_way:
        sides = f"{parts.under_way:,} requests are under way, {parts.max_under_way:,} allowed"
        raise Overloaded(sides, _RETRY_WHEN_FULL_S)
    lane = context.way.slot.lane
    if lane is not None and lane.apart:
        wait_s = lane.wait_s()
        # Some room is left: what is let in to the brim is late as soon as one batch is. Whoever
        # finds nobody before it can only be late by itself.
        if wait_s and wait_s + lane.row_s > _HEADROOM * timeout_s:
            sides = f"a turn comes in {wait_s * 1e3:.0f} ms, the deadline in {timeout_s * 1e3:.0f}"
            raise Overloaded(sides, wait_s - _HEADROOM * timeout_s + lane.row_s)


def _asked_s(headers: Headers) -> float:
    for name, read in ((b"x-request-deadline", read_timeout), (b"grpc-timeout", read_grpc_timeout)):
        given = headers.get(name)
        if given is not None:
            timeout_s = read(given.decode("latin-1"))
            if timeout_s is not None:
                return timeout_s
            word = given[:32].decode("latin-1")
            raise BadDeadline(f"{name.decode()}: {word!r} is no time")
    raise BadDeadline("no deadline was sent")


def _said(taken: Taken) -> str:
    limit = taken.limit
    assert limit is not None
    on = " on this model" if "/" in limit.name else ""
    bounds: list[str] = []
    if limit.rate:
        bounds.append(f"{limit.rate:,} requests in {limit.per_s:g} s")
    if limit.concurrent:
        bounds.append(f"{limit.concurrent:,} at one time")
    return f"the limit{on} is reached: {' and '.join(bounds)} allowed"
