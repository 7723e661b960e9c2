"""Versions are loaded once, warmed up before traffic, and unloaded within a budget."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from inference.harness import (
    CONTRACT,
    MODEL,
    TASK,
    WITHIN_S,
    FakeArtifacts,
    FakePredictor,
    FakeRuntime,
    Harness,
    body,
    entry,
    route,
    run,
    until,
)

from windvane.core.execution import BreakerPolicy
from windvane.core.task import Contract, TaskSpec
from windvane.inference.model_cache import ModelCache, ModelHandle
from windvane.ports.runtime import CannotLoad


@dataclass
class Bench:
    """A cache on a runtime that hands out fresh predictors of ``memory`` bytes each."""

    budget: int = 1_000
    now: float = 1_000.0
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    made: list[FakePredictor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.models = ModelCache(
            self.runtime, FakeArtifacts(), self.budget, loaders=1, monotonic=lambda: self.now
        )

    def handle(self, name: str, memory: int = 100) -> ModelHandle:
        def make() -> FakePredictor:
            self.made.append(FakePredictor(memory=memory))
            return self.made[-1]

        self.runtime.predictors.setdefault(f"{name}/1", make)
        return self.models.handle(name, entry(name, "1"), CONTRACT, TASK)

    @property
    def open_bytes(self) -> int:
        """What predictors that were made and not closed hold."""
        return sum(p.memory for p in self.made if not p.closed)


def tell(story: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def told() -> None:
        bench = Bench(**settings)
        try:
            async with asyncio.timeout(WITHIN_S):
                await story(bench)
        finally:
            bench.runtime.gate.set()
            await asyncio.to_thread(bench.models.close)
            assert all(p.closed == 1 for p in bench.made)

    asyncio.run(told())


def test_whoever_asks_while_a_version_loads_waits_for_the_same_load() -> None:
    async def story(s: Bench) -> None:
        handle = s.handle("a")
        s.runtime.gate.clear()
        asked = [asyncio.create_task(s.models.bring(handle)) for _ in range(20)]
        await until(s.runtime.loading.is_set)
        asked.append(asyncio.create_task(s.models.bring(handle)))
        await asyncio.sleep(0)
        asked[0].cancel()  # one that gives up takes nobody along
        s.runtime.gate.set()
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(d, asyncio.CancelledError) for d in done] == [True] + [False] * 20
        assert s.runtime.loads == ["a/1"]
        assert handle.queue is not None
        assert (s.models.loads, s.models.held_bytes) == (1, 100)
        await s.models.bring(handle)
        assert s.runtime.loads == ["a/1"]

    tell(story)


def test_a_version_is_warmed_up_before_anybody_meets_it() -> None:
    async def story(s: Bench) -> None:
        handle = s.handle("a")
        await s.models.bring(handle)
        assert s.made[0].warm_ups >= 3
        assert s.made[0].batches == []

    tell(story)


def test_a_failed_load_is_tried_again_only_after_its_pause_which_grows() -> None:
    async def story(s: Bench) -> None:
        handle = s.handle("a")
        good = s.runtime.predictors["a/1"]
        s.runtime.predictors["a/1"] = CannotLoad("no such file")
        pauses: list[float] = []
        for tries in range(1, 10):
            await s.models.bring(handle)
            assert len(s.runtime.loads) == tries
            assert handle.queue is None
            assert isinstance(handle.error, CannotLoad)
            pauses.append(handle.retry_at - s.now)
            s.now = handle.retry_at - 0.001
            await s.models.bring(handle)
            await s.models.fill([handle])
            assert len(s.runtime.loads) == tries, "tried before its pause was over"
            s.now += 0.002
        assert pauses[:3] == [5.0, 10.0, 20.0]
        assert max(pauses) == 300.0
        s.runtime.predictors["a/1"] = good
        await s.models.bring(handle)
        assert handle.queue is not None
        assert handle.error is None

    tell(story)


def test_a_failed_warm_up_is_a_broken_version_and_gives_its_memory_back() -> None:
    async def story(s: Bench) -> None:
        handle = s.handle("a")

        def make() -> FakePredictor:
            bad = FakePredictor()
            bad.predict = lambda _rows: 1 / 0  # type: ignore[method-assign]
            s.made.append(bad)
            return bad

        s.runtime.predictors["a/1"] = make
        await s.models.fill([handle])
        assert handle.queue is None
        assert isinstance(handle.error, ZeroDivisionError)
        assert s.made[0].closed == 1
        assert s.models.held_bytes == 0
        assert s.models.queues == []

    tell(story)


def test_over_the_budget_the_least_recently_used_idle_version_goes() -> None:
    async def story(s: Bench) -> None:
        a, b, c = (s.handle(name) for name in "abc")
        for handle in (a, b):
            s.now += 1
            await s.models.bring(handle)
        assert a.queue is not None
        a.queue.used = s.now + 1  # somebody asked for a after b was loaded
        s.now += 2
        await s.models.bring(c)
        assert (a.queue is not None, b.queue, c.queue is not None) == (True, None, True)
        assert s.made[1].closed == 1
        assert s.models.held_bytes == 200 == s.open_bytes
        assert s.models.unloads == 1
        s.now += 1
        await s.models.bring(b)  # on demand
        assert b.queue is not None
        assert a.queue is None
        assert s.models.held_bytes == 200 == s.open_bytes

    tell(story, budget=250)


def test_a_version_at_work_is_not_unloaded() -> None:
    async def story(s: Bench) -> None:
        a, b, c = (s.handle(name) for name in "abc")
        await s.models.bring(a)
        assert a.queue is not None
        a.queue.busy = 1
        s.now += 1
        await s.models.bring(b)
        s.now += 1
        await s.models.bring(c)
        assert (a.queue is not None, b.queue, c.queue is not None) == (True, None, True)
        a.queue.busy = 0

    tell(story, budget=250)


def test_a_version_larger_than_the_budget_is_still_served() -> None:
    async def story(s: Bench) -> None:
        a, big = s.handle("a"), s.handle("big", memory=5_000)
        await s.models.bring(a)
        await s.models.bring(big)
        assert (a.queue, big.queue is not None) == (None, True)

    tell(story)


def test_filling_goes_as_far_as_the_budget_and_unloads_nothing() -> None:
    """Hundreds of models: those that come first stay, the rest are loaded on demand."""

    async def story(s: Bench) -> None:
        handles = [s.handle(f"m{i}", memory=150) for i in range(50)]
        await s.models.fill(handles)
        assert len(s.runtime.loads) == 7
        loaded = [i for i, handle in enumerate(handles) if handle.queue is not None]
        assert len(loaded) == 6
        count = len(s.runtime.loads)
        for _ in range(5):  # each routing table fills again: a new key, a canary's step
            await s.models.fill(handles)
        assert len(s.runtime.loads) == count

    tell(story)


def test_a_new_version_is_loaded_before_it_is_routed_to_even_when_memory_is_full() -> None:
    async def story(s: Bench) -> None:
        handles = [s.handle(f"m{i}", memory=150) for i in range(50)]
        await s.models.fill(handles)
        s.now += 1
        fresh = s.handle("fresh")
        await s.models.fill([*handles, fresh])
        assert fresh.queue is not None
        assert s.models.held_bytes <= 1_000

    tell(story)


def test_only_what_a_route_names_is_kept() -> None:
    async def story(s: Bench) -> None:
        a, b = s.handle("a"), s.handle("b")
        await s.models.fill([a, b])
        s.models.keep_only([b])
        assert a.queue is None
        assert s.made[0].closed == 1
        assert s.models.held_bytes == 100
        assert s.handle("a") is not a
        assert s.handle("b") is b

    tell(story)


def test_a_forgotten_version_at_work_goes_when_its_work_is_done() -> None:
    async def story(s: Bench) -> None:
        a, b = s.handle("a"), s.handle("b")
        await s.models.fill([a, b])
        assert a.queue is not None
        a.queue.busy = 1
        s.models.keep_only([b])
        assert s.made[0].closed == 0
        a.queue.busy = 0
        s.models.keep_only([b])  # the next table, at the latest
        assert s.made[0].closed == 1
        assert s.models.held_bytes == 100 == s.open_bytes

    tell(story)


def test_a_version_forgotten_while_it_loads_is_given_back() -> None:
    async def story(s: Bench) -> None:
        a, b = s.handle("a"), s.handle("b")
        s.runtime.gate.clear()
        asked = asyncio.create_task(s.models.bring(a))
        await until(s.runtime.loading.is_set)
        s.models.keep_only([b])
        s.runtime.gate.set()
        await asked
        assert a.queue is not None, "a request that began under the old table still has its answer"
        s.models.keep_only([b])
        assert s.models.held_bytes == 0 == s.open_bytes

    tell(story)


def test_the_same_files_under_another_order_of_features_are_another_place() -> None:
    """Bounds, and what is optional, change nothing that a loaded version knows of."""

    async def story(s: Bench) -> None:
        one = entry("a", "1")
        a, b, c = CONTRACT.features
        turned = Contract((b, a, c), CONTRACT.task)
        other = Contract(CONTRACT.features, TaskSpec("regression", high=1.0))
        contracts = (CONTRACT, turned, other)
        handles = {
            id(s.models.handle("a", given, contract, TASK))
            for given in (one, replace(one, trusted=True), replace(one, manifest="f" * 64))
            for contract in contracts
        }
        assert len(handles) == 9
        wider = Contract((replace(a, high=2_000.0), b, replace(c, optional=True)), CONTRACT.task)
        assert s.models.handle("a", one, turned, TASK) is s.models.handle(
            "a", entry("a", "1"), turned, TASK
        )
        assert s.models.handle("a", one, CONTRACT, TASK) is s.models.handle("a", one, wider, TASK)

    tell(story)


def test_another_circuit_in_the_models_file_reloads_nothing() -> None:
    async def story(s: Bench) -> None:
        handle = s.handle("a")
        await s.models.bring(handle)
        assert handle.queue is not None
        tuned = BreakerPolicy(failures=2)
        assert s.models.handle("a", handle.entry, CONTRACT, TASK, tuned) is handle
        s.models.adopt_circuits([handle])
        assert handle.queue.circuit == tuned
        assert s.runtime.loads == ["a/1"]

    tell(story)


def test_a_blocking_version_is_unloaded_off_the_loop() -> None:
    """To end a sandbox may take seconds; other models are answered meanwhile."""

    async def story(s: Bench) -> None:
        a, b = s.handle("a"), s.handle("b")
        await s.models.fill([a, b])
        ending, may_end = threading.Event(), threading.Event()
        on: list[threading.Thread] = []
        predictor = s.made[0]
        predictor.blocking = True
        real = predictor.close

        def close() -> None:
            on.append(threading.current_thread())
            ending.set()
            assert may_end.wait(WITHIN_S)
            real()

        predictor.close = close  # type: ignore[method-assign]
        s.models.keep_only([b])
        await until(ending.is_set)
        assert a.queue is None
        assert s.models.held_bytes == 100
        assert predictor.closed == 0, "the loop goes on while it ends"
        c = s.handle("c")
        await s.models.bring(c)
        assert c.queue is not None
        may_end.set()
        await until(lambda: predictor.closed)
        assert on[0] is not threading.main_thread()

    tell(story)


def test_a_version_that_ends_slowly_holds_no_other_models_answers_up() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route("a"), route("b"))
        ending, may_end = threading.Event(), threading.Event()
        slow = harness.predictor("1", "a")
        slow.blocking = True
        harness.hold("1", "a").let_go()
        assert (await harness.predict(model="a")).status == 200
        slow.close = lambda: (ending.set(), may_end.wait(WITHIN_S))  # type: ignore[method-assign, assignment]
        await harness.publish(route("b"))
        await until(ending.is_set)
        for x in (1.0, 2.0):
            assert (await harness.predict(x, model="b")).status == 200
        may_end.set()

    run(story)


def test_an_evicted_model_is_answered_on_demand_without_a_failed_request() -> None:
    """Ten models in the memory of three, asked in turn by several callers at once."""

    async def story(harness: Harness) -> None:
        names = [f"m{i}" for i in range(10)]
        for name in names:
            harness.runtime.predictors[f"{name}/1"] = lambda: FakePredictor(1.0)
        await harness.publish(*(route(name) for name in names))
        for _ in range(3):
            answers = await asyncio.gather(
                *(harness.predict(5.0, model=name) for name in names for _ in range(4))
            )
            assert {a.status for a in answers} == {200}
            assert {a.rows[0]["value"] for a in answers} == {1.005}
            assert {tuple(a.rows[0]["flags"]) for a in answers} == {()}
            await until(lambda: all(queue.idle for queue in harness.queues))
            assert harness.services.models.held_bytes <= 300 + 100
        assert harness.services.models.unloads > 7

    run(story, budget=300)


def test_a_swap_of_versions_fails_no_request_and_frees_the_old_one() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1",)))
        old = harness.predictor("1")
        old.blocking = True
        harness.hold("1")
        waiting = asyncio.create_task(harness.predict(1.0))
        await until(old.started.is_set)
        await harness.publish(route(versions=("2",), champion="2"))
        fresh = await harness.predict(1.0)
        assert (fresh.status, fresh.rows[0]["version"]) == (200, "2")
        old.let_go()
        late = await waiting
        assert (late.status, late.rows[0]["version"], late.rows[0]["value"]) == (200, "1", 1.001)
        await harness.publish(route(versions=("2",), champion="2"))
        await until(lambda: old.closed == 1)
        assert harness.services.models.held_bytes == harness.predictor("2").memory

    run(story)


def test_a_request_under_an_old_table_brings_its_version_back_and_it_goes_again() -> None:
    """It waited for its body while the table changed; its version was unloaded meanwhile."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1",)))
        waiting = harness.open("POST", f"/v1/models/{MODEL}/predict")
        assert waiting.sink is not None
        assert harness.services.under_way == 1
        harness.runtime.predictors[f"{MODEL}/1"] = again = FakePredictor(1.0)
        await harness.publish(route(versions=("2",), champion="2"))
        assert harness.queues[0].version == "2"
        waiting.sink.on_body(body(1.0))
        answer = await waiting.answered
        assert (answer.status, answer.rows[0]["version"]) == (200, "1")
        await harness.publish(route(versions=("2",), champion="2"))
        assert again.closed == 1
        assert harness.services.models.held_bytes == harness.predictor("2").memory

    run(story)


