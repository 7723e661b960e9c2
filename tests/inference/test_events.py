"""What is told of a request, and to whom: one event for each answer, before it leaves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from inference.harness import (
    CONTRACT,
    MODEL,
    FakeSpool,
    Harness,
    body,
    features,
    key,
    route,
    run,
    until,
)

from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec
from windvane.ports.events import Denied, Predicted, Refused, column_values

PREDICT = f"/v1/models/{MODEL}/predict"


def test_a_prediction_is_one_event_with_columns_of_its_rows() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(rollout="r7", versions=("1", "2")))
        rows = [features(1.0, 2), features(2.0, None, "bike")]
        given = {"instances": [{"features": rows[0], "unit": "u"}, {"features": rows[1]}]}
        answer = await harness.call(
            "POST", PREDICT, json.dumps(given).encode(), headers={"x-request-id": "theirs"}
        )
        (event,) = harness.spool.events
        assert isinstance(event, Predicted)
        assert (event.event_id, event.request_id) == (answer.json["request_id"], "theirs")
        assert (event.ts, event.model, event.tenant) == (harness.clock.at, MODEL, "acme")
        assert (event.contract, event.rollout, event.key) == (CONTRACT.id, "r7", "acme")
        assert (event.rows, event.latency_us >= 0) == (2, True)
        columns = [column_values(found, 2) for found in event.features]
        assert columns == [[1.0, 2.0], [2, None], ["van", "bike"]]
        assert column_values(event.units, 2) == ["u", ""]
        assert [column_values(found, 2) for found in event.outputs] == [[1.001, 1.002]]
        assert len(event.routes) == 1, "said once, for it is the same of all rows"
        assert [r.answered for r in event.routes_of()] == ["1", "1"]

    run(story)


def test_one_row_is_kept_bare_and_read_as_the_same_columns() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(5.0, units=["u"])
        (event,) = harness.spool.events
        assert (event.features, event.outputs, event.units) == ([5.0, 2, "van"], [1.005], "u")
        assert [column_values(found, 1) for found in event.features] == [(5.0,), (2,), ("van",)]

    run(story)


def test_the_event_is_on_the_spool_before_the_answer_leaves() -> None:
    seen: list[str] = []

    class Noting(FakeSpool):
        def append(self, *payloads: bytes) -> None:
            seen.append("event")
            super().append(*payloads)

    async def story(harness: Harness) -> None:
        await harness.publish()
        requests = [harness.open("POST", PREDICT) for _ in range(3)]
        for i, request in enumerate(requests):
            request.answered.add_done_callback(lambda _: seen.append("answer"))
            assert request.sink is not None
            request.sink.on_body(body(float(i)))
            assert not request.answered.done()
        await asyncio.gather(*(request.answered for request in requests))
        await until(lambda: len(seen) >= 4)
        assert seen == ["event", "answer", "answer", "answer"], "one write for the batch"

    run(story, spool=Noting())


def test_what_a_tenant_sent_wrong_is_an_event_with_the_beginning_of_its_body() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        long = json.dumps({"instances": [{"features": {**features(), "kind": "k" * 5_000}}]})
        answer = await harness.call("POST", PREDICT, long.encode(), headers={"x-request-id": "q"})
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert (event.event_id, event.request_id) == (answer.json["request_id"], "q")
        assert (event.code, event.routed, event.arm) == ("CON-104", "", "")
        assert (event.tenant, event.model, event.key) == ("acme", MODEL, "acme")
        assert event.sample == long[:1_000]
        assert len(event.message) <= 500

    run(story)


@pytest.mark.parametrize(
    ("headers", "more"),
    [({}, {"auth": ""}), ({}, {"model": "no-such"}), ({"windvane-version": "x"}, {})],
)  # fmt: skip
def test_what_no_model_is_to_be_blamed_for_is_no_event(headers: Any, more: Any) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        assert (await harness.predict(headers=headers, **more)).status >= 400
        assert harness.spool.events == []

    run(story)


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"content-encoding": "br"}, "GAT-118"), ({"content-type": "image/png"}, "GAT-119")],
)
def test_a_body_that_is_not_taken_is_an_event_of_its_tenant(headers: Any, code: str) -> None:
    """A client that sends nothing else would go under unseen."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        named = {**headers, "x-request-id": "mine"}
        assert (await harness.predict(headers=named)).status == 415
        (event,) = harness.spool.events
        assert isinstance(event, Refused)
        assert (event.code, event.tenant, event.model) == (code, "acme", MODEL)
        assert event.request_id == "mine"

    run(story)


