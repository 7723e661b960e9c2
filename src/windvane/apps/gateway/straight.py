"""Predictions that came in one piece, answered without a task of their own.

The same steps as `steps.predict`, for what never has to wait for anything but its batch. A
request of another kind is handed back before anything was done to it, or goes on in a task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from windvane.apps.gateway.answers import Header
from windvane.apps.gateway.batcher import Lane, Outputs
from windvane.apps.gateway.cache import cache_key
from windvane.apps.gateway.conform import conform
from windvane.apps.gateway.desk import Desk
from windvane.apps.gateway.execute import execute, fall_back, flags_of, is_cached, pick
from windvane.apps.gateway.records import Records
from windvane.apps.gateway.refusals import GatewayError, RateLimited
from windvane.apps.gateway.steps import Context, Headers, Parts, admit, authenticate, limit_now
from windvane.core.execution import Circuit
from windvane.core.routing import Scope
from windvane.ports.clock import Clock
from windvane.ports.events import Row

Reply = Callable[[int, Sequence[Header], bytes], None]
"""Gives the answer to the client, if it is still there; it does not raise."""


class Errand(Context):
    """A request that waits for its rows itself: it is what the batcher hands the outputs to."""

    __slots__ = ("_done", "_waits", "arm", "keep_until", "key", "reply", "version")

    def __init__(
        self,
        request_id: str,
        headers: Headers,
        name: str,
        reply: Reply,
        done: Callable[[Errand, float | Exception], None],
        began_ns: int | None,
    ) -> None:
        super().__init__(request_id, headers, name, began_ns)
        self.reply = reply
        self.version = self.arm = ""
        self.key = b""
        self.keep_until = 0.0
        self._done = done
        self._waits = True

    def done(self) -> bool:
        return not self._waits

    def set_result(self, outputs: Outputs) -> None:
        self._waits = False
        self._done(self, outputs[0])


class Straight:
    """``answer`` takes a whole request and gives the answer to ``reply``, now or later.

    What one batch answered is kept with one write, before any of its answers leaves.
    """

    def __init__(self, parts: Parts, desk: Desk, records: Records, clock: Clock) -> None:
        self._parts = parts
        self._desk = desk
        self._records = records
        self._clock = clock
        self._ended: list[tuple[Errand, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        parts.batcher.on_end = self._commit

    def answer(
        self, headers: Headers, name: str, body: bytes, reply: Reply, began_ns: int | None
    ) -> bool:
        """False, and nothing was done, if the request has to take the other way."""
        parts = self._parts
        if len(body) > parts.bodies.max_bytes:
            return False
        errand = Errand(self._desk.name(headers), headers, name, reply, self._came_back, began_ns)
        try:
            authenticate(errand, parts, Scope.PREDICT, self._clock.wall())
        except Exception as error:
            self._refuse(errand, error)
            return True
        standing = errand.way.standing
        if standing is not None:
            now = time.monotonic()
            if now < standing.until:
                self._leave(errand, *self._desk.refuse_again(standing, errand.request_id, now))
                return True
            errand.way.standing = None
        if errand.way.limits and not parts.limiter.at_once:
            return False
        parts.under_way += 1
        try:
            if errand.way.limits:
                limit_now(errand, parts)
            admit(errand, parts)
            errand.body = body
            conform(errand, parts.max_rows)
            if not self._start(errand):
                self._in_a_task(errand, execute(errand, parts))
        except Exception as error:
            self._fail(errand, error)
        return True

    def _start(self, errand: Errand) -> bool:
        """One row, and a version that is there and well. Otherwise False."""
        parts, way = self._parts, errand.way
        if len(errand.values) != 1:
            return False
        route = way.model.route
        values = errand.values[0]
        errand.version, errand.arm = pick(way, errand.units[0])
        lane = way.model.slots[errand.version].lane
        if lane is None or lane.breaker.circuit is not Circuit.CLOSED:
            return False
        now = time.monotonic()
        if is_cached(route, lane):
            if parts.shared is not None:
                return False
            errand.key = cache_key(way.cached[errand.version], values)
            held = parts.cache.get(errand.key, now)
            if held is not None:
                way.hits += 1
                self._end(errand, held, cached=True)
                self._commit()
                return True
            way.misses += 1
            errand.keep_until = now + route.cache_ttl_s
        lane.used = now
        self._submit(errand, lane, values)
        return True

    def _submit(self, errand: Errand, lane: Lane, values: Sequence[object]) -> None:
        try:
            row = lane.predictor.encode(values)
        except Exception as error:
            self._came_back(errand, error)
        else:
            self._parts.batcher.enlist(errand, lane, (row,), errand.deadline)

    def _came_back(self, errand: Errand, output: float | Exception) -> None:
        try:
            if isinstance(output, Exception):
                self._in_a_task(errand, self._mend(errand, output))
                return
            if errand.key:
                self._parts.cache.put(errand.key, output, errand.keep_until)
            self._end(errand, output, cached=False)
        except Exception as error:
            self._fail(errand, error)

    async def _mend(self, errand: Errand, failure: Exception) -> None:
        row = await fall_back(errand, self._parts, 0, errand.version, errand.arm, failure)
        errand.rows.append(row)

    def _in_a_task(self, errand: Errand, rest: Awaitable[None]) -> None:
        async def go_on() -> None:
            try:
                await rest
                self._has_ended(errand)
            except Exception as error:
                self._fail(errand, error)
            else:
                self._commit()

        task = asyncio.create_task(go_on())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, errand: Errand, output: float, *, cached: bool) -> None:
        version, arm = errand.version, errand.arm
        flags = flags_of(arm, cached=cached)
        errand.rows.append(
            Row(errand.units[0], version, version, arm, errand.values[0], output, flags)
        )
        self._has_ended(errand)

    def _has_ended(self, errand: Errand) -> None:
        self._ended.append((errand, self._desk.event(errand)))

    def _commit(self) -> None:
        """Keep the events of all that ended, then let their answers go."""
        ended = self._ended
        if not ended:
            return
        self._ended = []
        try:
            self._records.keep(*[event for _, event in ended])
        except Exception as error:
            for errand, _ in ended:
                self._fail(errand, error)
            return
        for errand, _ in ended:
            try:
                body = self._desk.answer(errand)
                extra = self._desk.headers(errand)
            except Exception as error:
                self._fail(errand, error)
                continue
            self._desk.give_back(errand)
            errand.reply(200, extra, body)

    def _fail(self, errand: Errand, error: Exception) -> None:
        self._desk.give_back(errand)
        if isinstance(error, GatewayError):
            self._records.refused(errand, error)
            if isinstance(error, RateLimited) and error.taken.certain_s:
                self._desk.stand(error, errand.way)
        self._refuse(errand, error)

    def _refuse(self, errand: Errand, error: Exception) -> None:
        self._leave(errand, *self._desk.refuse(error, errand.request_id))

    def _leave(
        self, errand: Errand, status: int, body: bytes, extra: Sequence[Header], held_s: float
    ) -> None:
        if not held_s:
            errand.reply(status, extra, body)
            return
        self._desk.patience.later(held_s, lambda: errand.reply(status, extra, body))
