"""What a gateway answers over HTTP: which path is what, and how it is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from windvane.apps.gateway.answers import (
    JSON,
    VERSION_HEADERS,
    Header,
    fill_template,
    limit_headers,
    pick_version,
    rejection_headers,
    rejection_template,
    to_json,
)
from windvane.apps.gateway.encodings import decompress
from windvane.apps.gateway.head_values import asked_s, idempotency_key, printable
from windvane.apps.gateway.http_head import RequestHead
from windvane.apps.gateway.http_protocol import BodySink, Reply
from windvane.apps.gateway.imported_events import keep_events
from windvane.apps.gateway.openapi import document
from windvane.apps.gateway.outcomes import keep_outcomes
from windvane.apps.gateway.protocols import media
from windvane.apps.gateway.protocols.base import HttpProtocol, Page, PredictCall
from windvane.apps.gateway.protocols.mlflow import MlflowProtocol
from windvane.apps.gateway.protocols.native import NativeProtocol
from windvane.apps.gateway.protocols.open_inference import OpenInferenceProtocol
from windvane.apps.gateway.rejection_throttle import RejectionThrottle
from windvane.apps.gateway.statuses import (
    NoSuchPath,
    WrongMethod,
    of_status,
    status_of,
)
from windvane.apps.gateway.traces import end_http_trace
from windvane.core.admission import FREE
from windvane.core.routing import Scope
from windvane.inference.access import turned_off
from windvane.inference.engine import Engine
from windvane.inference.errors import (
    InternalError,
    NotReady,
    Overloaded,
    RateLimited,
    Rejection,
    TurnedOff,
)
from windvane.inference.failures import describe, frames_of
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.request import InferenceRequest, InferenceResponse
from windvane.inference.snapshot import ServedModel
from windvane.inference.waiting import FastPath

_log = logging.getLogger(__name__)
_MOST_PATHS, _LONGEST_KEPT = 4_096, 256  # kept before anybody is known
_OF_VERSION = (b"windvane-version",)
_MODELS, _EVENTS = "/v1/models/", "/events"
Headers = dict[bytes, bytes]

PROTOCOLS: tuple[HttpProtocol, ...] = (
    NativeProtocol(),
    OpenInferenceProtocol(),
    MlflowProtocol(),
)
"""A path is the first one's that knows it."""


