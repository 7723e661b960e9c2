"""Every request is counted once, over swaps of tables and of workers."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from apps.gateway.house import (
    ACME,
    MODEL,
    FakeVerifier,
    House,
    features,
    key,
    route,
    run,
    until,
)

from windvane.inference.metrics import Metrics, metric_names
from windvane.core.sketch import LATENCY_EDGES_US


async def posted(house: House) -> dict[str, dict[tuple[str, ...], list[float]]]:
    await house.gateway._post()
    return {s.name: dict(s.values) for s in house.board.held["gateway-0"]}


def test_every_answer_and_refusal_is_counted_under_its_tenant() -> None:
    async def story(house: House) -> None:
        await house.publish(route(constant=0.5), route("other"))
        for _ in range(3):
            await house.predict(1.0, 2.0)
        await house.predict(model="other", auth="Bearer wv_bolt")
        await house.predict(features(x=-1.0))
        await house.predict(model="no-such")
        await house.predict(auth="")
        house.predictor().fails = lambda _row: True
        await house.predict(1.0, 2.0)
        seen = await posted(house)
        assert {k: v for k, (v,) in seen["requests_total"].items()} == {
            (MODEL, "acme", "200"): 4, ("other", "bolt", "200"): 1,
            (MODEL, "acme", "CON-110"): 1, ("", "", "GAT-102"): 1, ("", "", "GAT-101"): 1,
        }  # fmt: skip
        assert {k: v for k, (v,) in seen["rows_total"].items()} == {
            (MODEL, "1", "champion"): 6, ("other", "1", "champion"): 1, (MODEL, "", "champion"): 2,
        }  # fmt: skip
        assert seen["fallbacks_total"] == {(MODEL, "1"): [2.0]}
        assert seen["batches_total"][MODEL, "1"] == [4.0]
        assert seen["batch_rows_total"][MODEL, "1"] == [8.0]
        counts = seen["request_seconds"][(MODEL,)]
        assert len(counts) == len(LATENCY_EDGES_US) + 2
        assert sum(counts[:-1]) == 4
        assert seen["models_loaded"] == {(): [2.0]}
        assert seen["loads_total"] == {(): [2.0]}

    run(story)


def test_a_request_that_ends_under_a_newer_table_is_counted_too() -> None:
    async def story(house: House) -> None:
        await house.publish()
        house.parts.shelf.lanes[0].apart = True
        house.predictor().hold()
        waiting = [asyncio.create_task(house.predict(float(i))) for i in range(3)]
        await until(lambda: house.parts.under_way == 3)
        await house.publish(keys=[ACME])
        await house.publish(keys=[ACME, key("new", "new")])
        house.predictor().let_go()
        assert [(await task).status for task in waiting] == [200] * 3
        assert (await house.predict()).status == 200
        seen = await posted(house)
        assert seen["requests_total"] == {(MODEL, "acme", "200"): [4.0]}
        assert seen["rows_total"] == {(MODEL, "1", "champion"): [4.0]}
        assert sum(seen["request_seconds"][(MODEL,)][:-1]) == 4

    run(story)


def test_counters_go_on_from_the_worker_before() -> None:
    async def first(house: House) -> None:
        await house.publish()
        await house.predict(1.0, 2.0)
        await house.predict(features(x=-1.0))
        held.update(await posted(house))
        board["gateway-0"] = house.board.held["gateway-0"]

    async def second(house: House) -> None:
        house.board.held = dict(board)
        house.gateway.metrics.go_on_from(house.board.posted()["gateway-0"])
        assert {s.name: dict(s.values) for s in house.gateway.metrics.series()}[
            "request_seconds"
        ] == held["request_seconds"]
        await house.publish()
        await house.predict(1.0)
        seen = await posted(house)
        assert seen["requests_total"] == {
            (MODEL, "acme", "200"): [2.0], (MODEL, "acme", "CON-110"): [1.0],
        }  # fmt: skip
        assert seen["rows_total"] == {(MODEL, "1", "champion"): [3.0]}
        assert sum(seen["request_seconds"][(MODEL,)][:-1]) == 2
        assert seen["loads_total"] == {(): [2.0]}
        for name, values in held.items():
            if name.endswith("_total"):
                for labels, (value,) in values.items():
                    assert seen[name][labels][0] >= value, f"{name} fell"

    held: dict[str, Any] = {}
    board: dict[str, Any] = {}
    run(first)
    run(second)


def test_a_post_of_another_release_is_gone_on_from_as_far_as_it_fits() -> None:
    house = Metrics()
    house.add_latency(MODEL, 5_000)
    series = house.series()
    other = [s.__class__(s.name, s.kind, s.text, s.labels, s.values, (1.0,)) for s in series]
    fresh = Metrics()
    fresh.go_on_from([*other, series[0].__class__("gone_total", "counter", "", (), [((), [1.0])])])
    assert fresh.latency == {}
    assert "gone_total" not in fresh.counts


def test_every_metric_that_is_posted_has_a_name_in_the_reference() -> None:
    async def story(house: House) -> None:
        await house.publish(route(cache_ttl_s=1.0))
        await house.predict()
        assert {f"windvane_{name}" for name in await posted(house)} <= set(metric_names())

    run(story)


def test_a_worker_lives_from_start_to_stop() -> None:
    """It follows the feed by itself, says when it is ready, drains, and leaves its counts."""
    before = gc.get_threshold()

    async def story(house: House) -> None:
        house.feed.publish(house.table(keys=[ACME]))
        said: list[str] = []
        asked = asyncio.Queue[dict[str, Any]]()

        async def send(message: dict[str, Any]) -> None:
            said.append(message["type"])

        life = asyncio.create_task(house.gateway({"type": "lifespan"}, asked.get, send))
        await asked.put({"type": "lifespan.startup"})
        await until(lambda: said == ["lifespan.startup.complete"])
        assert verifier.refreshed == 1
        assert (await house.predict()).status == 200
        house.feed.publish(house.table(keys=[]))
        await until(lambda: not house.tenants)
        assert (await house.predict()).status == 401
        house.gateway.draining = True
        answer = await house.predict()
        assert answer.headers["connection"] == "close"
        ready = await house.call("GET", "/readyz")
        assert (ready.status, ready.code) == (503, "GAT-106")
        await asked.put({"type": "lifespan.shutdown"})
        await life
        assert said[-1] == "lifespan.shutdown.complete"
        assert house.spool.closed
        names = {s.name for s in house.board.held["gateway-0"]}
        assert "requests_total" in names
        assert not names & {"start_time_seconds", "models_loaded", "breaker_open"}
        assert house.predictor().closed == 1

    verifier = FakeVerifier()
    try:
        run(story, verifier=verifier)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/metrics", "/v2/models/late/infer", "/é"])
def test_other_paths_are_404(path: str) -> None:
    async def story(house: House) -> None:
        await house.publish()
        answer = await house.call("GET", path)
        assert (answer.status, answer.code) == (404, "GAT-103")

    run(story)


def test_what_cannot_be_recorded_is_not_given() -> None:
    async def story(house: House) -> None:
        await house.publish()
        house.spool.full = True
        answer = await house.predict()
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "GAT-107", "1")
        house.spool.full = False
        assert (await house.predict()).status == 200
        assert len(house.spool.events) == 1
        seen = await posted(house)
        assert seen["requests_total"][MODEL, "acme", "200"] == [1.0]

    run(story)


def test_an_unforeseen_error_is_500_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def story(house: House) -> None:
        await house.publish()

        def broken(*_: Any) -> None:
            raise ZeroDivisionError("the secret of bolt")

        house.records.predicted = broken  # type: ignore[method-assign]
        answer = await house.predict()
        assert (answer.status, answer.code) == (500, "WIN-000")
        assert "secret" not in answer.body.decode()

    run(story)
    assert "the secret of bolt" in caplog.text


def test_what_is_collected_is_what_was_used_and_nothing_is_counted_twice() -> None:
    """Many tenants' counts are collected some at a time; what comes meanwhile waits its turn."""

    async def story(house: House) -> None:
        tenants = [f"t{i}" for i in range(300)]
        await house.publish(keys=[key(name, name) for name in tenants])
        for name in tenants:
            assert (await house.predict(1.0, auth=f"Bearer wv_{name}")).status == 200
        desk, requests = house.gateway._desk, house.gateway.metrics.requests
        collecting = asyncio.create_task(desk.collect())
        await asyncio.sleep(0)
        assert 0 < sum(requests.values()) < 300, "the loop has turns between"
        assert (await house.predict(1.0, auth="Bearer wv_t0")).status == 200
        await collecting
        await desk.collect()
        assert requests == {
            (MODEL, name, "200"): 2 if name == "t0" else 1 for name in tenants
        }  # fmt: skip
        await desk.collect()
        assert sum(requests.values()) == 301

    run(story)


def test_counts_of_a_table_that_is_gone_are_kept() -> None:
    async def story(house: House) -> None:
        await house.publish()
        await house.predict(1.0)
        await house.publish()
        await house.predict(1.0)
        seen = await posted(house)
        assert seen["requests_total"] == {(MODEL, "acme", "200"): [2.0]}

    run(story)
