"""The gateway as a raw ASGI application: no framework on the hot route."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from windvane.apps.gateway.answers import JSON, Header, to_json
from windvane.apps.gateway.desk import Desk
from windvane.apps.gateway.live import LiveTable, bring_to_life
from windvane.apps.gateway.metrics import Metrics
from windvane.apps.gateway.openapi import document
from windvane.apps.gateway.outcomes import keep_outcomes
from windvane.apps.gateway.records import Records
from windvane.apps.gateway.refusals import (
    GatewayError,
    NoSuchPath,
    NotReady,
    WrongMethod,
)
from windvane.apps.gateway.steps import Context, Parts, authenticate, predict
from windvane.apps.gateway.straight import Reply, Straight
from windvane.apps.gateway.telling import tell_metrics
from windvane.core.routing import Scope
from windvane.ports.clock import Clock
from windvane.ports.identity import TokenVerifier
from windvane.ports.metrics import MetricsBoard
from windvane.ports.routing_feed import RoutingFeed

_log = logging.getLogger(__name__)
AsgiScope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_FEED_EVERY_S = 0.1
_RETRY_S = 1.0
_POST_EVERY_S = 1.0
_TOKENS_AT_MOST_EVERY_S = 10.0
_PREDICT_HEAD, _PREDICT_TAIL = "/v1/models/", "/predict"
_HEAD_LENGTH, _TAIL_LENGTH = len(_PREDICT_HEAD), len(_PREDICT_TAIL)


class Remote(Protocol):
    """What has to be reached before requests come, and let go of at the end. Neither call
    raises nor takes longer than a second where it cannot be reached."""

    async def open(self) -> None: ...
    async def aclose(self) -> None: ...


class Gateway:
    """One worker."""

    def __init__(
        self,
        feed: RoutingFeed,
        parts: Parts,
        records: Records,
        clock: Clock,
        metrics: Metrics,
        *,
        board: MetricsBoard | None = None,
        verifier: TokenVerifier | None = None,
        remotes: Sequence[Remote] = (),
        worker: str = "gateway-0",
        sync_every_s: float = 1.0,
    ) -> None:
        self._feed = feed
        self._parts = parts
        self._records = records
        self._clock = clock
        self._board = board
        self._verifier = verifier
        self._remotes = remotes
        self._worker = worker
        self._sync_every_s = sync_every_s
        self._desk = Desk(parts, records, metrics)
        self._straight = Straight(parts, self._desk, records, clock)
        self._live: LiveTable | None = None
        self._again_at = math.inf  # when a table that could not be taken up is tried again
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics = metrics
        self.draining = False

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._lifespan(receive, send)
            return
        path: str = scope["path"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = self._desk.name(headers)
        extra: Sequence[Header] = ()
        try:
            if path.endswith(_PREDICT_TAIL) and path.startswith(_PREDICT_HEAD):
                _only(scope, "POST")
                context = Context(request_id, headers, path[_HEAD_LENGTH:-_TAIL_LENGTH])
                status, body = 200, await self._predict(context, receive)
                extra = self._desk.headers(context)
            else:
                status, body = await self._other(path, scope, headers, request_id, receive)
        except Exception as error:
            status, body, extra, held_s = self._desk.refuse(error, request_id)
            if held_s:
                await self._desk.patience.wait(held_s)
        if self.draining:
            extra = [*extra, (b"connection", b"close")]
        length = (b"content-length", b"%d" % len(body))
        await send(
            {"type": "http.response.start", "status": status, "headers": [JSON, length, *extra]}
        )
        await send({"type": "http.response.body", "body": body})

    def straight(
        self,
        headers: dict[bytes, bytes],
        path: str,
        body: bytes,
        reply: Reply,
        began_ns: int | None = None,
    ) -> bool:
        """A whole POST, answered by ``reply`` without a task; False, and nothing was done, if
        it has to come as any other request does. It came at ``began_ns`` (``monotonic_ns``),
        None is now."""
        ours = path.endswith(_PREDICT_TAIL) and path.startswith(_PREDICT_HEAD)
        if self.draining or not ours:
            return False
        name = path[_HEAD_LENGTH:-_TAIL_LENGTH]
        return self._straight.answer(headers, name, body, reply, began_ns)

    def later(self, work: Callable[[], None]) -> None:
        """Do ``work`` when what else is there was served."""
        self._desk.later.put((work,))

    async def _predict(self, context: Context, receive: Receive) -> bytes:
        self._parts.under_way += 1
        try:
            await predict(context, self._parts, receive, self._clock.wall())
            self._records.keep(self._desk.event(context))
        except GatewayError as error:
            self._records.refused(context, error)
            raise
        finally:
            self._desk.give_back(context)
        return self._desk.answer(context)

    async def _other(
        self,
        path: str,
        scope: AsgiScope,
        headers: dict[bytes, bytes],
        request_id: str,
        receive: Receive,
    ) -> tuple[int, bytes]:
        if path == "/v1/outcomes":
            _only(scope, "POST")
            context = Context(request_id, headers, "")
            try:
                return 202, await keep_outcomes(
                    context, self._parts, self._records, receive, self._clock.wall()
                )
            except GatewayError as error:
                if context.known is not None:
                    error.tenant, error.model = context.known.tenant, context.name
                raise
        if path == "/v1/models":
            _only(scope, "GET")
            return 200, self._models(Context(request_id, headers, ""))
        if path == "/openapi.json":
            _only(scope, "GET")
            return 200, document()
        if path == "/healthz":
            _only(scope, "GET")
            return 200, b'{"status":"alive"}'
        if path == "/readyz":
            _only(scope, "GET")
            if self._live is None or self.draining:
                raise NotReady("this worker is stopping" if self.draining else "no table yet")
            count = len(self._live.models)
            return 200, to_json({"status": "ready", "routing": self._live.seq, "models": count})
        raise NoSuchPath(f"{scope['method']} {path[:200]} is not part of the API")

    def _models(self, context: Context) -> bytes:
        """What this caller may ask for."""
        authenticate(context, self._parts, Scope.READ, self._clock.wall())
        caller = context.caller
        seen = [m.route for m in caller.table.models.values() if caller.may_see(m)]
        return to_json(
            {
                "models": [
                    {
                        "model": route.model,
                        "features": [
                            {"name": s.name, "type": s.type.value, "nullable": s.nullable}
                            for s in route.schema
                        ],
                        "deadline_s": route.deadline_s,
                    }
                    for route in seen
                ]
            }
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def start(self) -> None:
        if self._board is not None:
            self.metrics.go_on_from(self._board.posted().get(self._worker, []))
        if self._verifier is not None:
            await asyncio.to_thread(self._verifier.refresh)
        for remote in self._remotes:
            await remote.open()
        await self._refresh()
        # Requests leave no cycles behind, so the collector need look but rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(5_000, 50, 100)
        self._tasks = [
            asyncio.create_task(work)
            for work in (
                self._every(_FEED_EVERY_S, self._follow_feed),
                self._every(self._sync_every_s, self._sync),
                self._every(_POST_EVERY_S, self._post),
                self._every(_TOKENS_AT_MOST_EVERY_S, self._follow_tokens),
                self._parts.bodies.watch(),
            )
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._post()
        if self._board is not None:  # gauges of a worker that is gone would mislead
            self.metrics.gauges.clear()
            self._board.post(self._worker, self.metrics.series())
        self._records.close()
        self._parts.shelf.close()
        for remote in self._remotes:
            await remote.aclose()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:
                _log.exception("%s failed; it is tried again", work.__name__)

    async def _follow_feed(self) -> None:
        self._parts.shelf.let_go()
        if self._feed.changed() or time.monotonic() >= self._again_at:
            await self._refresh()

    async def _refresh(self) -> None:
        """Load off the loop, then swap; requests under way keep the snapshot they began with.

        Keys and limits hold at once: a revoked key must not work on for as long as some
        version takes to load. A table that comes meanwhile is looked at without waiting, and
        what is loading goes on loading.
        """
        self._again_at = time.monotonic() + _RETRY_S
        shelf = self._parts.shelf
        while True:
            table = self._feed.latest()
            if table is None or (self._live is not None and table.seq <= self._live.seq):
                break
            fresh = await asyncio.to_thread(bring_to_life, table, shelf, self._live)
            live = self._live
            if live is not None and (fresh.keys, fresh.limits) != (live.keys, live.limits):
                self._follow(replace(live, keys=fresh.keys, limits=fresh.limits))
            filling = asyncio.create_task(shelf.fill(fresh.slots))
            try:
                while not filling.done() and not self._feed.changed():
                    await asyncio.wait([filling], timeout=_FEED_EVERY_S)
            finally:
                filling.cancel()
            if filling.done():
                filling.result()
                self._follow(fresh)
                shelf.keep_only(fresh.slots)
                _log.info("routing table %d is in use", table.seq)
                break
        self._again_at = math.inf

    def _follow(self, fresh: LiveTable) -> None:
        self._live = fresh
        self._parts.gatekeeper.follow(fresh)

    async def _sync(self) -> None:
        await asyncio.to_thread(self._records.sync)

    async def _post(self) -> None:
        if self._board is not None:
            await self._desk.collect()
            tell_metrics(self.metrics, self._parts, self._live)
            await asyncio.to_thread(self._board.post, self._worker, self.metrics.series())

    async def _follow_tokens(self) -> None:
        if self._verifier is not None and self._verifier.stale:
            await asyncio.to_thread(self._verifier.refresh)


def _only(scope: AsgiScope, method: str) -> None:
    if scope["method"] != method:
        raise WrongMethod(f"{scope['method']} {scope['path'][:200]} is not allowed", method)
