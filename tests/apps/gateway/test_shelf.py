"""Versions are loaded once, warmed up before traffic, and unloaded within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from apps.gateway.house import (
    MODEL,
    WITHIN_S,
    FakeArtifacts,
    FakePredictor,
    FakeRuntime,
    House,
    entry,
    route,
    run,
    until,
)

from windvane.apps.gateway import shelf as module
from windvane.apps.gateway.shelf import Shelf, Slot
from windvane.ports.runtime import CannotLoad


@dataclass
class Shelves:
    """A shelf on a runtime that hands out fresh predictors of ``memory`` bytes each."""

    budget: int = 1_000
    now: float = 1_000.0
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    made: list[FakePredictor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.runtime, FakeArtifacts(), self.budget)

    def slot(self, name: str, memory: int = 100) -> Slot:
        def make() -> FakePredictor:
            self.made.append(FakePredictor(memory=memory))
            return self.made[-1]

        self.runtime.shelf.setdefault(f"{name}/1", make)
        return self.shelf.slot(name, entry(name, "1"), ("x",))

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
            shelves.shelf.close()
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
        slot = s.slot("a")
        s.runtime.gate.clear()
        asked = [asyncio.create_task(s.shelf.bring(slot)) for _ in range(20)]
        await until(s.runtime.loading.is_set)
        asked.append(asyncio.create_task(s.shelf.bring(slot)))
        await asyncio.sleep(0)
        asked[0].cancel()  # one that gives up takes nobody along
        s.runtime.gate.set()
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(d, asyncio.CancelledError) for d in done] == [True] + [False] * 20
        assert s.runtime.loads == ["a/1"]
        assert slot.lane is not None
        assert (s.shelf.loads, s.shelf.held_bytes) == (1, 100)
        await s.shelf.bring(slot)
        assert s.runtime.loads == ["a/1"]

    tell(monkeypatch, story)


def test_a_version_is_warmed_up_before_anybody_meets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        slot = s.slot("a")
        await s.shelf.bring(slot)
        assert s.made[0].warm_ups >= 3
        assert s.made[0].batches == []

    tell(monkeypatch, story)


def test_a_failed_load_is_tried_again_only_after_its_pause_which_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        slot = s.slot("a")
        good = s.runtime.shelf["a/1"]
        s.runtime.shelf["a/1"] = CannotLoad("no such file")
        pauses: list[float] = []
        for tries in range(1, 10):
            await s.shelf.bring(slot)
            assert len(s.runtime.loads) == tries
            assert slot.lane is None
            assert isinstance(slot.error, CannotLoad)
            pauses.append(slot.retry_at - s.now)
            s.now = slot.retry_at - 0.001
            await s.shelf.bring(slot)
            await s.shelf.fill([slot])
            assert len(s.runtime.loads) == tries, "tried before its pause was over"
            s.now += 0.002
        assert pauses[:3] == [5.0, 10.0, 20.0]
        assert max(pauses) == 300.0
        s.runtime.shelf["a/1"] = good
        await s.shelf.bring(slot)
        assert slot.lane is not None
        assert slot.error is None

    tell(monkeypatch, story)


def test_a_failed_warm_up_is_a_broken_version_and_gives_its_memory_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        slot = s.slot("a")

        def make() -> FakePredictor:
            bad = FakePredictor()
            bad.predict = lambda _rows: 1 / 0  # type: ignore[method-assign]
            s.made.append(bad)
            return bad

        s.runtime.shelf["a/1"] = make
        await s.shelf.fill([slot])
        assert slot.lane is None
        assert isinstance(slot.error, ZeroDivisionError)
        assert s.made[0].closed == 1
        assert s.shelf.held_bytes == 0
        assert s.shelf.lanes == []

    tell(monkeypatch, story)


def test_over_the_budget_the_least_recently_used_idle_version_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        a, b, c = (s.slot(name) for name in "abc")
        for slot in (a, b):
            s.now += 1
            await s.shelf.bring(slot)
        assert a.lane is not None
        a.lane.used = s.now + 1  # somebody asked for a after b was loaded
        s.now += 2
        await s.shelf.bring(c)
        assert (a.lane is not None, b.lane, c.lane is not None) == (True, None, True)
        assert s.made[1].closed == 1
        assert s.shelf.held_bytes == 200 == s.open_bytes
        assert s.shelf.unloads == 1
        s.now += 1
        await s.shelf.bring(b)  # on demand
        assert b.lane is not None
        assert a.lane is None
        assert s.shelf.held_bytes == 200 == s.open_bytes

    tell(monkeypatch, story, budget=250)


def test_a_version_at_work_is_not_unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        a, b, c = (s.slot(name) for name in "abc")
        await s.shelf.bring(a)
        assert a.lane is not None
        a.lane.busy = 1
        s.now += 1
        await s.shelf.bring(b)
        s.now += 1
        await s.shelf.bring(c)
        assert (a.lane is not None, b.lane, c.lane is not None) == (True, None, True)
        a.lane.busy = 0

    tell(monkeypatch, story, budget=250)


def test_a_version_larger_than_the_budget_is_still_served(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        a, big = s.slot("a"), s.slot("big", memory=5_000)
        await s.shelf.bring(a)
        await s.shelf.bring(big)
        assert (a.lane, big.lane is not None) == (None, True)

    tell(monkeypatch, story)


def test_filling_goes_as_far_as_the_budget_and_unloads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds of models: those that come first stay, the rest are loaded on demand."""

    async def story(s: Shelves) -> None:
        slots = [s.slot(f"m{i}", memory=150) for i in range(50)]
        await s.shelf.fill(slots)
        assert len(s.runtime.loads) == 7
        loaded = [i for i, slot in enumerate(slots) if slot.lane is not None]
        assert len(loaded) == 6
        count = len(s.runtime.loads)
        for _ in range(5):  # each routing table fills again: a new key, a canary's step
            await s.shelf.fill(slots)
        assert len(s.runtime.loads) == count

    tell(monkeypatch, story)


