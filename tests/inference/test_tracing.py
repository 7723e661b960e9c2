"""A traced request has a span for each of its steps, and says nothing that is private."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from inference.harness import FakeSpool, Harness, body, features, route, run, until
from inference.recording_tracer import RecordingTracer
from inference.test_cascade import CHEAP, deployed

from windvane.adapters.logs import JsonLines
from windvane.core.routing import TenantLimit
from windvane.inference.idempotency import Idempotency
from windvane.ports.idempotency import StoredAnswer
from windvane.ports.tracing import RequestTrace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENTS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
PLAIN = ["admit", "read_body", "decode", "execute", "encode", "record"]


def traced(story: Callable[[Harness, RecordingTracer], Any], **settings: Any) -> RecordingTracer:
    tracer = RecordingTracer()

    async def told(harness: Harness) -> None:
        harness.services.tracer = tracer
        await story(harness, tracer)

    run(told, **settings)
    return tracer


def test_each_step_of_the_usual_way_has_its_span_one_after_another() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        answer = await harness.predict(headers=CLIENTS)
        (ended,) = tracer.ended
        assert tracer.names == PLAIN
        at = ended.trace.began_ns
        for step in ended.trace.steps:
            assert step.began_ns == at
            assert step.ended_ns >= at
            at = step.ended_ns
        assert ended.ended_ns >= at
        assert ended.name == "POST /v1/models/{model}/predict"
        assert not ended.failed
        assert dict(ended.attributes) == {
            "http.request.method": "POST",
            "http.route": "/v1/models/{model}/predict",
            "http.response.status_code": 200,
            "windvane.request_id": answer.json["request_id"],
            "windvane.model": "late",
            "windvane.tenant": "acme",
            "windvane.rows": 1,
            "windvane.version": ["1"],
            "windvane.arm": ["champion"],
            "windvane.flags": [],
        }
        (execute,) = tracer.steps("execute")
        assert dict(execute.attributes) == {"windvane.version": "1", "windvane.rows": 1}

    traced(story)


def test_a_clients_trace_is_gone_on_with_and_handed_to_whom_the_request_calls() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        await harness.predict(headers=CLIENTS)
        trace = tracer.last.trace
        assert trace.id == TRACE
        assert trace.parent is not None
        assert f"{trace.parent.span_id:016x}" == SPAN
        assert trace.traceparent() == f"00-{TRACE}-{trace.span_id:016x}-01".encode()
        assert trace.tracestate() == "vendor=1"
        await harness.predict()
        assert tracer.last.trace.parent is None
        assert tracer.last.trace.tracestate() == ""

    traced(story)


def test_rows_that_wait_for_a_version_know_their_trace() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        held, queue = harness.hold(), harness.queues[0]
        first = asyncio.create_task(harness.predict())
        await until(held.started.is_set)
        later = [asyncio.create_task(harness.predict(*rows)) for rows in ((1.0,), (1.0, 2.0))]
        await until(lambda: len(queue.jobs) == 2)
        assert [job.trace for job in queue.jobs] == tracer.begun[1:]
        held.let_go()
        await asyncio.gather(first, *later)

    traced(story)


def test_a_dearer_model_is_a_step_around_its_execution() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await deployed(harness)
        assert (await harness.predict(500.0, model=CHEAP)).status == 200
        assert tracer.names == [*PLAIN[:4], "execute", "cascade", *PLAIN[4:]]
        _, dear = tracer.steps("execute")
        (cascade,) = tracer.steps("cascade")
        assert cascade.began_ns <= dear.began_ns
        assert dear.ended_ns <= cascade.ended_ns

    traced(story)


def test_who_is_not_sampled_is_not_shown_and_the_calls_it_makes_say_so() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        assert (await harness.predict(headers=NOT_SAMPLED)).status == 200
        (trace,) = tracer.begun
        assert tracer.ended == []
        assert trace.steps == []
        assert trace.traceparent() == f"00-{TRACE}-{trace.span_id:016x}-00".encode()

    traced(story)


def test_a_canary_has_a_step_for_the_routing_and_one_a_version() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish(route(versions=("1", "2"), challenger="2", challenger_share=0.5))
        await harness.predict(*range(40), units=[f"u{i}" for i in range(40)])
        assert tracer.names == ["admit", "read_body", "decode", "route", "execute", "execute",
                                "encode", "record"]  # fmt: skip
        both = {s.attributes["windvane.version"]: s for s in tracer.steps("execute")}
        assert sorted(map(str, both)) == ["1", "2"]
        assert sum(int(str(s.attributes["windvane.rows"])) for s in both.values()) == 40
        (routed,) = tracer.steps("route")
        assert {s.began_ns for s in both.values()} == {routed.ended_ns}  # both at once
        assert sorted(tracer.last.attributes["windvane.version"]) == ["1", "2"]  # type: ignore[arg-type]
        assert sorted(tracer.last.attributes["windvane.arm"]) == ["challenger", "champion"]  # type: ignore[arg-type]

    traced(story)


def test_a_look_into_the_cache_is_a_step_and_a_hit_executes_nothing() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish(route(cache_ttl_s=60.0))
        await harness.predict()
        assert tracer.names == [*PLAIN[:3], "cache", *PLAIN[3:]]
        await harness.predict()
        assert tracer.names == [*PLAIN[:3], "cache", *PLAIN[4:]]
        assert tracer.last.attributes["windvane.flags"] == ["cached"]

    traced(story)


def test_a_fallback_is_a_step_around_the_execution_that_answers() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        harness.predictor("2").fails = lambda row: True
        await harness.publish(route(versions=("1", "2"), champion="2", chain=("1",)))
        answer = await harness.predict()
        assert answer.status == 200
        assert tracer.names == [*PLAIN[:4], "execute", "fall_back", *PLAIN[4:]]
        failed, answered = tracer.steps("execute")
        assert failed.attributes["error.type"] == "RuntimeError"
        assert failed.attributes["windvane.failed_rows"] == 1
        assert dict(answered.attributes) == {"windvane.version": "1", "windvane.rows": 1}
        (fall_back,) = tracer.steps("fall_back")
        assert fall_back.attributes["windvane.version"] == "1"
        assert fall_back.began_ns <= answered.began_ns
        assert answered.ended_ns <= fall_back.ended_ns
        message = tracer.last.attributes
        assert message["windvane.version"] == ["1"]
        assert message["windvane.flags"] == ["failed", "RUN-103", "fallback"]

    traced(story)


def test_requests_of_one_batch_have_each_their_own_wait() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        await asyncio.gather(*[harness.predict(float(i)) for i in range(5)])
        assert len(harness.predictor().batches) == 1
        assert [[s.name for s in e.trace.steps] for e in tracer.ended] == [PLAIN] * 5

    traced(story)


@pytest.mark.parametrize(
    ("refused", "status", "code", "steps"),
    [
        (lambda h: h.call("POST", "/v1/models/late/predict", b"{"), 400, "CON-100", PLAIN[:2]),
        (lambda h: h.predict({**features(), "x": -1.0}), 422, "CON-110", PLAIN[:2]),
        (lambda h: h.predict(auth="Bearer wv_bolt"), 429, "GAT-109", []),
    ],
)
def test_a_refusal_has_its_code_and_is_no_failure_of_the_server(
    refused: Any, status: int, code: str, steps: list[str]
) -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish(limits=(TenantLimit("bolt", "", rate=1, per_s=3_600.0),))
        await harness.predict(auth="Bearer wv_bolt")
        answer = await refused(harness)
        assert (answer.status, answer.code) == (status, code)
        assert len(tracer.ended) == 2
        assert tracer.names == steps
        message = tracer.last.attributes
        assert (message["http.response.status_code"], message["error.type"]) == (status, code)
        assert not tracer.last.failed

    traced(story)


def test_no_answer_is_a_failure_of_the_server() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        harness.predictor().fails = lambda row: True
        await harness.publish()
        assert (await harness.predict()).status == 503
        assert tracer.last.failed
        assert tracer.last.attributes["error.type"] == "GAT-108"
        harness.spool.full = True
        harness.predictor().fails = lambda row: False
        assert (await harness.predict()).code == "GAT-107"
        assert tracer.names == PLAIN[:5]  # it was not recorded

    traced(story)


def test_strangers_leave_no_trace() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        for more in ({"auth": "Bearer wv_who"}, {"auth": ""}, {"model": "made-up"}):
            assert (await harness.predict(headers=CLIENTS, **more)).status in {401, 404}
        assert len(tracer.begun) == 3
        assert tracer.ended == []

    traced(story)


def test_a_client_that_goes_away_ends_its_trace_once() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        opened = harness.open("POST", "/v1/models/late/predict")
        assert opened.sink is not None
        opened.sink.on_abort()
        opened.sink.on_abort()
        (ended,) = tracer.ended
        assert ended.attributes["error.type"] == "aborted"
        assert "http.response.status_code" not in ended.attributes
        assert tracer.names == PLAIN[:1]

    traced(story)


def test_who_went_away_and_is_refused_later_ends_its_trace_once() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish(limits=(TenantLimit("acme", "", rate=1, per_s=3_600.0),))
        await harness.predict()
        afar = harness.limiter.afar = asyncio.Event()
        opened = harness.open("POST", "/v1/models/late/predict")
        assert opened.sink is not None
        opened.sink.on_abort()
        afar.set()
        await opened.answered  # the transport does not send it
        assert len(tracer.begun) == 2
        assert [ended.attributes.get("error.type") for ended in tracer.ended] == [None, "aborted"]

    traced(story)


class Memory:
    """Holds the answers of one process."""

    failures, degraded = 0, False

    def __init__(self) -> None:
        self.held: dict[bytes, StoredAnswer] = {}

    async def reserve(
        self, place: bytes, holder: str, digest: bytes, lease_s: float
    ) -> StoredAnswer | None:
        return self.held.get(place)

    async def keep(self, place: bytes, holder: str, kept: StoredAnswer, ttl_s: float) -> None:
        self.held[place] = kept

    async def forget(self, place: bytes, holder: str) -> None:
        self.held.pop(place, None)


def test_a_replay_says_that_it_is_one() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        for _ in range(2):
            await harness.predict(headers={"Idempotency-Key": "k1"})
        first, second = tracer.ended
        assert "windvane.replayed" not in first.attributes
        assert second.attributes["windvane.replayed"] is True
        assert [step.name for step in second.trace.steps] == PLAIN[:2]

    traced(story, idempotency=Idempotency(Memory()))


def test_every_protocol_names_its_route() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        for path, named in (
            ("/models/late/invocations", "/models/{model}/invocations"),
            ("/v2/models/late/infer", "/v2/models/{model}/infer"),
            ("/v2/models/late/versions/1/infer", "/v2/models/{model}/versions/{version}/infer"),
        ):
            await harness.call("POST", path, b"{}")
            assert tracer.last.attributes["http.route"] == named
            assert tracer.last.name == f"POST {named}"

    traced(story)


def test_no_value_and_no_secret_is_in_an_attribute() -> None:
    row = {"x": 314.159265, "n": 271828, "kind": "bike"}

    def fails(seen: Any) -> bool:
        raise ValueError(f"no way with {list(seen)}")

    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        harness.predictor("2").fails = fails
        await harness.publish(route(versions=("1", "2"), champion="2", chain=("1",)))
        await harness.predict(row)
        await harness.predict({**row, "x": -314.159265, "kind": "bike2"})
        await harness.call("POST", "/v1/models/late/predict", body(row)[:-9])
        harness.predictor("1").fails = fails
        assert (await harness.predict(row)).status == 503
        assert len(tracer.ended) == 4
        message = repr(tracer.ended)
        steps = repr([ended.trace.steps for ended in tracer.ended])
        for private in ("314.15", "271828", "bike", "wv_acme", "Bearer"):
            assert private not in message + steps

    traced(story)


def test_a_trace_has_a_bound() -> None:
    trace = RequestTrace(1, 2, 0)
    for i in range(1_000):
        trace.step("execute", i)
    assert len(trace.steps) == 64
    assert trace.at_ns == 999


def test_what_the_tracer_dropped_is_counted_once() -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        tracer.dropped = 3
        for _ in range(2):
            await harness.post_metrics()
        assert harness.metrics.counts["traces_dropped_total"][()] == 3

    traced(story)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Every line of Windvane, as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("gateway-0"))
    root = logging.getLogger("windvane")
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def test_log_lines_about_a_request_name_it_and_its_trace(written: io.StringIO) -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        harness.predictor().fails = lambda row: True
        await harness.publish()
        answer = await harness.predict(headers=NOT_SAMPLED)
        (line,) = [json.loads(line) for line in written.getvalue().splitlines() if "failed" in line]
        assert (line["request_id"], line["trace_id"]) == (answer.json["request_id"], TRACE)

    traced(story)


class BrokenSpool(FakeSpool):
    def append(self, *payloads: bytes) -> None:
        raise RuntimeError("no spool")


def test_a_line_on_a_failure_of_the_gateway_names_both(written: io.StringIO) -> None:
    async def story(harness: Harness, tracer: RecordingTracer) -> None:
        await harness.publish()
        answer = await harness.predict(headers=CLIENTS)
        assert answer.code == "GAT-199"
        (line,) = map(json.loads, written.getvalue().splitlines())
        assert (line["request_id"], line["trace_id"]) == (answer.json["request_id"], TRACE)
        assert tracer.last.attributes["error.type"] == "GAT-199"
        assert tracer.last.failed

    traced(story, spool=BrokenSpool())


def test_a_line_on_a_rejection_that_was_not_recorded_names_its_request(
    written: io.StringIO,
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.spool.full = True
        answer = await harness.predict({**features(), "x": -1.0})
        (line,) = [
            json.loads(line) for line in written.getvalue().splitlines() if "not rec" in line
        ]
        assert line["request_id"] == answer.json["request_id"]
        assert "trace_id" not in line

    run(story)
