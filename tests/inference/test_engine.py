"""Limits hold all or none, and whatever happens to a request, its places come back."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import (
    CONTRACT,
    MODEL,
    Answer,
    FixedMonotonic,
    Harness,
    body,
    features,
    route,
    run,
    until,
)

from windvane.apps.gateway.protocols.native import NativeCodec, NativeProtocol
from windvane.apps.gateway.rejection_throttle import RejectionThrottle
from windvane.core.routing import TenantLimit
from windvane.core.task import Contract, TaskSpec, make_task
from windvane.inference.errors import DeadlinePassed, NoKey, RateLimited, Rejection
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.request import InferenceRequest
from windvane.ports.events import Predicted, column_values

PREDICT = f"/v1/models/{MODEL}/predict"


def limits_of(answer: Answer) -> dict[str, dict[str, int]]:
    """The two fields of the IETF draft, strictly."""
    out: dict[str, dict[str, int]] = {}
    for name in ("ratelimit-policy", "ratelimit"):
        found = re.fullmatch(r'"([a-z-]+)";([a-z])=(\d+);([a-z])=(\d+)', answer.headers[name])
        assert found, answer.headers[name]
        out[name] = {"": found[1], found[2]: int(found[3]), found[4]: int(found[5])}  # type: ignore[dict-item]
    return out


def test_a_rate_is_exact_and_says_how_much_is_left() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(limits=[TenantLimit("acme", rate=3, per_s=600.0)])
        answers = [await harness.predict() for _ in range(5)]
        assert [a.status for a in answers] == [200, 200, 200, 429, 429]
        assert [limits_of(a)["ratelimit"]["r"] for a in answers] == [2, 1, 0, 0, 0]
        for answer in answers:
            policy = limits_of(answer)["ratelimit-policy"]
            assert policy == {"": "tenant", "q": 3, "w": 600}
            assert 599 <= limits_of(answer)["ratelimit"]["t"] <= 600
        refused = answers[-1]
        assert refused.code == "GAT-109"
        assert 599 <= int(refused.headers["retry-after"]) <= 600
        assert "3 requests in 600 s" in refused.json["error"]["message"]
        assert (await harness.predict(auth="Bearer wv_bolt")).status == 200

    run(story)


def test_the_nearest_of_several_limits_is_the_one_that_is_told() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(
            limits=[TenantLimit("acme", rate=100), TenantLimit("acme", MODEL, rate=2, per_s=1.5)]
        )
        answer = await harness.predict()
        assert limits_of(answer)["ratelimit-policy"] == {"": "tenant-model", "q": 2, "w": 2}
        await harness.predict()
        assert "on this model" in (await harness.predict()).json["error"]["message"]

    run(story)


def test_a_request_takes_all_its_limits_or_none() -> None:
    """What the model's limit refuses does not use up the tenant's."""

    async def story(harness: Harness) -> None:
        await harness.publish(
            route(), route("other"),
            limits=[TenantLimit("acme", rate=5), TenantLimit("acme", MODEL, rate=1)],
        )  # fmt: skip
        statuses = [(await harness.predict()).status for _ in range(10)]
        assert statuses == [200] + [429] * 9
        others = [(await harness.predict(model="other")).status for _ in range(6)]
        assert others == [200] * 4 + [429] * 2

    run(story)


def test_everyones_limit_is_each_tenants_own() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(limits=[TenantLimit("*", rate=1), TenantLimit("bolt", rate=3)])
        assert [(await harness.predict()).status for _ in range(2)] == [200, 429]
        bolt = [(await harness.predict(auth="Bearer wv_bolt")).status for _ in range(4)]
        assert bolt == [200, 200, 200, 429]

    run(story)


def test_a_cap_frees_with_the_answer() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(limits=[TenantLimit("acme", concurrent=2)])
        predictor = harness.hold()
        under_way = [asyncio.create_task(harness.predict(float(i))) for i in range(2)]
        await until(lambda: harness.limiter.held == 2)
        refused = await harness.predict()
        assert (refused.status, refused.code) == (429, "GAT-109")
        assert refused.headers["retry-after"] == "1"
        assert "ratelimit" not in refused.headers
        predictor.let_go()
        assert [(await task).status for task in under_way] == [200, 200]
        assert (await harness.predict()).status == 200
        assert harness.limiter.held == 0

    run(story)


def test_a_refusal_that_is_certain_stands_and_differs_in_nothing_but_the_id() -> None:
    clock = FixedMonotonic(500.0)

    async def story(harness: Harness) -> None:
        harness.app.throttle = RejectionThrottle(LowPriorityQueue(), at_once=1_000)
        await harness.publish(limits=[TenantLimit("acme", rate=1, per_s=2.5)])
        assert (await harness.predict()).status == 200
        seen: list[tuple[float, Answer]] = []
        for at in (500.1, 500.2, 500.499, 500.5, 501.4, 502.49):
            clock.at = at
            name = f'r "{at}"'
            answer = await harness.predict(headers={"x-request-id": name})
            assert (answer.status, answer.headers.pop("x-request-id")) == (429, name)
            seen.append((at, answer))
        told = [(a.headers["retry-after"], a.headers["ratelimit"]) for _, a in seen]
        assert told == [(str(s), f'"tenant";r=0;t={s}') for s in (3, 3, 3, 2, 2, 1)]
        bodies = {re.sub(r',"request_id.*', "", a.body.decode()) for _, a in seen}
        assert len(bodies) == 1
        assert len({a.json["request_id"] for _, a in seen}) == 6
        assert {tuple(a.headers) for _, a in seen} == {tuple(seen[0][1].headers)}
        assert harness.metrics.requests[MODEL, "acme", "GAT-109"] == 6
        looked = [500.0, 500.1, 500.5, 502.49]
        assert harness.limiter.asked == looked, "it is not asked while the answer is known"
        assert harness.services.under_way == 0
        clock.at = 502.5
        assert (await harness.predict()).status == 200

    run(story, ticks=clock)


def test_another_limit_ends_a_refusal_that_stands() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(limits=[TenantLimit("acme", rate=1)])
        assert [(await harness.predict()).status for _ in range(3)] == [200, 429, 429]
        await harness.publish(limits=[TenantLimit("acme", rate=1_000)])
        assert (await harness.predict()).status == 200

    run(story)


def test_outcomes_count_against_the_same_limits() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(limits=[TenantLimit("acme", rate=2, concurrent=1)])
        told = json.dumps({"model": MODEL, "outcomes": [{"request_id": "r", "value": 1}]}).encode()
        statuses = [(await harness.call("POST", "/v1/outcomes", told)).status for _ in range(3)]
        assert statuses == [202, 202, 429]
        assert harness.limiter.held == 0
        requests = harness.metrics.requests
        assert requests[MODEL, "acme", "GAT-109"] == 1

    run(story)


EVENTS = st.sampled_from(
    ["ok", "many", "invisible", "broken", "not_json", "too_large", "too_many_rows", "fails",
     "no_spool", "bad_deadline", "bad_version", "bad_encoding", "gone", "gone_before_begun",
     "refused_before_begun", "body_before_begun", "gone_while_run", "outcomes", "bad_outcomes",
     "outcomes_full", "outcomes_gone", "late", "under_way", "crash", "codec_crash"]
)  # fmt: skip


@given(st.lists(EVENTS, max_size=12), st.integers(0, 3), st.integers(0, 2), st.booleans())
def test_after_any_requests_nothing_is_held(
    events: list[str], rate: int, cap: int, challenged: bool
) -> None:
    async def story(harness: Harness) -> None:
        limits = [
            TenantLimit("acme", rate=rate, concurrent=cap),
            TenantLimit("acme", MODEL, rate=2 * rate, concurrent=cap),
        ]
        live = route()
        if challenged:
            live = route(versions=("1", "2"), challenger="2", challenger_share=0.5)
        await harness.publish(live, limits=limits)
        for queue in harness.queues:
            queue.threaded = True
        for event in events:
            await _happen(harness, event)
            await until(lambda: all(queue.idle for queue in harness.queues))
            await until(lambda: not harness.app._tasks and not harness.app._fast_path._tasks)
            assert harness.limiter.held == 0, f"{event} kept its places"
            assert harness.services.under_way == 0, f"{event} is still counted"
        await harness.publish(limits=[TenantLimit("acme", concurrent=1)])
        assert (await harness.predict()).status == 200

    run(story, max_rows=3)


async def _happen(harness: Harness, event: str) -> None:
    predictor = harness.predictor()
    told = json.dumps({"model": MODEL, "outcomes": [{"request_id": "r", "value": 1}]}).encode()
    services = harness.services
    match event:
        case "ok":
            await harness.predict()
        case "many":
            await asyncio.gather(*(harness.predict(float(i)) for i in range(5)))
        case "invisible":
            await harness.predict(model="no-such")
        case "broken":
            await harness.predict(features(x=-1.0))
        case "not_json":
            await harness.call("POST", PREDICT, b"{")
        case "too_large":
            bomb = gzip.compress(b" " * (1 << 20))
            packed = {"content-encoding": "gzip"}
            answer = await harness.call("POST", PREDICT, bomb, headers=packed)
            assert answer.status in (413, 429)
        case "too_many_rows":
            await harness.predict(1.0, 2.0, 3.0, 4.0)
        case "fails":
            predictor.fails = lambda _row: True
            await harness.predict()
            predictor.fails = lambda _row: False
        case "no_spool" | "outcomes_full":
            harness.spool.full = True
            if event == "no_spool":
                assert (await harness.predict()).status in (429, 503)
            else:
                assert (await harness.call("POST", "/v1/outcomes", told)).status in (429, 503)
            harness.spool.full = False
        case "bad_deadline":
            await harness.predict(headers={"x-request-deadline": "soon"})
        case "bad_version":
            await harness.predict(headers={"windvane-version": "soon"})
        case "bad_encoding":
            answer = await harness.predict(headers={"content-encoding": "gzip"})
            assert answer.status in (415, 429)
        case "gone":
            request = harness.open("POST", PREDICT)
            if request.sink is not None:
                request.sink.on_abort()
                assert not request.answered.done()
        case "gone_before_begun" | "refused_before_begun" | "body_before_begun":
            harness.limiter.afar = asyncio.Event()
            request = harness.open("POST", PREDICT)
            if request.sink is not None:
                if event == "gone_before_begun":
                    request.sink.on_abort()
                elif event == "body_before_begun":
                    request.sink.on_body(body(1.0))
                harness.limiter.afar.set()
                await until(lambda: not harness.app._fast_path._tasks)
                if event == "body_before_begun":
                    assert (await request.answered).status in (200, 429, 503)
                elif event == "refused_before_begun" and not request.answered.done():
                    request.sink.on_abort()
            harness.limiter.afar = None
        case "gone_while_run":
            predictor.hold()
            request = harness.open("POST", PREDICT)
            if request.sink is not None:
                request.sink.on_body(body(1.0))
            predictor.let_go()
        case "outcomes":
            await harness.call("POST", "/v1/outcomes", told)
        case "bad_outcomes":
            await harness.call("POST", "/v1/outcomes", b"[]")
        case "outcomes_gone":
            request = harness.open("POST", "/v1/outcomes")
            assert request.sink is not None
            request.sink.on_abort()
        case "late":
            predictor.hold()
            await harness.predict(headers={"x-request-deadline": "1ms"})
            predictor.let_go()
        case "under_way":
            services.max_under_way = 0
            assert (await harness.predict()).status in (429, 503)
            services.max_under_way = 100
        case "crash":
            services.events.keep_prediction = _crash  # type: ignore[method-assign]
            assert (await harness.predict()).status in (429, 500)
            del services.events.keep_prediction
        case "codec_crash":
            decode, NativeCodec.decode = NativeCodec.decode, _crash  # type: ignore[method-assign, assignment]
            try:
                assert (await harness.predict()).status in (429, 500)
            finally:
                NativeCodec.decode = decode  # type: ignore[method-assign]
        case _:
            raise AssertionError(event)


def _crash(*_: Any) -> Any:
    raise ZeroDivisionError


def test_a_full_worker_refuses_early_and_says_when_to_come_again() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.hold()
        held = [asyncio.create_task(harness.predict(float(i))) for i in range(3)]
        await until(lambda: harness.services.under_way == 3)
        refused = await harness.predict()
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (
            503, "GAT-110", "1",
        )  # fmt: skip
        harness.predictor().let_go()
        assert [(await task).status for task in held] == [200] * 3
        assert (await harness.predict()).status == 200

    run(story, max_under_way=3)


def test_what_cannot_be_answered_in_time_is_not_begun() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(deadline_s=10.0))
        queue = harness.queues[0]
        queue.row_s = 0.5
        harness.hold()
        held = [asyncio.create_task(harness.predict(float(i), float(i))) for i in range(4)]
        await until(lambda: queue.waiting + queue.busy == 8)
        in_time = {"x-request-deadline": "6500ms"}
        too_soon = {"x-request-deadline": "2s"}
        refused = await harness.predict(headers=too_soon)
        assert (refused.status, refused.code) == (503, "GAT-110")
        assert int(refused.headers["retry-after"]) == 4
        let_in = asyncio.create_task(harness.predict(headers=in_time))
        await until(lambda: queue.waiting + queue.busy == 9)
        harness.predictor().let_go()
        assert [(await task).status for task in (*held, let_in)] == [200] * 5

    run(story)


def test_who_finds_nobody_before_it_is_let_in_however_slow_the_version() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(deadline_s=10.0))
        queue = harness.queues[0]
        queue.threaded, queue.row_s = True, 9.9
        assert (await harness.predict()).status == 200

    run(story)


def asked(harness: Harness, model: str = MODEL, **more: Any) -> InferenceRequest:
    codec = NativeProtocol().codec({}, None)
    return InferenceRequest(
        harness.services.new_id(), model, b"Bearer wv_acme", codec, harness.ticks.ns(), **more
    )


def test_the_engine_answers_without_a_transport_in_a_task_of_ones_own() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        engine = harness.worker.engine
        requests = [asked(harness, client_id=f"c{i}") for i in range(20)]
        responses = await asyncio.gather(
            *(engine.predict(r, body(float(i))) for i, r in enumerate(requests))
        )
        assert [r.outputs for r in responses] == [[(1 + i / 1_000,)] for i in range(20)]
        assert [len(batch) for batch in harness.predictor().batches] == [20]
        events = harness.spool.events
        assert {e.event_id for e in events} == {r.id for r in requests}
        with pytest.raises(DeadlinePassed):
            harness.hold()
            await engine.predict(asked(harness, timeout_s=0.01), body(1.0))
        assert harness.services.under_way == 0

    run(story)


def test_a_rejection_is_not_its_own_cause_and_a_bug_is_the_cause_of_its_one() -> None:
    """A cycle for each refusal would have to wait for the collector."""

    async def story(harness: Harness) -> None:
        await harness.publish(limits=[TenantLimit("acme", rate=1)])
        engine = harness.worker.engine
        await engine.predict(asked(harness), body(1.0))
        for _ in range(3):
            with pytest.raises(RateLimited) as limited:
                await engine.begin(asked(harness))
            assert limited.value.__cause__ is None
        stranger = asked(harness)
        stranger.credential = b""
        with pytest.raises(NoKey) as unknown:
            await engine.begin(stranger)
        assert unknown.value.__cause__ is None
        await harness.publish()
        harness.services.events.keep_prediction = _crash  # type: ignore[method-assign]
        with pytest.raises(Rejection) as failed:
            await engine.predict(asked(harness), body(1.0))
        assert failed.value.code == "GAT-199"
        assert isinstance(failed.value.__cause__, ZeroDivisionError)

    run(story)


X = st.floats(0.0, 1_000.0)


def column(rows: Any) -> Any:
    return np.array([row[0] for row in rows], np.float64) / 1_000.0


def spread(rows: Any, *shape: int) -> Any:
    """(rows, *shape) numbers in [0, 1] that grow along the axes and by row."""
    x = column(rows).reshape(-1, *[1] * len(shape))
    return x * np.linspace(0.25, 0.75, int(np.prod(shape))).reshape(shape)


def shares(rows: Any, n: int) -> Any:
    found = spread(rows, n) + 0.1
    return found / found.sum(axis=1, keepdims=True)


KINDS: dict[str, tuple[TaskSpec, Any, Any, Any]] = {
    "binary": (
        TaskSpec("binary", positive="yes", classes=("no", "yes")),
        lambda rows: [column(rows)], 0.2, "yes",
    ),
    "multiclass": (
        TaskSpec("multiclass", classes=("a", "b", "c")),
        lambda rows: [shares(rows, 3)], {"a": 0.5, "c": 0.5}, "b",
    ),
    "multilabel": (
        TaskSpec("multilabel", classes=("a", "b")),
        lambda rows: [spread(rows, 2)], ["b"], ["a"],
    ),
    "regression": (
        TaskSpec("regression", outputs={"price": (), "days": ()}, quantiles=(0.1, 0.5, 0.9),
                 horizons=("1d", "7d")),
        lambda rows: [spread(rows, 2, 3), spread(rows, 2, 3) + 1.0],
        {"price": 1.0, "days": 2.0}, [1.0, 2.0, 3.0, 4.0],
    ),
    "ranking": (TaskSpec("ranking"), lambda rows: [column(rows)], 0.0, 3),
    "tensor": (
        TaskSpec("tensor", outputs={"embedding": (4,), "score": ()}, score="score"),
        lambda rows: [spread(rows, 4), column(rows)],
        {"embedding": [0, 0, 0, 0], "score": 1.0}, 0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(xs=st.lists(X, min_size=1, max_size=5))
def test_rows_of_every_kind_of_task_go_the_whole_way(kind: str, xs: list[float]) -> None:
    """The answer, the event, the cache and the log have the same outputs, row by row."""
    spec, gives, constant, truth = KINDS[kind]
    task = make_task(spec)
    live = route(
        contract=Contract(CONTRACT.features, spec), cache_ttl_s=60.0,
        constant=task.constant(constant),
    )  # fmt: skip

    async def story(harness: Harness) -> None:
        predictor = harness.predictor()
        predictor.gives = gives
        await harness.publish(live)
        wanted = task.rows(gives([(x,) for x in xs]))
        first = await harness.predict(*xs)
        again = await harness.predict(*xs)
        for answer, flags in ((first, []), (again, ["cached"])):
            assert answer.status == 200, answer.body
            assert [row["flags"] for row in answer.rows] == [flags] * len(xs)
            for row, outputs in zip(answer.rows, wanted, strict=True):
                assert outputs is not None
                assert row["value"] == pytest.approx(task.value(outputs))
                assert row["outputs"] == json.loads(json.dumps(task.named(outputs)))
        for event in harness.spool.events:
            assert isinstance(event, Predicted)
            columns = [column_values(found, len(xs)) for found in event.outputs]
            assert list(zip(*columns, strict=True)) == wanted
            assert list(column_values(event.features[0], len(xs))) == xs
        predictor.fails = lambda _row: True
        fallen = await harness.predict(features(n=77))
        assert fallen.rows[0]["flags"][-1] == "constant"
        assert fallen.rows[0]["outputs"] == json.loads(
            json.dumps(task.named(task.constant(constant)))
        )
        told = {"model": MODEL, "outcomes": [
            {"request_id": first.json["request_id"], "row": 0, "value": truth}
        ]}  # fmt: skip
        kept = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
        assert kept.status == 202, kept.body
        assert harness.spool.events[-1].value == task.label(truth)
        told["outcomes"][0]["value"] = [["deep"]] if kind != "multilabel" else "z"  # type: ignore[index]
        refused = await harness.call("POST", "/v1/outcomes", json.dumps(told).encode())
        assert refused.status in (400, 422)

    run(story)