class HttpApp:
    """One worker's. The transport hands it heads and bodies; it answers by ``Reply``."""

    def __init__(
        self,
        engine: Engine,
        ready: Callable[[], Mapping[str, Any]],
        low_priority: LowPriorityQueue | None = None,
        events_max_age_s: float = math.inf,
    ) -> None:
        self.engine = engine
        self._events_max_age_s = events_max_age_s
        self.draining = False
        self.low_priority = low_priority or LowPriorityQueue()
        self.throttle = RejectionThrottle(self.low_priority)
        self._ready = ready
        self.fast_path = FastPath()
        self._tasks: set[asyncio.Task[None]] = set()
        self._known: dict[str, tuple[HttpProtocol, PredictCall]] = {}
        self._plain: dict[str, tuple[str, Callable[[], bytes]]] = {
            "/openapi.json": ("GET", document),
            "/healthz": ("GET", lambda: b'{"status":"alive"}'),
            "/readyz": ("GET", self.check_ready),
        }

    def defer(self, work: Callable[[], None]) -> None:
        """Do ``work`` when what else is there was served."""
        self.low_priority.put((work,))

    def on_head(self, head: RequestHead, reply: Reply) -> BodySink | None:
        """A whole head is there. Who is to be refused is refused before the body is read."""
        path = head.path
        known = self._known.get(path)
        if known is None:
            for protocol in PROTOCOLS:
                call = protocol.predict_call(path)
                if call is not None:
                    known = (protocol, call)
                    break
            if known is not None and len(path) <= _LONGEST_KEPT:
                if len(self._known) >= _MOST_PATHS:
                    self._known.clear()
                self._known[path] = known
        if known is not None:
            return self._predict(*known, head, reply)
        request_id = self.engine.services.new_id()
        for protocol in PROTOCOLS:
            page = protocol.page(path)
            if page is not None:
                self._page(protocol, page, head, request_id, reply)
                return None
        try:
            return self._other(head, request_id, reply)
        except Exception as error:
            self.reject(PROTOCOLS[0], error, request_id, head.headers, reply)
            return None

    def on_error(self, status: int, detail: str) -> tuple[Sequence[Header], bytes]:
        """What the transport itself found wrong with a request, before anybody knows whose it
        is."""
        error = of_status(status, detail)
        self.engine.services.instrumentation.rejected(error)
        content_type, body = PROTOCOLS[0].rejection(error, self.engine.services.new_id())
        return [content_type, *rejection_headers(error)], body

    def _predict(
        self, protocol: HttpProtocol, call: PredictCall, head: RequestHead, reply: Reply
    ) -> BodySink | None:
        services = self.engine.services
        request_id = services.new_id()
        headers = head.headers
        try:
            if head.method != "POST":
                message = f"{head.method[:16]} {head.path[:200]} is not allowed"
                raise WrongMethod(message, "POST")
            request = InferenceRequest(
                request_id, call.model, headers.get(b"authorization", b""),
                protocol.codec(call, headers, None), head.began_ns,
            )  # fmt: skip
            if b"x-request-id" in headers:
                request.client_id = printable(headers[b"x-request-id"])
            if b"idempotency-key" in headers:
                request.idempotency_key = idempotency_key(headers[b"idempotency-key"])
            if b"x-request-deadline" in headers or b"grpc-timeout" in headers:
                request.timeout_s = asked_s(headers)
            if services.tracer is not None:
                traceparent = headers.get(b"traceparent", b"")
                tracestate = headers.get(b"tracestate", b"")
                request.trace = services.tracer.begin(traceparent, tracestate, head.began_ns)
        except Exception as error:
            rejection = self._head_failed(call, head, request_id, error)
            self.reject(protocol, rejection, request_id, headers, reply)
            return None
        sink = _Prediction(self, protocol, call, request, headers, reply)
        try:
            pending = self.engine.begin(request)
        except Exception as error:
            sink.reject(error)
            return None
        if pending is not None:
            sink.begins = True
            self._keep(asyncio.create_task(sink.begin(pending)))
        return sink

    def _head_failed(
        self, call: PredictCall, head: RequestHead, request_id: str, error: Exception
    ) -> Rejection:
        """A head that cannot be read: its tenant's monitor sees that, too."""
        credential = head.headers.get(b"authorization", b"")
        codec = PROTOCOLS[0].codec(call, {}, None)
        client_id = printable(head.headers.get(b"x-request-id", b""))
        request = InferenceRequest(
            request_id, call.model, credential, codec, head.began_ns, client_id=client_id
        )
        with contextlib.suppress(Rejection):
            principal = self.engine.authenticate(request, Scope.PREDICT)
            request.access = principal.access(request.model)
        return self.engine.failed(request, error)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reject(
        self, protocol: HttpProtocol, error: Exception, request_id: str, headers: Headers,
        reply: Reply,
    ) -> None:  # fmt: skip
        """Tell a client why it gets nothing; who is refused again and again waits for it."""
        if not isinstance(error, Rejection):
            _log.error(
                "request %s failed: %s\n%s", request_id, describe(error), frames_of(error),
                extra={"request_id": request_id},
            )  # fmt: skip
            error = InternalError("the gateway failed")
        if isinstance(error, RateLimited) and protocol is PROTOCOLS[0]:
            # The same words for all that meet this limit until a place frees.
            rendered = error.rendered
            if rendered is None:
                rendered = error.rendered = (rejection_template(error), rejection_headers(error))
            template, extra = rendered
            content_type, body = JSON, fill_template(template, request_id)
        else:
            content_type, body = protocol.rejection(error, request_id)
            extra = rejection_headers(error)
        status, extra = status_of(error), [content_type, *extra]
        extra += _echoes(headers, versioned=False)
        held_s = 0.0
        if isinstance(error, RateLimited | Overloaded | TurnedOff):
            held_s = self.throttle.hold_s(error.tenant, self.engine.services.monotonic())
        if held_s:
            self.throttle.later(held_s, lambda: reply(status, extra, body))
        else:
            reply(status, extra, body)

    def _other(self, head: RequestHead, request_id: str, reply: Reply) -> BodySink | None:
        path, method = head.path, head.method
        plain = self._plain.get(path)
        if plain is not None:
            _only(head, "GET")
            body = plain[1]()
            reply(200, [JSON], body)
            return None
        if path == "/v1/models":
            _only(head, "GET")
            request = self._request(head, request_id)
            try:
                body = self._models(request)
            except Exception as error:
                raise self.engine.failed(request, error) from None
            reply(200, [JSON, *_echoes(head.headers)], body)
            return None
        if path == "/v1/outcomes":
            _only(head, "POST")
            request = self._request(head, request_id)
            self._may(request, Scope.OUTCOMES, head)
            return _WholeBody(self, head, request, self._outcomes, reply)
        if path.startswith(_MODELS) and path.endswith(_EVENTS):
            _only(head, "POST")
            request = self._request(head, request_id)
            request.model = path[len(_MODELS) : -len(_EVENTS)]
            self._may(request, Scope.EVENTS, head)
            return _WholeBody(self, head, request, self._events, reply)
        raise NoSuchPath(f"{method[:16]} {path[:200]} is not part of the API")

    def _page(
        self, protocol: HttpProtocol, page: Page, head: RequestHead, request_id: str, reply: Reply
    ) -> None:
        try:
            _only(head, "GET")
            if page.when_ready:
                self.check_ready()
            model = self._seen(page.model, head, request_id) if page.model else None
            if page.when_ready and model is not None and model.route.off:
                raise turned_off(model.route)
            body = page.render(model)
        except Exception as error:
            self.reject(protocol, error, request_id, head.headers, reply)
        else:
            reply(200, [(b"content-type", page.content_type)], body)

    def _seen(self, name: str, head: RequestHead, request_id: str) -> ServedModel:
        """The model, for who may ask it or read about it."""
        request = self._request(head, request_id)
        request.model = name
        try:
            return self.engine.authenticate_reader(request).access(name).model
        except Exception as error:
            raise self.engine.failed(request, error) from error

    def _request(self, head: RequestHead, request_id: str) -> InferenceRequest:
        """Of something else than a prediction. Raises UnknownApiVersion."""
        headers = head.headers
        asked = {name: headers[name] for name in _OF_VERSION if name in headers}
        codec = PROTOCOLS[0].codec(PredictCall(""), asked, None)
        credential = headers.get(b"authorization", b"")
        client_id = printable(headers.get(b"x-request-id", b""))
        return InferenceRequest(
            request_id, "", credential, codec, head.began_ns, client_id=client_id
        )

    def _may(self, request: InferenceRequest, scope: Scope, head: RequestHead) -> None:
        """Raises Rejection: neither a stranger's body is read nor one that is no JSON."""
        try:
            self.engine.authenticate(request, scope)
            media.content_type(head.headers, (media.JSON,))
        except Exception as error:
            raise self.engine.failed(request, error) from error

    async def _outcomes(self, request: InferenceRequest, body: bytes) -> tuple[int, bytes]:
        accepted = await keep_outcomes(self.engine, request, body)
        return 202, to_json({"accepted": accepted})

    async def _events(self, request: InferenceRequest, body: bytes) -> tuple[int, bytes]:
        ids = await keep_events(self.engine, request, body, self._events_max_age_s)
        return 202, to_json({"accepted": len(ids), "request_ids": ids})

    def run(
        self, head: RequestHead, request: InferenceRequest, work: Awaitable[tuple[int, bytes]],
        reply: Reply,
    ) -> None:  # fmt: skip
        """Something else than a prediction, in a task of its own."""

        async def go() -> None:
            try:
                status, body = await work
            except Exception as error:
                rejection = self.engine.failed(request, error)
                self.reject(PROTOCOLS[0], rejection, request.id, head.headers, reply)
            else:
                reply(status, [JSON, *_echoes(head.headers)], body)

        self._keep(asyncio.create_task(go()))

    def check_ready(self) -> bytes:
        """What a worker that is ready says of itself. Raises NotReady."""
        if self.draining:
            raise NotReady("this worker is stopping")
        return to_json(self._ready())

    def _models(self, request: InferenceRequest) -> bytes:
        """What this principal may ask for."""
        principal = self.engine.authenticate(request, Scope.READ)
        seen = [m for m in principal.snapshot.models.values() if principal.may_see(m)]
        return to_json(
            {
                "models": [
                    {
                        "model": model.route.model,
                        "task": model.contract.task.kind,
                        "features": [
                            {
                                "name": spec.name,
                                "type": spec.type.value,
                                "nullable": spec.nullable,
                                "optional": spec.optional,
                            }
                            for spec in model.contract.features
                        ],
                        "outputs": [
                            {"name": spec.name, "shape": list(spec.shape)}
                            for spec in model.task.outputs
                        ],
                        "deadline_s": model.route.deadline_s,
                    }
                    for model in seen
                ]
            }
        )


