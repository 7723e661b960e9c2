"""A collector: it takes OTLP over HTTP as any other does, and may be slow, broken or away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass
class Collector:
    """``status`` is what it answers with; an export waits until ``gate`` is set."""

    url: str = ""
    status: int = 200
    gate: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)

    def take(self, headers: Any, body: bytes) -> None:
        self.headers.append({name.lower(): value for name, value in headers.items()})
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            pairs = group.resource.attributes
            self.resource = {one.key: one.value.string_value for one in pairs}
            for scope in group.scope_spans:
                self.spans += scope.spans

    @property
    def roots(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]


def attributes(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        held = getattr(one.value, kind)
        found[one.key] = [v.string_value for v in held.values] if kind == "array_value" else held
    return found


def wait_for(what: str, done: Callable[[], Any], within_s: float = 20.0) -> None:
    """Poll ``done`` until it is true; fails after the deadline."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    collector.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.asked += 1
            body = self.rfile.read(int(self.headers["content-length"]))
            assert collector.gate.wait(20.0), "nobody opened the gate"
            status = collector.status if self.path == PATH else 404
            if status == 200:
                collector.take(self.headers, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is none."""

    server = Server(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}{PATH}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="collector")
    thread.start()
    try:
        yield collector
    finally:
        collector.gate.set()
        server.shutdown()
        thread.join(20.0)
        server.server_close()
