"""The same answer for the same idempotency key: one event, whichever worker is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from inference.harness import (
    ACME,
    MODEL,
    WITHIN_S,
    Harness,
    body,
    features,
    key,
    route,
    run,
    until,
)

from windvane.adapters.sqlite import SqliteIdempotency
from windvane.apps.gateway.protocols.native import NativeCodec
from windvane.core.routing import ApiVersion
from windvane.inference.idempotency import Idempotency
from windvane.inference.request import InferenceRequest
from windvane.ports.events import Predicted, Refused

KEY = {"Idempotency-Key": "order-1"}


def with_store(path: Path, story: Callable[[Harness], Awaitable[None]], **more: Any) -> None:
    """The story on a worker with a store of its own."""
    store = SqliteIdempotency(path / "idempotency.db", deadline_s=WITHIN_S)

    async def told(harness: Harness) -> None:
        try:
            await story(harness)
        finally:
            await store.aclose()

    run(told, idempotency=Idempotency(store), **more)


def predictions(harness: Harness) -> list[Predicted]:
    return [event for event in harness.spool.events if isinstance(event, Predicted)]


def test_the_same_request_again_gets_the_same_answer_and_makes_one_event(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        first = await harness.predict(1.0, 2.0, headers=KEY)
        again = await harness.predict(1.0, 2.0, headers=KEY)
        assert (first.status, again.status) == (200, 200)
        assert again.body == first.body
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert [e.event_id for e in predictions(harness)] == [first.json["request_id"]]
        assert len(harness.predictor().batches) == 1
        await harness.post_metrics()
        assert harness.metrics.counts["idempotency_replays_total"][()] == 1
        assert harness.metrics.counts["idempotency_failures_total"][()] == 0

    with_store(tmp_path, story)


def test_without_a_key_the_same_request_is_two(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(1.0)
        await harness.predict(1.0)
        assert len(predictions(harness)) == 2

    with_store(tmp_path, story)


def test_another_body_under_the_key_is_refused(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(1.0, headers=KEY)
        other = await harness.predict(2.0, headers=KEY)
        assert (other.status, other.code) == (422, "GAT-116")
        assert len(predictions(harness)) == 1
        assert (await harness.predict(1.0, headers=KEY)).status == 200

    with_store(tmp_path, story)


def test_another_tenant_or_model_is_another_scope(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(), route("early"))
        answers = [
            await harness.predict(1.0, headers=KEY),
            await harness.predict(1.0, headers=KEY, auth="Bearer wv_bolt"),
            await harness.predict(1.0, headers=KEY, model="early"),
        ]
        assert [a.status for a in answers] == [200] * 3
        assert len(predictions(harness)) == 3
        assert not any("idempotency-replayed" in a.headers for a in answers)

    with_store(tmp_path, story)


@pytest.mark.parametrize("asked", [{"Windvane-Version": "2026-11-01"}, {"Accept": "text/csv"}])
def test_the_same_body_that_asks_for_another_answer_is_another_request(
    tmp_path: Path, asked: dict[str, str]
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        other = await harness.predict(1.0, headers={**KEY, **asked})
        assert (other.status, b"GAT-116" in other.body) == (422, True)
        assert len(predictions(harness)) == 1

    with_store(tmp_path, story)


def test_who_may_not_ask_gets_no_replay(tmp_path: Path) -> None:
    reader = key("reader", "acme", "read")

    async def story(harness: Harness) -> None:
        await harness.publish(keys=(ACME, reader))
        await harness.predict(1.0, headers=KEY)
        refused = await harness.predict(1.0, headers=KEY, auth="Bearer wv_reader")
        assert (refused.status, refused.code) == (403, "GAT-111")
        refused = await harness.predict(1.0, headers=KEY, auth="Bearer wv_nobody")
        assert (refused.status, refused.code) == (401, "GAT-101")

    with_store(tmp_path, story)


def test_of_two_at_once_the_second_is_told_to_wait(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        predictor = harness.predictor()
        predictor.blocking = True
        await harness.publish()
        predictor.hold()
        first = asyncio.create_task(harness.predict(1.0, headers=KEY))
        await until(predictor.started.is_set)
        second = await harness.predict(1.0, headers=KEY)
        assert (second.status, second.code) == (409, "GAT-117")
        assert int(second.headers["retry-after"]) >= 1
        other = await harness.predict(2.0, headers=KEY)
        assert (other.status, other.code) == (422, "GAT-116")
        predictor.let_go()
        answer = await first
        assert answer.status == 200
        again = await harness.predict(1.0, headers=KEY)
        assert again.body == answer.body
        assert len(predictions(harness)) == 1

    with_store(tmp_path, story)


def test_a_request_that_failed_frees_its_key(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        predictor = harness.predictor()
        await harness.publish()
        predictor.fails = lambda _row: True
        failed = await harness.predict(1.0, headers=KEY)
        assert (failed.status, failed.code) == (503, "GAT-108")
        predictor.fails = lambda _row: False
        answer = await harness.predict(1.0, headers=KEY)
        assert answer.status == 200
        assert "idempotency-replayed" not in answer.headers

    with_store(tmp_path, story)


def test_a_refused_body_frees_its_key(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        bad = await harness.predict({**features(), "x": "far"}, headers=KEY)
        assert (bad.status, bad.code) == (422, "CON-110")
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        assert [type(e) for e in harness.spool.events] == [Refused, Predicted]

    with_store(tmp_path, story)


def test_a_spool_that_is_full_frees_the_key(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.spool.full = True
        assert (await harness.predict(1.0, headers=KEY)).code == "GAT-107"
        harness.spool.full = False
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        assert len(predictions(harness)) == 1

    with_store(tmp_path, story)


def test_two_workers_share_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"
    stores = [SqliteIdempotency(path, deadline_s=WITHIN_S) for _ in range(2)]

    async def story(one: Harness) -> None:
        other = Harness(idempotency=Idempotency(stores[1]))
        try:
            await one.publish()
            await other.publish()
            first = await one.predict(1.0, headers=KEY)
            again = await other.predict(1.0, headers=KEY)
            assert again.body == first.body
            assert again.headers["idempotency-replayed"] == "true"
            assert (len(predictions(one)), len(predictions(other))) == (1, 0)
            crowd = {"Idempotency-Key": "crowd"}
            answers = await asyncio.gather(
                *((one, other)[i % 2].predict(3.0, headers=crowd) for i in range(20))
            )
            assert {a.status for a in answers} <= {200, 409}
            given = {a.json["request_id"] for a in answers if a.status == 200}
            events = [e.event_id for h in (one, other) for e in predictions(h)]
            assert set(events) == {first.json["request_id"], *given}
            assert len(events) == 2
        finally:
            await other.close()
            for store in stores:
                await store.aclose()

    run(story, idempotency=Idempotency(stores[0]))


def test_a_store_that_fails_leaves_answers_without_protection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def story(harness: Harness) -> None:
        await harness.publish()
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        assert len(predictions(harness)) == 2
        await harness.post_metrics()
        assert harness.metrics.counts["idempotency_failures_total"][()] == 4
        assert harness.metrics.gauges["idempotency_degraded"][()] == 1.0

    with_store(tmp_path / "file", story)


def test_a_key_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        for bad in ("", "x" * 256, "tab\there", "größe"):
            refused = await harness.predict(1.0, headers={"Idempotency-Key": bad})
            assert (refused.status, refused.code) == (400, "GAT-130")
        sent = body(1.0)
        answer = await harness.call(
            "POST", "/v1/models/late/predict", sent, headers={"Idempotency-Key": "x" * 255}
        )
        assert answer.status == 200

    with_store(tmp_path, story)


def test_a_client_that_waits_longer_holds_its_place_as_long(tmp_path: Path) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        leases: list[float] = []
        idempotency = harness.services.idempotency
        assert idempotency is not None
        reserve = idempotency.store.reserve

        async def noted(place: bytes, holder: str, digest: bytes, lease_s: float) -> Any:
            leases.append(lease_s)
            return await reserve(place, holder, digest, lease_s)

        idempotency.store.reserve = noted  # type: ignore[method-assign]
        for number, waits in enumerate(({}, {"X-Request-Deadline": "60"})):
            key = {"Idempotency-Key": f"order-{number}"}
            assert (await harness.predict(headers={**key, **waits})).status == 200
        assert leases[0] < 20.0
        assert leases[1] > 60.0

    with_store(tmp_path, story)


def test_a_client_that_goes_away_leaves_no_second_event(tmp_path: Path) -> None:
    """Between the event on the spool and its answer under the key: a repetition is a replay."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=0.0))
        idempotency = harness.services.idempotency
        assert idempotency is not None
        real, gate = idempotency.store.keep, asyncio.Event()

        async def late(*kept: Any) -> None:
            await gate.wait()
            await real(*kept)

        idempotency.store.keep = late  # type: ignore[method-assign]

        def asked() -> InferenceRequest:
            return InferenceRequest(
                harness.services.new_id(), MODEL, b"Bearer wv_acme",
                NativeCodec(list(ApiVersion)[-1]), harness.ticks.ns(), idempotency_key="k",
            )  # fmt: skip

        first = asyncio.create_task(harness.worker.engine.predict(asked(), body(1.0)))
        await until(lambda: len(predictions(harness)) == 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        await until(lambda: not idempotency._working)
        again = await harness.worker.engine.predict(asked(), body(1.0))
        assert again.replayed
        assert len(predictions(harness)) == 1
        assert harness.services.under_way == 0

    with_store(tmp_path, story)
