"""Versions are loaded once, warmed up before traffic, and unloaded within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from inference.harness import (
    MODEL,
    WITHIN_S,
    FakeArtifacts,
    FakePredictor,
    FakeRuntime,
    Harness,
    entry,
    route,
    run,
    until,
)

from windvane.apps.gateway import models as module
from windvane.inference.model_cache import ModelCache, ModelHandle
from windvane.ports.runtime import CannotLoad


@dataclass
class Shelves:
    """A models on a runtime that hands out fresh predictors of ``memory`` bytes each."""

    budget: int = 1_000
    now: float = 1_000.0
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    made: list[FakePredictor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.models = ModelCache(self.runtime, FakeArtifacts(), self.budget)

    def handle(self, name: str, memory: int = 100) -> ModelHandle:
        def make() -> FakePredictor:
            self.made.append(FakePredictor(memory=memory))
            return self.made[-1]

        self.runtime.models.setdefault(f"{name}/1", make)
        return self.models.handle(name, entry(name, "1"), ("x",))

    @property
    def open_bytes(self) -> int:
        """What predictors that were made and not closed hold."""
        return sum(p.memory for p in self.made if not p.closed)


def tell(
    monkeypatch: pytest.MonkeyPatch, story: Callable[[Shelves], Awaitable[None]], **settings: Any
) -> None:
    async def told() -> None:
        shelves = Shelves(**settings)
        monkeypatch.setattr(
            module, "time", SimpleNamespace(monotonic=lambda: shelves.now, perf_counter=_ticks())
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                await story(shelves)
        finally:
            shelves.runtime.gate.set()
            shelves.models.close()
            assert all(p.closed == 1 for p in shelves.made)

    asyncio.run(told())


def _ticks(row_s: float = 1e-5) -> Callable[[], float]:
    state = [0.0]

    def tick() -> float:
        state[0] += row_s
        return state[0]

    return tick


def test_whoever_asks_while_a_version_loads_waits_for_the_same_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
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

    tell(monkeypatch, story)


def test_a_version_is_warmed_up_before_anybody_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        handle = s.handle("a")
        await s.models.bring(handle)
        assert s.made[0].warm_ups >= 3
        assert s.made[0].batches == []

    tell(monkeypatch, story)


def test_a_failed_load_is_tried_again_only_after_its_pause_which_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        handle = s.handle("a")
        good = s.runtime.models["a/1"]
        s.runtime.models["a/1"] = CannotLoad("no such file")
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
        s.runtime.models["a/1"] = good
        await s.models.bring(handle)
        assert handle.queue is not None
        assert handle.error is None

    tell(monkeypatch, story)


def test_a_failed_warm_up_is_a_broken_version_and_gives_its_memory_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        handle = s.handle("a")

        def make() -> FakePredictor:
            bad = FakePredictor()
            bad.predict = lambda _rows: 1 / 0  # type: ignore[method-assign]
            s.made.append(bad)
            return bad

        s.runtime.models["a/1"] = make
        await s.models.fill([handle])
        assert handle.queue is None
        assert isinstance(handle.error, ZeroDivisionError)
        assert s.made[0].closed == 1
        assert s.models.held_bytes == 0
        assert s.models.queues == []

    tell(monkeypatch, story)


def test_over_the_budget_the_least_recently_used_idle_version_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
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

    tell(monkeypatch, story, budget=250)


def test_a_version_at_work_is_not_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
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

    tell(monkeypatch, story, budget=250)


def test_a_version_larger_than_the_budget_is_still_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        a, big = s.handle("a"), s.handle("big", memory=5_000)
        await s.models.bring(a)
        await s.models.bring(big)
        assert (a.queue, big.queue is not None) == (None, True)

    tell(monkeypatch, story)


def test_filling_goes_as_far_as_the_budget_and_unloads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds of models: those that come first stay, the rest are loaded on demand."""

    async def story(s: Shelves) -> None:
        handles = [s.handle(f"m{i}", memory=150) for i in range(50)]
        await s.models.fill(handles)
        assert len(s.runtime.loads) == 7
        loaded = [i for i, handle in enumerate(handles) if handle.queue is not None]
        assert len(loaded) == 6
        count = len(s.runtime.loads)
        for _ in range(5):  # each routing table fills again: a new key, a canary's step
            await s.models.fill(handles)
        assert len(s.runtime.loads) == count

    tell(monkeypatch, story)


