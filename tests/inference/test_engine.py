"""Limits hold all or none, and whatever happens to a request, its places come back."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any

from inference.harness import MODEL, Answer, Harness, body, features, route, run, until
from hypothesis import given
from hypothesis import strategies as st

from windvane.apps.gateway import desk, steps, straight
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.apps.gateway.rejection_throttle import RejectionThrottle
from windvane.core.routing import TenantLimit

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
        harness.queues[0].apart = True
        predictor = harness.predictor()
        predictor.hold()
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


class Clock:
    """In place of ``time`` in the modules of the way that a refusal takes."""

    def __init__(self, monkeypatch: Any) -> None:
        self.at = 500.0
        for module in (desk, steps, straight):
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        return self.at

    def monotonic_ns(self) -> int:
        return int(self.at * 1e9)


def test_a_refusal_that_is_certain_stands_and_differs_in_nothing_but_the_id(
    monkeypatch: Any, way: bool
) -> None:
    clock = Clock(monkeypatch)

    async def story(harness: Harness) -> None:
        monkeypatch.setattr(harness.app.throttle, "_at_once", 1_000)
        asked: list[float] = []
        take = harness.limiter.take
        monkeypatch.setattr(
            harness.limiter, "take", lambda limits, now: (asked.append(now), take(limits, now))[1]
        )
        await harness.publish(limits=[TenantLimit("acme", rate=1, per_s=2.5)])
        assert (await harness.predict()).status == 200
        seen: list[tuple[float, Answer]] = []
        for at in (500.1, 500.2, 500.499, 500.5, 501.4, 502.49):
            clock.at = at
            name = f'r "{at}"'
            answer = await harness.predict(headers={"x-request-id": name})
            assert (answer.status, answer.json.pop("request_id")) == (429, name)
            seen.append((at, answer))
        told = [(a.headers["retry-after"], a.headers["ratelimit"]) for _, a in seen]
        assert told == [(str(s), f'"tenant";r=0;t={s}') for s in (3, 3, 3, 2, 2, 1)]
        bodies = {re.sub(r',"request_id.*', "", a.body.decode()) for _, a in seen}
        assert len(bodies) == 1
        assert {tuple(a.headers) for _, a in seen} == {tuple(seen[0][1].headers)}
        assert harness.metrics.requests[MODEL, "acme", "GAT-109"] == 6
        looked = [500.0, 500.1, 500.5, 502.49] if way else [500.0, *(at for at, _ in seen)]
        assert asked == looked, "the limiter is not asked while the answer is known"
        assert harness.services.under_way == 0
        clock.at = 502.5
        assert (await harness.predict()).status == 200

    run(story)


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
     "no_spool", "bad_deadline", "bad_version", "gone", "torn", "cancel_body", "cancel_run",
     "outcomes", "bad_outcomes", "outcomes_full", "late", "under_way", "crash"]
)  # fmt: skip


@given(st.lists(EVENTS, max_size=12), st.integers(0, 3), st.integers(0, 2))
def test_after_any_requests_nothing_is_held(events: list[str], rate: int, cap: int) -> None:
    async def story(harness: Harness) -> None:
        limits = [
            TenantLimit("acme", rate=rate, concurrent=cap),
            TenantLimit("acme", MODEL, rate=2 * rate, concurrent=cap),
        ]
        await harness.publish(limits=limits)
        queue = harness.queues[0]
        queue.apart = True
        for event in events:
            await _happen(harness, event)
            await until(lambda: queue.idle)
            assert harness.limiter.held == 0, f"{event} kept its places"
            assert harness.services.under_way == 0, f"{event} is still counted"
            assert harness.services.bodies._reading == {}
        await harness.publish(limits=[TenantLimit("acme", concurrent=1)])
        assert (await harness.predict()).status == 200

    run(story, max_rows=3)


async def _happen(harness: Harness, event: str) -> None:
    predictor = harness.predictor()
    told = json.dumps({"model": MODEL, "outcomes": [{"request_id": "r", "value": 1}]}).encode()

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def torn() -> dict[str, Any]:
        raise RuntimeError("the server broke")

    async def silent() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

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
            await harness.call("POST", PREDICT, b" " * (1 << 17))
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
        case "gone":
            await harness.predict(receive=gone)
        case "torn":
            assert (await harness.predict(receive=torn)).status in (429, 500)
        case "cancel_body":
            await _cancelled(harness, receive=silent)
        case "cancel_run":
            predictor.hold()
            await _cancelled(harness)
            predictor.let_go()
        case "outcomes":
            await harness.call("POST", "/v1/outcomes", told)
        case "bad_outcomes":
            await harness.call("POST", "/v1/outcomes", b"[]")
        case "late":
            predictor.hold()
            await harness.predict(headers={"x-request-deadline": "1ms"})
            predictor.let_go()
        case "under_way":
            harness.services.max_under_way = 0
            assert (await harness.predict()).status in (429, 503)
            harness.services.max_under_way = 100
        case "crash":
            harness.services.events.predicted = _crash  # type: ignore[method-assign]
            assert (await harness.predict()).status in (429, 500)
            del harness.services.events.predicted
        case _:
            raise AssertionError(event)


def _crash(*_: Any) -> None:
    raise ZeroDivisionError


async def _cancelled(harness: Harness, **more: Any) -> None:
    task = asyncio.create_task(harness.predict(**more))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    done = (await asyncio.gather(task, return_exceptions=True))[0]
    assert isinstance(done, asyncio.CancelledError) or done.status == 429


def test_a_full_harness_refuses_early_and_says_when_to_come_again() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        queue = harness.queues[0]
        queue.apart = True
        harness.predictor().hold()
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
        queue.apart, queue.row_s = True, 0.5
        harness.predictor().hold()
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
        queue.apart, queue.row_s = True, 9.9
        assert (await harness.predict()).status == 200

    run(story)


def test_a_flood_of_refusals_is_held_and_other_tenants_are_not() -> None:
    held = RejectionThrottle(LowPriorityQueue(), at_once=3, hold_s=1.0, most=10)
    naps = [held.hold_s("loud", 100.2) for _ in range(5)]
    assert naps[:3] == [0.0] * 3
    assert all(0.5 <= n <= 1.5 for n in naps[3:])
    assert held.hold_s("quiet", 100.9) == 0.0
    assert held.hold_s("loud", 101.0) == 0.0, "another second"
    assert held.holding == 0


def test_only_so_many_refusals_are_held_at_one_time() -> None:
    async def story() -> None:
        held = RejectionThrottle(LowPriorityQueue(), at_once=0, hold_s=60.0, most=2)
        task = asyncio.create_task(held.wait(held.hold_s("loud", 1.0)))
        let_go = asyncio.Event()
        held.later(0.0, let_go.set)
        await asyncio.sleep(0)
        assert held.holding == 2
        assert held.hold_s("loud", 1.0) == 0.0
        await let_go.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert held.holding == 0
        assert held.hold_s("loud", 1.0) > 0.0

    asyncio.run(story())


def test_refusals_that_are_held_leave_in_groups_and_none_too_early() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        held = RejectionThrottle(LowPriorityQueue())
        left: list[tuple[int, float]] = []
        began = loop.time()
        naps = [0.001 * i for i in range(40)]
        for i, nap in enumerate(naps):
            held.later(nap, lambda i=i: left.append((i, loop.time())))
        assert held.holding == 40
        assert len(held._groups) <= 6, "one timer for each hundredth of a second"
        await until(lambda: len(left) == 40)
        assert [i for i, _ in left] == list(range(40))
        assert all(at >= began + naps[i] for i, at in left)
        assert held.holding == 0
        assert not held._groups

    asyncio.run(story())


def test_of_a_group_only_a_few_leave_in_one_turn_of_the_loop() -> None:
    async def story() -> None:
        held = RejectionThrottle(LowPriorityQueue())
        turn = 0
        left: list[int] = []
        for _ in range(20):
            held.later(0.0, lambda: left.append(turn))
        while len(left) < 20:
            await asyncio.sleep(0)
            turn += 1
        assert max(Counter(left).values()) <= 2
        assert held.holding == 0

    asyncio.run(story())


def test_one_tenants_refused_outcomes_do_not_hold_anothers(monkeypatch: Any) -> None:
    """RejectionThrottle goes by tenant on every route."""

    async def story(harness: Harness) -> None:
        seen: list[str] = []

        def hold_s(tenant: str, _now: float) -> float:
            seen.append(tenant)
            return 0.0

        harness.app.throttle.hold_s = hold_s  # type: ignore[method-assign]
        await harness.publish(limits=[TenantLimit("*", concurrent=0, rate=1)])
        told = json.dumps({"model": MODEL, "outcomes": []}).encode()
        for who in ("acme", "bolt"):
            for _ in range(2):
                await harness.call("POST", "/v1/outcomes", told, auth=f"Bearer wv_{who}")
            await harness.call("POST", PREDICT, body(1.0), auth=f"Bearer wv_{who}")
        assert seen == ["acme", "acme", "bolt", "bolt"]

    run(story)