def test_the_abuse_of_a_key_is_told_once_a_second_for_each_reason() -> None:
    async def story(harness: Harness) -> None:
        ends = harness.clock.at - 1.0
        keys = [key("reader", "acme", "read"), key("old", "bolt", expires_at=ends)]
        await harness.publish(keys=keys)

        async def abuse() -> None:
            for _ in range(20):
                assert (await harness.predict(auth="Bearer wv_reader")).status == 403
                assert (await harness.predict(auth="Bearer wv_old")).status == 401

        await abuse()
        told = [(e.tenant, e.key, e.code, e.model) for e in harness.spool.events]
        assert told == [("acme", "reader", "GAT-111", MODEL), ("bolt", "old", "GAT-101", MODEL)]
        assert all(isinstance(e, Denied) for e in harness.spool.events)
        harness.ticks.ahead_s += 1.0
        await abuse()
        assert len(harness.spool.events) == 4
        assert (await harness.predict(model="no", auth="Bearer wv_reader")).status == 403
        harness.ticks.ahead_s += 1.0
        assert (await harness.predict(model="no", auth="Bearer wv_reader")).status == 403
        assert harness.spool.events[-1].model == "", "what strangers ask for is no label"

    run(story)


def test_a_full_spool_does_not_turn_a_refusal_into_something_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.spool.full = True
        answer = await harness.predict(features(x=-1.0))
        assert (answer.status, answer.code) == (422, "CON-110")

    run(story)
    assert "a rejection was not recorded" in caplog.text


def test_a_spool_that_breaks_in_another_way_gives_no_answer_either() -> None:
    class Broken(FakeSpool):
        def append(self, *payloads: bytes) -> None:
            raise OSError(5, "the disk is gone")

    async def story(harness: Harness) -> None:
        await harness.publish()
        for rows in ((1.0,), (1.0, 2.0)):
            answer = await harness.predict(*rows)
            assert (answer.status, answer.code) == (500, "GAT-199")
            assert b"disk" not in answer.body
        assert harness.services.under_way == 0
        answer = await harness.predict(features(x=-1.0))
        assert (answer.status, answer.code) == (422, "CON-110")

    run(story, spool=Broken())


def test_an_event_that_is_too_large_takes_no_others_answers() -> None:
    """They are written together; the large one is refused by itself, and not to be repeated."""
    wide = Contract((FeatureSpec("x", "v", FeatureType.NUMBER),),
                    TaskSpec("tensor", outputs={"embedding": (2_200,)}))  # fmt: skip

    async def story(harness: Harness) -> None:
        harness.predictor(model="big").gives = lambda rows: [np.ones((len(rows), 2_200)) / 3]
        await harness.publish(route(cache_ttl_s=0.0), route("big", contract=wide, cache_ttl_s=60.0))
        rows = [{"features": {"x": float(i)}} for i in range(1_000)]
        large = json.dumps({"instances": rows}).encode()
        for _ in range(2):  # by the version, then from the cache
            *small, big = await asyncio.gather(
                *[harness.predict(float(i), auth="Bearer wv_bolt") for i in range(5)],
                harness.call("POST", "/v1/models/big/predict", large),
            )
            assert [answer.status for answer in small] == [200] * 5
            assert (big.status, big.code) == (413, "GAT-123")
            assert "retry-after" not in big.headers
            assert "16,777,216 allowed" in big.json["error"]["message"]
        assert {e.model for e in harness.spool.events if isinstance(e, Predicted)} == {MODEL}

    run(story, max_rows=1_000, max_body=1 << 20, cache_bytes=1 << 30)