def test_a_new_version_is_loaded_before_it_is_routed_to_even_when_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        handles = [s.handle(f"m{i}", memory=150) for i in range(50)]
        await s.models.fill(handles)
        s.now += 1
        fresh = s.handle("fresh")
        await s.models.fill([*handles, fresh])
        assert fresh.queue is not None
        assert s.models.held_bytes <= 1_000

    tell(monkeypatch, story)


def test_only_what_a_route_names_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        a, b = s.handle("a"), s.handle("b")
        await s.models.fill([a, b])
        s.models.keep_only([b])
        assert a.queue is None
        assert s.made[0].closed == 1
        assert s.models.held_bytes == 100
        assert s.handle("a") is not a
        assert s.handle("b") is b

    tell(monkeypatch, story)


def test_a_forgotten_version_at_work_goes_when_its_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
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

    tell(monkeypatch, story)


def test_a_version_forgotten_while_it_loads_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
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

    tell(monkeypatch, story)


def test_the_same_files_under_another_order_of_features_are_another_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        one = entry("a", "1")
        handles = {
            id(s.models.handle("a", given, names))
            for given in (one, replace(one, trusted=True), replace(one, manifest="f" * 64))
            for names in (("x", "y"), ("y", "x"))
        }
        assert len(handles) == 6
        assert s.models.handle("a", one, ("x", "y")) is s.models.handle(
            "a", entry("a", "1"), ("x", "y")
        )

    tell(monkeypatch, story)


def test_an_evicted_model_is_answered_on_demand_without_a_failed_request() -> None:
    """Ten models in the memory of three, asked in turn by several callers at once."""

    async def story(harness: Harness) -> None:
        names = [f"m{i}" for i in range(10)]
        for name in names:
            harness.runtime.models[f"{name}/1"] = lambda: FakePredictor(1.0)
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
        held = harness.queues[0]
        held.apart = True
        old.hold()
        waiting = asyncio.create_task(harness.predict(1.0))
        await until(old.started.is_set)
        await harness.publish(route(versions=("2",), champion="2"))
        fresh = await harness.predict(1.0)
        assert (fresh.status, fresh.rows[0]["version"]) == (200, "2")
        old.let_go()
        late = await waiting
        assert (late.status, late.rows[0]["version"], late.rows[0]["value"]) == (200, "1", 1.001)
        await harness.publish(route(versions=("2",), champion="2"))
        assert old.closed == 1
        assert harness.services.models.held_bytes == harness.predictor("2").memory

    run(story)


def test_a_request_under_an_old_table_brings_its_version_back_and_it_goes_again() -> None:
    """It waited for its body while the table changed; its version was unloaded meanwhile."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(versions=("1",)))
        came = asyncio.Event()

        async def receive() -> dict[str, Any]:
            from inference.harness import body

            await came.wait()
            return {"type": "http.request", "body": body(1.0), "more_body": False}

        waiting = asyncio.create_task(harness.predict(receive=receive))
        await until(lambda: harness.services.under_way == 1)
        harness.runtime.models[f"{MODEL}/1"] = again = FakePredictor(1.0)
        await harness.publish(route(versions=("2",), champion="2"))
        came.set()
        answer = await waiting
        assert (answer.status, answer.rows[0]["version"]) == (200, "1")
        await harness.publish(route(versions=("2",), champion="2"))
        assert again.closed == 1
        assert harness.services.models.held_bytes == harness.predictor("2").memory

    run(story)