def test_a_new_version_is_loaded_before_it_is_routed_to_even_when_memory_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        slots = [s.slot(f"m{i}", memory=150) for i in range(50)]
        await s.shelf.fill(slots)
        s.now += 1
        fresh = s.slot("fresh")
        await s.shelf.fill([*slots, fresh])
        assert fresh.lane is not None
        assert s.shelf.held_bytes <= 1_000

    tell(monkeypatch, story)


def test_only_what_a_route_names_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        a, b = s.slot("a"), s.slot("b")
        await s.shelf.fill([a, b])
        s.shelf.keep_only([b])
        assert a.lane is None
        assert s.made[0].closed == 1
        assert s.shelf.held_bytes == 100
        assert s.slot("a") is not a
        assert s.slot("b") is b

    tell(monkeypatch, story)


def test_a_forgotten_version_at_work_goes_when_its_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        a, b = s.slot("a"), s.slot("b")
        await s.shelf.fill([a, b])
        assert a.lane is not None
        a.lane.busy = 1
        s.shelf.keep_only([b])
        assert s.made[0].closed == 0
        a.lane.busy = 0
        s.shelf.keep_only([b])  # the next table, at the latest
        assert s.made[0].closed == 1
        assert s.shelf.held_bytes == 100 == s.open_bytes

    tell(monkeypatch, story)


def test_a_version_forgotten_while_it_loads_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(s: Shelves) -> None:
        a, b = s.slot("a"), s.slot("b")
        s.runtime.gate.clear()
        asked = asyncio.create_task(s.shelf.bring(a))
        await until(s.runtime.loading.is_set)
        s.shelf.keep_only([b])
        s.runtime.gate.set()
        await asked
        assert a.lane is not None, "a request that began under the old table still has its answer"
        s.shelf.keep_only([b])
        assert s.shelf.held_bytes == 0 == s.open_bytes

    tell(monkeypatch, story)


def test_the_same_files_under_another_order_of_features_are_another_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Shelves) -> None:
        one = entry("a", "1")
        slots = {
            id(s.shelf.slot("a", given, names))
            for given in (one, replace(one, trusted=True), replace(one, manifest="f" * 64))
            for names in (("x", "y"), ("y", "x"))
        }
        assert len(slots) == 6
        assert s.shelf.slot("a", one, ("x", "y")) is s.shelf.slot("a", entry("a", "1"), ("x", "y"))

    tell(monkeypatch, story)


def test_an_evicted_model_is_answered_on_demand_without_a_failed_request() -> None:
    """Ten models in the memory of three, asked in turn by several callers at once."""

    async def story(house: House) -> None:
        names = [f"m{i}" for i in range(10)]
        for name in names:
            house.runtime.shelf[f"{name}/1"] = lambda: FakePredictor(1.0)
        await house.publish(*(route(name) for name in names))
        for _ in range(3):
            answers = await asyncio.gather(
                *(house.predict(5.0, model=name) for name in names for _ in range(4))
            )
            assert {a.status for a in answers} == {200}
            assert {a.rows[0]["value"] for a in answers} == {1.005}
            assert {tuple(a.rows[0]["flags"]) for a in answers} == {()}
            await until(lambda: all(lane.idle for lane in house.parts.shelf.lanes))
            assert house.parts.shelf.held_bytes <= 300 + 100
        assert house.parts.shelf.unloads > 7

    run(story, budget=300)


def test_a_swap_of_versions_fails_no_request_and_frees_the_old_one() -> None:
    async def story(house: House) -> None:
        await house.publish(route(versions=("1",)))
        old = house.predictor("1")
        old.blocking = True
        held = house.parts.shelf.lanes[0]
        held.apart = True
        old.hold()
        waiting = asyncio.create_task(house.predict(1.0))
        await until(old.started.is_set)
        await house.publish(route(versions=("2",), champion="2"))
        fresh = await house.predict(1.0)
        assert (fresh.status, fresh.rows[0]["version"]) == (200, "2")
        old.let_go()
        late = await waiting
        assert (late.status, late.rows[0]["version"], late.rows[0]["value"]) == (200, "1", 1.001)
        await house.publish(route(versions=("2",), champion="2"))
        assert old.closed == 1
        assert house.parts.shelf.held_bytes == house.predictor("2").memory

    run(story)


def test_a_request_under_an_old_table_brings_its_version_back_and_it_goes_again() -> None:
    """It waited for its body while the table changed; its version was unloaded meanwhile."""

    async def story(house: House) -> None:
        await house.publish(route(versions=("1",)))
        came = asyncio.Event()

        async def receive() -> dict[str, Any]:
            from apps.gateway.house import body

            await came.wait()
            return {"type": "http.request", "body": body(1.0), "more_body": False}

        waiting = asyncio.create_task(house.predict(receive=receive))
        await until(lambda: house.parts.under_way == 1)
        house.runtime.shelf[f"{MODEL}/1"] = again = FakePredictor(1.0)
        await house.publish(route(versions=("2",), champion="2"))
        came.set()
        answer = await waiting
        assert (answer.status, answer.rows[0]["version"]) == (200, "1")
        await house.publish(route(versions=("2",), champion="2"))
        assert again.closed == 1
        assert house.parts.shelf.held_bytes == house.predictor("2").memory

    run(story)
