"""A worker lives, follows its feed, and counts every request once, over swaps of tables and of
workers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from collector import collector_kept
from inference.harness import (
    ACME,
    MODEL,
    FakeVerifier,
    Harness,
    features,
    key,
    route,
    run,
    until,
)

from windvane.apps.gateway.worker import CannotTakeOver
from windvane.core.sketch import LATENCY_EDGES_US
from windvane.inference.errors import NotReady
from windvane.inference.metrics import Metrics, metric_names
from windvane.ports.runtime import CannotLoad
from windvane.usecases.broken_versions import METRIC


async def posted(harness: Harness) -> dict[str, dict[tuple[str, ...], list[float]]]:
    await harness.post_metrics()
    return {s.name: dict(s.values) for s in harness.board.held["gateway-0"]}


def test_every_answer_and_refusal_is_counted_under_its_tenant() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(constant=(0.5,)), route("other"))
        for _ in range(3):
            await harness.predict(1.0, 2.0)
        await harness.predict(model="other", auth="Bearer wv_bolt")
        await harness.predict(features(x=-1.0))
        await harness.predict(model="no-such")
        await harness.predict(auth="")
        harness.predictor().fails = lambda _row: True
        await harness.predict(1.0, 2.0)
        seen = await posted(harness)
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
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.hold()
        waiting = [asyncio.create_task(harness.predict(float(i))) for i in range(3)]
        await until(lambda: harness.services.under_way == 3)
        await harness.publish(keys=[ACME])
        await harness.publish(keys=[ACME, key("new", "new")])
        harness.predictor().let_go()
        assert [(await task).status for task in waiting] == [200] * 3
        assert (await harness.predict()).status == 200
        seen = await posted(harness)
        assert seen["requests_total"] == {(MODEL, "acme", "200"): [4.0]}
        assert seen["rows_total"] == {(MODEL, "1", "champion"): [4.0]}
        assert sum(seen["request_seconds"][(MODEL,)][:-1]) == 4

    run(story)


def test_counters_go_on_from_the_worker_before() -> None:
    async def first(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(1.0, 2.0)
        await harness.predict(features(x=-1.0))
        held.update(await posted(harness))
        board["gateway-0"] = harness.board.held["gateway-0"]

    async def second(harness: Harness) -> None:
        harness.board.held = dict(board)
        harness.metrics.go_on_from(harness.board.posted()["gateway-0"])
        assert {s.name: dict(s.values) for s in harness.metrics.series()}[
            "request_seconds"
        ] == held["request_seconds"]
        await harness.publish()
        await harness.predict(1.0)
        seen = await posted(harness)
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
    harness = Metrics()
    harness.add_latency(MODEL, 5_000)
    series = harness.series()
    other = [s.__class__(s.name, s.kind, s.text, s.labels, s.values, (1.0,)) for s in series]
    fresh = Metrics()
    fresh.go_on_from([*other, series[0].__class__("gone_total", "counter", "", (), [((), [1.0])])])
    assert fresh.latency == {}
    assert "gone_total" not in fresh.counts


def test_every_metric_that_is_posted_has_a_name_in_the_reference() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(cache_ttl_s=1.0))
        await harness.predict()
        assert {f"windvane_{name}" for name in await posted(harness)} <= set(metric_names())

    run(story)


def test_a_worker_lives_from_start_to_stop() -> None:
    """It follows the feed by itself, says when it is ready, drains, and leaves its counts."""

    async def story(harness: Harness) -> None:
        harness.feed.publish(harness.table(keys=[ACME]))
        await harness.worker.start()
        assert verifier.refreshed == 1
        assert (await harness.predict()).status == 200
        harness.feed.publish(harness.table(keys=[]))
        await until(lambda: not harness.tenants)
        assert (await harness.predict()).status == 401
        harness.worker.draining = True
        assert harness.app.draining
        ready = await harness.call("GET", "/readyz")
        assert (ready.status, ready.code) == (503, "GAT-106")
        await harness.worker.stop()
        assert harness.spool.closed
        names = {s.name for s in harness.board.held["gateway-0"]}
        assert "requests_total" in names
        assert not names & {"start_time_seconds", "models_loaded", "breaker_open"}
        assert harness.predictor().closed == 1

    verifier = FakeVerifier()
    with collector_kept():
        run(story, verifier=verifier)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/metrics", "/v3/models/late/infer", "/é"])
def test_other_paths_are_404(path: str) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        answer = await harness.call("GET", path)
        assert (answer.status, answer.code) == (404, "GAT-103")

    run(story)


def test_what_cannot_be_recorded_is_not_given() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.spool.full = True
        answer = await harness.predict()
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "GAT-107", "1")
        harness.spool.full = False
        assert (await harness.predict()).status == 200
        assert len(harness.spool.events) == 1
        seen = await posted(harness)
        assert seen["requests_total"][MODEL, "acme", "200"] == [1.0]

    run(story)


def test_an_unforeseen_error_is_500_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()

        def broken(*_: Any) -> None:
            raise ZeroDivisionError("the secret of bolt")

        harness.services.events.keep_prediction = broken  # type: ignore[method-assign]
        answer = await harness.predict()
        assert (answer.status, answer.code) == (500, "GAT-199")
        assert "secret" not in answer.body.decode()

    run(story)
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text  # an exception's words may hold what was sent


def test_what_is_collected_is_what_was_used_and_nothing_is_counted_twice() -> None:
    """Many tenants' counts are collected some at a time; what comes meanwhile waits its turn."""

    async def story(harness: Harness) -> None:
        tenants = [f"t{i}" for i in range(300)]
        await harness.publish(keys=[key(name, name) for name in tenants])
        for name in tenants:
            assert (await harness.predict(1.0, auth=f"Bearer wv_{name}")).status == 200
        told, requests = harness.services.instrumentation, harness.metrics.requests
        collecting = asyncio.create_task(told.collect())
        await asyncio.sleep(0)
        assert 0 < sum(requests.values()) < 300, "the loop has turns between"
        assert (await harness.predict(1.0, auth="Bearer wv_t0")).status == 200
        await collecting
        await told.collect()
        assert requests == {
            (MODEL, name, "200"): 2 if name == "t0" else 1 for name in tenants
        }  # fmt: skip
        await told.collect()
        assert sum(requests.values()) == 301

    run(story)