class _Prediction:
    """A prediction between its head and its answer. ``begins`` while a limiter is asked afar."""

    __slots__ = ("_app", "_body", "_call", "_gone", "_headers", "_protocol", "_reply", "_request",
                 "begins", "max_bytes")  # fmt: skip

    def __init__(
        self, app: HttpApp, protocol: HttpProtocol, call: PredictCall, request: InferenceRequest,
        headers: Headers, reply: Reply,
    ) -> None:  # fmt: skip
        self._app = app
        self._protocol = protocol
        self._call = call
        self._request = request
        self._headers = headers
        self._reply = reply
        self._body: bytes | None = None
        self._gone = self.begins = False
        self.max_bytes = app.engine.services.max_body_bytes

    async def begin(self, pending: Awaitable[None]) -> None:
        try:
            await pending
        except Exception as error:
            self.reject(error)
            self._gone = True
            return
        finally:
            self.begins = False
        if self._gone:  # the client went away meanwhile
            self._app.engine.abandon(self._request)
        elif self._body is not None:
            self.on_body(self._body)

    def on_body(self, body: bytes) -> None:
        """The second phase, as soon as the first is over."""
        if self.begins:
            self._body = body
            return
        if self._gone:
            return
        request, headers, app = self._request, self._headers, self._app
        if b"content-encoding" in headers or request.principal.api:
            try:
                encoding = headers.get(b"content-encoding", b"")
                body = decompress(body, encoding, self.max_bytes)
                request.codec = self._protocol.codec(self._call, headers, request.principal)
            except Exception as error:
                app.engine.abandon(request)
                self.reject(app.engine.failed(request, error))
                return
        app.fast_path.start(app.engine.finish(request, body), self._deliver)

    def _deliver(self, result: InferenceResponse | Exception) -> None:
        if isinstance(result, Exception):
            self.reject(result)
            return
        request, headers = self._request, self._headers
        extra = self._protocol.answer_headers(request.codec, result)
        if b"x-request-id" in headers or b"windvane-version" in headers:
            extra += _echoes(headers, versioned=self._protocol is PROTOCOLS[0])
        if result.decision is not FREE:
            extra += limit_headers(result.decision)
        if result.replayed:
            extra.append((b"idempotency-replayed", b"true"))
        self._reply(200, extra, result.body)
        if request.trace is not None:
            end_http_trace(self._app.engine.services, self._call, request, result)

    def reject(self, error: Exception) -> None:
        request = self._request
        self._app.reject(self._protocol, error, request.id, self._headers, self._reply)
        if request.trace is not None:
            end_http_trace(self._app.engine.services, self._call, request, error)

    def on_abort(self) -> None:
        """The body will not come."""
        if self._gone:
            return
        self._gone = True
        engine, request = self._app.engine, self._request
        if not self.begins:
            engine.abandon(request)
        if request.trace is not None:
            end_http_trace(engine.services, self._call, request)


