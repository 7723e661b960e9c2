"""Tracers, against a real collector."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from apps.gateway.live import ask, live
from contracts.tracing.collector import Collector, attributes, collecting, wait_for
from inference.harness import Harness, body, route
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import windvane
from windvane.adapters.logs import TextLines
from windvane.adapters.opentelemetry import OtlpTracer
from windvane.core.tracing import read_traceparent
from windvane.ports.tracing import EndedTrace, RequestTrace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
NOT_SAMPLED = f"00-{TRACE}-{SPAN}-00".encode()
MS = 1_000_000


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    """Loggers are the process's; a tracer changes one."""
    logger = logging.getLogger("opentelemetry")
    before = logger.level
    yield
    logger.setLevel(before)


def make(collector: Collector, ratio: float = 1.0, **more: Any) -> OtlpTracer:
    given = {"headers": {"Authorization": "Bearer of-the-collector"}, "every_s": 0.01, **more}
    return OtlpTracer(collector.url, ratio=ratio, instance="host-gateway-0", **given)


@contextmanager
def opened(tracer: OtlpTracer) -> Iterator[OtlpTracer]:
    asyncio.run(tracer.open())
    yield tracer
    asyncio.run(tracer.aclose())


def ended(trace: RequestTrace | None, *, failed: bool = False, **said: Any) -> EndedTrace:
    assert trace is not None
    return EndedTrace(trace, trace.at_ns, "POST /v1/models/{model}/predict", said, failed)


def test_a_trace_arrives_as_spans_with_its_ids_times_and_attributes(collector: Collector) -> None:
    before_ns, now_ns = time.time_ns(), time.monotonic_ns()
    with opened(make(collector)) as tracer:
        trace = tracer.begin(PARENT, b"vendor=1", now_ns)
        assert trace is not None
        trace.step("admit", now_ns + MS)
        trace.step("decode", now_ns + 3 * MS)
        trace.step("execute", now_ns + 7 * MS, {"windvane.version": "3", "windvane.rows": 2})
        message = {"http.response.status_code": 200, "windvane.arm": ["champion", "challenger"]}
        tracer.end(ended(trace, **message))
        wait_for("the trace", lambda: len(collector.spans) == 4)
    (root,) = collector.roots
    assert root.name == "POST /v1/models/{model}/predict"
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
    assert root.span_id == trace.span_id.to_bytes(8, "big")
    assert root.trace_state == "vendor=1"
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert attributes(root) == message
    # The wall's clock may be set a little between the two looks at both.
    assert abs(root.start_time_unix_nano - before_ns) < 1_000 * MS
    steps = {span.name: span for span in collector.spans if span is not root}
    assert set(steps) == {"windvane.admit", "windvane.decode", "windvane.execute"}
    assert attributes(steps["windvane.execute"]) == {"windvane.version": "3", "windvane.rows": 2}
    at = root.start_time_unix_nano
    for name, took_ms in (("admit", 1), ("decode", 2), ("execute", 4)):
        span = steps[f"windvane.{name}"]
        assert (span.trace_id, span.parent_span_id) == (root.trace_id, root.span_id)
        assert span.kind == Span.SPAN_KIND_INTERNAL
        assert span.start_time_unix_nano == at
        at += took_ms * MS
        assert span.end_time_unix_nano == at
    assert root.end_time_unix_nano == at
    assert len({span.span_id for span in collector.spans}) == 4
    assert collector.resource["service.name"] == "windvane-gateway"
    assert collector.resource["service.version"] == windvane.__version__
    assert collector.resource["service.instance.id"] == "host-gateway-0"
    (headers,) = collector.headers
    assert headers["authorization"] == "Bearer of-the-collector"


def test_a_trace_that_begins_here_has_the_ids_that_its_calls_were_told(
    collector: Collector,
) -> None:
    with opened(make(collector)) as tracer:
        traces = [tracer.begin(b"", b"", time.monotonic_ns()) for _ in range(100)]
        told = [read_traceparent(trace.traceparent()) for trace in traces if trace is not None]
        for trace in traces:
            tracer.end(ended(trace))
        wait_for("all of them", lambda: len(collector.roots) == 100)
    shown = {(span.trace_id.hex(), span.span_id.hex()) for span in collector.roots}
    assert {(f"{t.trace_id:032x}", f"{t.span_id:016x}") for t in told if t is not None} == shown
    assert len(shown) == 100
    assert all(t is not None and t.sampled for t in told)
    assert {span.parent_span_id for span in collector.roots} == {b""}


def test_a_failure_of_the_server_is_the_spans(collector: Collector) -> None:
    with opened(make(collector)) as tracer:
        trace = tracer.begin(b"", b"", time.monotonic_ns())
        tracer.end(ended(trace, failed=True, **{"error.type": "GAT-108"}))
        wait_for("it", lambda: collector.roots)
    (root,) = collector.roots
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert attributes(root) == {"error.type": "GAT-108"}


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_of_traces_that_begin_here_the_ratio_is_sampled(collector: Collector, ratio: float) -> None:
    tracer = make(collector, ratio)
    count = sum(tracer.begin(b"", b"", 0) is not None for _ in range(4_000))
    # Six standard deviations: one run in 500 million is outside by chance.
    assert abs(count - 4_000 * ratio) <= 6 * (4_000 * ratio * (1 - ratio)) ** 0.5


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_client_says_whether_its_own_trace_is_sampled(collector: Collector, ratio: float) -> None:
    tracer = make(collector, ratio)
    for header, sampled in ((PARENT, True), (NOT_SAMPLED, False)):
        trace = tracer.begin(header, b"", 0)
        assert trace is not None
        assert (trace.id, trace.sampled) == (TRACE, sampled)