def test_counts_of_a_table_that_is_gone_are_kept() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        await harness.predict(1.0)
        await harness.publish()
        await harness.predict(1.0)
        seen = await posted(harness)
        assert seen["requests_total"] == {(MODEL, "acme", "200"): [2.0]}

    run(story)


def test_an_idle_and_a_failing_feed_change_nothing_and_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What the worker does by the clock is tried again, whatever it met."""

    async def story(harness: Harness) -> None:
        harness.feed.publish(harness.table(keys=[ACME]))
        await harness.worker.start()
        harness.feed.publish(harness.table(keys=[]))
        harness.feed.broken = OSError("the disk is away")
        await until(lambda: "the disk is away" in caplog.text)
        assert (await harness.predict()).status == 200
        harness.feed.broken = None
        harness.ticks.ahead_s += 1.0
        await until(lambda: not harness.tenants)
        await harness.worker.stop()

    with collector_kept():
        run(story)


async def told(harness: Harness) -> tuple[int, str, dict[str, str]]:
    answer = await harness.call("GET", "/readyz")
    body = answer.body if isinstance(answer.body, dict) else json.loads(answer.body)
    codes = {one["name"]: one["code"] for one in body.get("dependencies", ())}
    return answer.status, body.get("status", ""), codes


def test_ready_says_what_the_worker_depends_on() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        assert await told(harness) == (
            200, "ready",
            {"routing file": "HLT-600", "versions": "HLT-600", "spool": "HLT-600",
             "limits": "HLT-600"},
        )  # fmt: skip

    run(story)


def test_a_worker_that_can_record_nothing_is_not_ready_for_a_while() -> None:
    """Not for longer: only the next request tells whether there is room again."""

    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.spool.full = True
        assert (await harness.predict()).status == 503
        answer = await harness.call("GET", "/readyz")
        assert (answer.status, answer.code) == (503, "GAT-106")
        harness.ticks.ahead_s += 6.0
        harness.spool.full = False
        assert (await told(harness))[:2] == (200, "ready")
        assert (await harness.predict()).status == 200

    run(story)


def test_a_version_that_cannot_be_loaded_degrades() -> None:
    async def story(harness: Harness) -> None:
        harness.runtime.predictors[f"{MODEL}/1"] = CannotLoad("no such file")
        await harness.publish(route(constant=(0.5,)))
        status, word, codes = await told(harness)
        assert (status, word, codes["versions"]) == (200, "degraded", "HLT-607")
        assert (await posted(harness))[METRIC] == {(MODEL, "1"): [1.0]}
        assert (await harness.predict()).status == 200
        held = json.loads((await harness.call("GET", "/readyz")).body)["dependencies"]
        (versions,) = (one for one in held if one["name"] == "versions")
        assert versions["state"] == "down", "a constant answers, and no version"

    run(story)


def test_a_successor_that_lacks_what_its_predecessor_serves_does_not_start() -> None:
    """It starts where the predecessor says that it cannot load the version either."""

    async def story(harness: Harness) -> None:
        harness.runtime.predictors[f"{MODEL}/1"] = CannotLoad("no such file")
        await harness.publish(route(constant=(0.5,)), route("other"))
        await harness.post_metrics()
        lacks = next(one for one in harness.board.held.pop("gateway-0") if one.name == METRIC)
        worker = harness.worker
        worker._predecessor = "gateway-7"
        with pytest.raises(CannotTakeOver, match=r"1 of 2 .* gateway-7 .* late 1 \(no such file\)"):
            await worker.start()
        harness.board.held["gateway-7"] = []
        with pytest.raises(CannotTakeOver):
            await worker.start()
        harness.board.held["gateway-8"] = [lacks]
        with pytest.raises(CannotTakeOver):
            await worker.start()
        harness.board.held["gateway-7"] = harness.board.held["gateway-8"]
        await worker.start()

    run(story)


def test_a_table_that_cannot_be_read_degrades_and_the_one_before_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        before = harness.feed.latest
        harness.feed.latest = damaged  # type: ignore[method-assign]
        for _ in range(3):
            await harness.worker._refresh()
        assert caplog.text.count("torn") == 1, "once, however often it is tried"
        assert "Traceback" not in caplog.text
        status, word, codes = await told(harness)
        assert (status, word, codes["routing file"]) == (200, "degraded", "HLT-604")
        assert (await harness.predict()).status == 200
        harness.feed.latest = before  # type: ignore[method-assign]
        await harness.worker._refresh()
        assert (await told(harness))[1] == "ready"

    def damaged() -> None:
        raise ValueError("torn")

    run(story)


def test_a_worker_without_a_table_names_the_damaged_file() -> None:
    async def story(harness: Harness) -> None:
        harness.feed.broken = ValueError("torn")
        await harness.worker._refresh()
        for answer in (await harness.call("GET", "/readyz"), await harness.predict()):
            assert (answer.status, answer.code) == (503, "GAT-106")
            assert "routing.json in the home is damaged" in json.loads(answer.body)["error"]["hint"]
        harness.feed.broken = None
        await harness.worker._refresh()
        answer = await harness.predict()
        assert (answer.status, answer.code) == (503, "GAT-106")
        assert "windvane deploy" in json.loads(answer.body)["error"]["hint"]

    run(story)


@pytest.mark.parametrize("broken", [None, ValueError("torn")])
def test_a_successor_does_not_start_without_a_table(broken: Exception | None) -> None:
    async def story(harness: Harness) -> None:
        harness.feed.broken = broken
        harness.worker._table_within_s = 0.3
        with pytest.raises(NotReady, match="torn" if broken else "there is none"):
            await harness.worker.start()

    run(story)


def test_a_successor_starts_once_the_table_is_mended() -> None:
    async def story(harness: Harness) -> None:
        harness.feed.publish(harness.table(keys=[ACME]))
        harness.feed.broken = ValueError("torn")
        harness.worker._table_within_s = 20.0
        starting = asyncio.create_task(harness.worker.start())
        await until(lambda: bool(harness.worker._unreadable))
        assert not starting.done()
        harness.feed.broken = None
        await starting
        assert (await harness.predict()).status == 200
        await harness.worker.stop()

    with collector_kept():
        run(story)


def test_a_table_that_was_amended_under_its_number_is_taken_up() -> None:
    """A rollback that the control database has not yet."""

    async def story(harness: Harness) -> None:
        await harness.publish(route())
        assert (await harness.predict()).status == 200
        harness.feed.amend(
            lambda table: replace(table, models={MODEL: replace(table.models[MODEL], off=True)})
        )
        harness.feed.seen = None
        await harness.follow_feed()
        assert (await harness.predict()).status == 503

    run(story)