def test_a_rollback_of_one_model_does_not_wait_for_the_slow_load_of_another() -> None:
    """Each model's entry is adopted by itself."""

    async def story(harness: Harness) -> None:
        a = [route("a", ("1", "2"), champion) for champion in ("2", "1")]
        await harness.publish(a[0], route("b"))
        assert (await harness.predict(model="a")).rows[0]["version"] == "2"
        harness.runtime.gate.clear()
        harness.runtime.loading.clear()
        slow = route("b", ("1", "2"), "2")
        harness.feed.publish(harness.table(a[0], slow))
        await harness.worker.follow_feed()
        await until(harness.runtime.loading.is_set)
        for _ in range(2):  # as one table with the slow load, and again behind it
            harness.feed.publish(harness.table(a[1], slow))
            await harness.worker.follow_feed()
            assert (await harness.predict(model="a")).rows[0]["version"] == "1"
            assert (await harness.predict(model="b")).rows[0]["version"] == "1"
        ready = (await harness.call("GET", "/readyz")).json
        assert ready["routing"] < harness.seq, "the whole table is not in use yet"
        harness.runtime.gate.set()
        await harness.follow_feed()
        assert (await harness.predict(model="b")).rows[0]["version"] == "2"
        assert (await harness.call("GET", "/readyz")).json["routing"] == harness.seq
        assert harness.runtime.loads.count("b/2") == 1

    run(story)


def test_a_new_version_of_one_model_goes_live_while_another_is_loading() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route("a"), route("b"))
        may_load = threading.Event()

        def slowly() -> FakePredictor:
            assert may_load.wait(WITHIN_S)
            return FakePredictor(2.0)

        harness.runtime.predictors["b/2"] = slowly
        harness.feed.publish(
            harness.table(route("a", ("1", "2"), "2"), route("b", ("1", "2"), "2"))
        )
        await harness.worker.follow_feed()
        while (await harness.predict(model="a")).rows[0]["version"] != "2":
            pass  # each of them gives the loop a turn; `run` bounds it
        assert (await harness.predict(model="b")).rows[0]["version"] == "1"
        may_load.set()
        await harness.follow_feed()
        assert (await harness.predict(model="b")).rows[0]["version"] == "2"

    run(story)
