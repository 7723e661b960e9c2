"""The gateway as a raw ASGI application: no framework on the hot route."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from windvane.apps.gateway.batcher import NextTickBatcher
from windvane.apps.gateway.live import LiveTable, bring_to_life
from windvane.apps.gateway.metrics import Metrics
from windvane.apps.gateway.refusals import (
    BadBody,
    BodyTooLarge,
    BodyTooSlow,
    BrokenPromise,
    GatewayError,
    NoAnswer,
    NoSuchPath,
    NotReady,
    NotRecorded,
)
from windvane.apps.gateway.steps import Context, authenticate, find_model, predict
from windvane.ports.clock import Clock
from windvane.ports.events import (
    EVENT_ENCODER,
    Event,
    OutcomeSeen,
    Predicted,
    Refused,
)
from windvane.ports.routing_feed import RoutingFeed
from windvane.ports.runtime import Runtime
from windvane.ports.spool import SpoolFull, SpoolWriter

_log = logging.getLogger(__name__)
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_ENCODER = msgspec.json.Encoder()
_FEED_EVERY_S = 0.1
_BODY_DEADLINE_S = 10.0
_SAMPLE_BYTES = 1_000


class OutcomeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one row: the request that predicted it, the row, the value."""

    request_id: str
    value: float
    row: int = 0


class OutcomesBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    outcomes: list[OutcomeIn]


_OUTCOMES = msgspec.json.Decoder(OutcomesBody)