class _WholeBody:
    """Something else that has a body."""

    __slots__ = ("_app", "_head", "_reply", "_request", "_work", "max_bytes")

    def __init__(
        self, app: HttpApp, head: RequestHead, request: InferenceRequest,
        work: Callable[[InferenceRequest, bytes], Awaitable[tuple[int, bytes]]], reply: Reply,
    ) -> None:  # fmt: skip
        self._app = app
        self._head = head
        self._request = request
        self._work = work
        self._reply = reply
        self.max_bytes = app.engine.services.max_body_bytes

    def on_body(self, body: bytes) -> None:
        encoding = self._head.headers.get(b"content-encoding", b"")

        async def work() -> tuple[int, bytes]:
            plain = decompress(body, encoding, self.max_bytes)
            return await self._work(self._request, plain)

        self._app.run(self._head, self._request, work(), self._reply)

    def on_abort(self) -> None: ...


def _echoes(headers: Headers, versioned: bool = True) -> list[Header]:
    """What a client gets back as it sent it; the version of the API where it is ours."""
    out: list[Header] = []
    if versioned and headers.get(b"windvane-version"):
        out.append(VERSION_HEADERS[pick_version(headers[b"windvane-version"], "")])
    client_id = printable(headers.get(b"x-request-id", b""))
    if client_id:
        out.append((b"x-request-id", client_id.encode("latin-1")))
    return out


def _only(head: RequestHead, method: str) -> None:
    if head.method != method:
        raise WrongMethod(f"{head.method[:16]} {head.path[:200]} is not allowed", method)