def test_a_malformed_header_begins_a_trace(collector: Collector) -> None:
    trace = make(collector).begin(PARENT.upper(), b"a=1", 0)
    assert trace is not None
    assert trace.id != TRACE
    assert trace.parent is None
    assert trace.tracestate() == ""
    assert make(collector, 0.0).begin(PARENT.upper(), b"", 0) is None


def test_a_collector_that_hangs_holds_nobody_up_and_what_waits_is_bounded(
    collector: Collector,
) -> None:
    collector.gate.clear()
    tracer = make(collector, most_waiting=100)
    asyncio.run(tracer.open())
    tracer.end(ended(tracer.begin(b"", b"", 0)))
    wait_for("an export is under way", lambda: collector.asked == 1)
    for _ in range(1_000):
        tracer.end(ended(tracer.begin(b"", b"", 0)))
    assert tracer.take_dropped() == 900
    assert tracer.take_dropped() == 0
    began = time.monotonic()
    asyncio.run(tracer.aclose())
    assert time.monotonic() - began < 2.0
    assert tracer.take_dropped() >= 100 - 64  # a batch may be under way by then
    collector.gate.set()
    wait_for("its thread ends", lambda: "traces" not in [t.name for t in threading.enumerate()])


def test_what_waits_is_exported_before_the_end(collector: Collector) -> None:
    with opened(make(collector, every_s=3_600.0)) as tracer:
        for _ in range(70):
            tracer.end(ended(tracer.begin(b"", b"", 0)))
        assert collector.asked == 0
    assert len(collector.roots) == 70
    assert tracer.take_dropped() == 0
    tracer.end(ended(tracer.begin(b"", b"", 0)))
    assert tracer.take_dropped() == 1


def test_many_that_wait_are_not_kept_waiting(collector: Collector) -> None:
    with opened(make(collector, every_s=3_600.0, most_waiting=20)) as tracer:
        for _ in range(10):
            tracer.end(ended(tracer.begin(b"", b"", 0)))
        wait_for("them", lambda: len(collector.roots) == 10)


def test_a_collector_that_refuses_is_told_of_once_and_comes_back(collector: Collector) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines("gateway-0"))
    logging.getLogger().addHandler(handler)
    try:
        collector.status = 400
        with opened(make(collector)) as tracer:
            for number in range(1, 4):
                tracer.end(ended(tracer.begin(b"", b"", 0)))
                wait_for("it was refused", lambda n=number: collector.asked == n)
            dropped: list[int] = []
            wait_for("they are counted", lambda: sum(dropped) == 3 or dropped.append(
                tracer.take_dropped()))  # fmt: skip
            collector.status = 200
            tracer.end(ended(tracer.begin(b"", b"", 0)))
            wait_for("it comes back", lambda: collector.roots)
    finally:
        logging.getLogger().removeHandler(handler)
    told = [line.split(" WARNING ")[1] for line in stream.getvalue().splitlines()]
    assert [line.startswith(collector.url) for line in told] == [True, True]
    assert "does not take traces" in told[0]
    assert "takes traces again" in told[1]


def test_the_log_has_no_password_of_the_address(collector: Collector) -> None:
    secret = collector.url.replace("//", "//me:hunter2-hunter2@") + "?key=hunter2-hunter2"
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        collector.status = 400
        tracer = OtlpTracer(secret, {}, 1.0, "g", every_s=0.01)
        with opened(tracer):
            tracer.end(ended(tracer.begin(b"", b"", 0)))
            wait_for("it is told", lambda: stream.getvalue())
    finally:
        logging.getLogger().removeHandler(handler)
    assert "hunter2" not in stream.getvalue()


def test_a_request_over_http_arrives_at_the_collector(collector: Collector) -> None:
    tracers: list[OtlpTracer] = []

    def prepare(harness: Harness) -> None:
        tracer = harness.services.tracer = make(collector, 0.0)
        tracers.append(tracer)

    headers = [("Authorization", "Bearer wv_acme"), ("traceparent", PARENT.decode())]
    with live(route(), prepare=prepare) as gateway:
        asyncio.run(tracers[0].open())
        path = "/v1/models/late/predict"
        status, _, answer = ask(gateway.port, "POST", path, body(1.0), headers)
        assert status == 200
        wait_for("its trace", lambda: len(collector.spans) == 7)
        # Once more without the header: at this ratio it is not sampled.
        assert ask(gateway.port, "POST", path, body(1.0), headers[:1])[0] == 200
    asyncio.run(tracers[0].aclose())
    (root,) = collector.roots
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
    assert attributes(root)["windvane.request_id"].encode() in answer
    assert {span.name for span in collector.spans if span is not root} == {
        f"windvane.{step}"
        for step in ("admit", "read_body", "decode", "execute", "encode", "record")
    }
    assert len(collector.spans) == 7