class Gateway:
    """One worker."""

    def __init__(
        self,
        feed: RoutingFeed,
        runtime: Runtime,
        spool: SpoolWriter,
        clock: Clock,
        *,
        max_body_bytes: int,
        max_rows: int,
        sync_every_s: float,
    ) -> None:
        self._feed = feed
        self._runtime = runtime
        self._spool = spool
        self._clock = clock
        self._max_body = max_body_bytes
        self.max_rows = max_rows
        self._sync_every_s = sync_every_s
        self._batcher = NextTickBatcher()
        self._live: LiveTable | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics = Metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter_ns()
        path, method = scope["path"], scope["method"]
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        try:
            if method == "POST" and path.startswith("/v1/models/") and path.endswith("/predict"):
                name = path[len("/v1/models/") : -len("/predict")]
                status, body = 200, await self._predict(name, headers, request_id, receive, began)
            elif method == "POST" and path == "/v1/outcomes":
                status, body = 202, await self._outcomes(headers, request_id, receive)
            elif method == "GET" and path in ("/healthz", "/readyz", "/metrics"):
                await self._probe(path, send)
                return
            else:
                raise NoSuchPath(f"{method} {path} is not part of the API")
        except GatewayError as error:
            status, body = error.status, _refusal(error, request_id)
            self.metrics.requests[error.model, error.tenant, error.code] += 1
        except Exception:
            _log.exception("request %s failed", request_id)
            error = GatewayError("the gateway failed")
            status, body = 500, _refusal(error, request_id)
            self.metrics.requests["", "", error.code] += 1
        await _answer(send, status, body)

    async def _predict(
        self,
        name: str,
        headers: dict[bytes, bytes],
        request_id: str,
        receive: Receive,
        began: int,
    ) -> bytes:
        live = self._ready()
        body = await self._body(receive)
        context = Context(live, request_id, headers, name, body)
        try:
            await predict(context, self._batcher, self)
        except GatewayError as error:
            self._note_refusal(context, error)
            raise
        model = context.model
        assert model is not None
        latency_us = (time.perf_counter_ns() - began) // 1_000
        route = model.route
        self._keep(
            Predicted(
                request_id,
                self._clock.now(),
                name,
                context.tenant,
                route.layout_id,
                route.rollout,
                latency_us,
                context.rows,
            )
        )
        metrics = self.metrics
        metrics.requests[name, context.tenant, "200"] += 1
        metrics.observe(name, latency_us)
        for row in context.rows:
            metrics.rows[name, row.answered, row.arm] += 1
            if row.answered != row.routed:
                metrics.fallbacks[name, row.routed] += 1
        return _ENCODER.encode(
            {
                "request_id": request_id,
                "model": name,
                "predictions": [
                    {
                        "value": row.output,
                        "version": row.answered,
                        "arm": row.arm,
                        "flags": row.flags,
                    }
                    for row in context.rows
                ],
            }
        )

    async def _outcomes(
        self, headers: dict[bytes, bytes], request_id: str, receive: Receive
    ) -> bytes:
        live = self._ready()
        body = await self._body(receive)
        context = Context(live, request_id, headers, "", body)
        authenticate(context)
        try:
            given = _OUTCOMES.decode(body)
        except msgspec.MsgspecError as error:
            hint = 'send {"model": "...", "outcomes": [{"request_id": "...", "value": 1}]}'
            raise BadBody(f"outcomes: {error}", hint=hint) from error
        if len(given.outcomes) > self.max_rows:
            raise BodyTooLarge(f"{len(given.outcomes):,} outcomes, {self.max_rows:,} allowed")
        context.name = given.model
        find_model(context)
        assert context.model is not None
        for outcome in given.outcomes:
            self._keep(
                OutcomeSeen(
                    f"{outcome.request_id}/{outcome.row}",
                    self._clock.now(),
                    given.model,
                    context.tenant,
                    context.model.route.layout_id,
                    outcome.request_id,
                    outcome.row,
                    outcome.value,
                )
            )
        return _ENCODER.encode({"accepted": len(given.outcomes)})

    def _keep(self, event: Event) -> None:
        """On the spool before the answer leaves; else there is no answer."""
        try:
            self._spool.append(EVENT_ENCODER.encode(event))
        except SpoolFull as error:
            raise NotRecorded(error.message) from error

    def _note_refusal(self, context: Context, error: GatewayError) -> None:
        """A broken promise of a known tenant is an event too: its judge must see it."""
        model = context.model
        error.tenant = context.tenant
        if model is None:  # what strangers ask for must not become labels
            return
        error.model = context.name
        no_answer = isinstance(error, NoAnswer)
        if not no_answer and error.status not in (400, 413, 422):
            return
        routed, arm = (error.routed, error.arm) if isinstance(error, NoAnswer) else ("", "")
        code = error.problems[0][1].code if isinstance(error, BrokenPromise) else error.code
        sample = context.body[:_SAMPLE_BYTES].decode("utf-8", "replace")
        refused = Refused(
            context.request_id, self._clock.now(), context.name, context.tenant,
            model.route.layout_id, code, error.message[:500], sample, routed, arm,
        )  # fmt: skip
        try:
            self._spool.append(EVENT_ENCODER.encode(refused))
        except SpoolFull:
            _log.warning("refusal %s was not recorded: the spool is full", context.request_id)

    def _ready(self) -> LiveTable:
        if self._live is None:
            raise NotReady("no routing table yet")
        return self._live

    async def _body(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_DEADLINE_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise BodyTooSlow("the client went away")
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._max_body:
                        raise BodyTooLarge(f"over {self._max_body:,} bytes")
                    parts.append(part)
                    if not message.get("more_body"):
                        return part if len(parts) == 1 else b"".join(parts)
        except TimeoutError:
            raise BodyTooSlow(f"no whole body within {_BODY_DEADLINE_S:.0f} s") from None

    async def _probe(self, path: str, send: Send) -> None:
        if path == "/metrics":
            self.metrics.routing_seq = self._live.seq if self._live else 0
            await _answer(send, 200, self.metrics.render().encode(), _TEXT)
        elif path == "/healthz":
            await _answer(send, 200, b'{"status":"alive"}')
        elif self._live is None:
            await _answer(send, 503, _refusal(NotReady("no routing table yet"), ""))
        else:
            models = sorted(self._live.models)
            body = {"status": "ready", "routing": self._live.seq, "models": models}
            await _answer(send, 200, _ENCODER.encode(body))

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
        await self._refresh()
        gc.collect()
        gc.freeze()
        self._tasks = [
            asyncio.create_task(self._follow_feed()),
            asyncio.create_task(self._sync_spool()),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._spool.sync()
        self._spool.close()

    async def _follow_feed(self) -> None:
        while True:
            await asyncio.sleep(_FEED_EVERY_S)
            try:
                if self._feed.changed():
                    await self._refresh()
            except Exception:
                _log.exception("routing table not read; the one in use stays")

    async def _refresh(self) -> None:
        """Load off the loop, then swap; requests under way keep the snapshot they began with."""
        table = self._feed.latest()
        if table is None or (self._live is not None and table.seq <= self._live.seq):
            return
        self._live = await asyncio.to_thread(bring_to_life, table, self._runtime, self._live)
        _log.info("routing table %d is in use", table.seq)

    async def _sync_spool(self) -> None:
        while True:
            await asyncio.sleep(self._sync_every_s)
            try:
                await asyncio.to_thread(self._spool.sync)
            except OSError:
                _log.exception("spool not synced")


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    if 0 < len(given) <= 128 and given.isascii():
        return given.decode("ascii")
    return os.urandom(12).hex()


def _refusal(error: GatewayError, request_id: str) -> bytes:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.advice}
    if isinstance(error, BrokenPromise):
        body["problems"] = [
            {"row": row, "code": p.code, "field": p.field, "message": p.message}
            for row, p in error.problems
        ]
    return _ENCODER.encode({"error": body, "request_id": request_id})


async def _answer(send: Send, status: int, body: bytes, kind: tuple[bytes, bytes] = _JSON) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [kind, length]})
    await send({"type": "http.response.body", "body": body})
