"""Who is refused again and again waits, and what comes after a refusal gives way: to whom, and
what happens to it meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from apps.gateway.test_http_protocol import Client
from apps.gateway.wire import BOLT, GOOD, Wire, on_the_wire, post
from inference.harness import MODEL, Harness, TenantLimit, body, run, until

from windvane.apps.gateway.rejection_throttle import RejectionThrottle
from windvane.inference.low_priority_queue import LowPriorityQueue


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
        first, second = asyncio.Event(), asyncio.Event()
        assert held.hold_s("loud", 1.0) > 0.0
        held.later(0.0, first.set)
        held.later(0.02, second.set)
        assert held.holding == 2
        assert held.hold_s("loud", 1.0) == 0.0
        await first.wait()
        assert held.hold_s("loud", 1.0) > 0.0
        await second.wait()
        assert held.holding == 0

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


def test_one_tenants_refused_outcomes_do_not_hold_anothers() -> None:
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
            await harness.call(
                "POST", "/v1/models/late/predict", body(1.0), auth=f"Bearer wv_{who}"
            )
        assert seen == ["acme", "acme", "bolt", "bolt"]

    run(story)


async def over_its_limit(wire: Wire, *clients: Client) -> None:
    """From now on what comes on these connections comes after a refusal."""
    await wire.harness.publish(limits=[TenantLimit("acme", rate=1, per_s=60.0)])
    status = 0
    for client in (clients[0], *clients):
        status = (await client.ask(post())).status
    assert status == 429


def test_what_comes_after_a_refusal_gives_way_to_others() -> None:
    """Six loud requests and a quiet one lie ready in the same turn of the loop, and the quiet one
    is read last: it is looked at before all of them but those of that turn."""

    async def story(wire: Wire) -> None:
        asked = list[str]()
        async with AsyncExitStack() as stack:
            loud = [await stack.enter_async_context(wire.client()) for _ in range(6)]
            await over_its_limit(wire, *loud)
            quiet = await stack.enter_async_context(wire.client())
            assert (await quiet.ask(post(extra=BOLT))).status == 200
            on_head = wire.harness.app.on_head

            def noting(head: Any, reply: Any) -> Any:
                asked.append("quiet" if b"bolt" in head.headers[b"authorization"] else "loud")
                return on_head(head, reply)

            wire.harness.app.on_head = noting  # type: ignore[method-assign]
            for client in (*loud, quiet):
                client.send(post(extra=BOLT if client is quiet else GOOD))
            assert [(await c.answer()).status for c in (*loud, quiet)] == [429] * 6 + [200]
        assert len(asked) == 7
        assert asked.index("quiet") <= 2, asked

    on_the_wire(story)


@pytest.mark.parametrize(
    ("sent", "status"),
    [(post(), 200), (post(path=b"/v1/models/late/explain"), 404), (post(b" " * 70_000), 413)],
)
def test_what_gave_way_is_answered_whatever_it_is(sent: bytes, status: int) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            await over_its_limit(wire, client)
            await wire.harness.publish(limits=[])
            client.send(sent[:20])
            await client.writer.drain()
            for _ in range(20):
                await asyncio.sleep(0)
            client.send(sent[20:])
            assert (await client.answer()).status == status

    on_the_wire(story)


def test_nonsense_that_gave_way_is_told_so_and_delays_nobody_else() -> None:
    async def story(wire: Wire) -> None:
        endless = post(b"12345", b"/v1/models/" + b"a" * 70_000 + b"/predict")[:-5]
        async with wire.client() as bad, wire.client() as good:
            await over_its_limit(wire, bad, good)
            await wire.harness.publish(limits=[])
            bad.send(endless[:1_000])
            await bad.writer.drain()
            bad.send(endless[1_000:])
            assert (await good.ask(post())).status == 200
            message = await bad.answer()
            assert (message.status, json.loads(message.body)["error"]["code"]) == (414, "GAT-121")
            assert await bad.at_end()

    on_the_wire(story)


def test_a_client_that_goes_while_it_gave_way_costs_nothing() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        late: list[Callable[[], None]] = []
        asked: list[Any] = []
        async with wire.client() as client, wire.client() as other:
            await over_its_limit(wire, client, other)
            harness.worker.defer = late.append  # type: ignore[method-assign]
            client.send(post())
            await until(lambda: len(late) == 1)
            (going,) = [c for c in wire.connections if c._behind]
            other.send(post())
            await until(lambda: len(late) == 2)
            going.drop()
            await until(lambda: len(wire.connections) == 1)
            on_head = harness.app.on_head
            harness.app.on_head = lambda *given: (asked.append(given), on_head(*given))[1]  # type: ignore[method-assign]
            for go_on in late:
                go_on()
            assert (await other.answer()).status == 429
            assert len(asked) == 1, "nobody looked at what the other one had sent"

    on_the_wire(story)
