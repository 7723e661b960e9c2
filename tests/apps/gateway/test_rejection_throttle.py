"""What comes after a refusal gives way: to whom, and what happens to it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from inference.harness import TenantLimit, until
from apps.gateway.wire import BOLT, GOOD, Client, Wire, on_the_wire, post

from windvane.inference.low_priority_queue import LowPriorityQueue


@pytest.fixture(autouse=True)
def way() -> None:
    """In place of the two ways of the other stories: here the protocol chooses."""


async def over_its_limit(wire: Wire, *clients: Client) -> None:
    """From now on what comes on these connections comes after a refusal."""
    await wire.harness.publish(limits=[TenantLimit("acme", rate=1, per_s=60.0)])
    for client in (clients[0], *clients):
        client.send(post())
        status = (await client.answer()).status
    assert status == 429


def test_what_comes_after_a_refusal_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six loud requests and a quiet one lie ready in the same turn of the loop, and the quiet one
    is read last: it is looked at before all of them but those of that turn."""

    async def story(wire: Wire) -> None:
        harness, asked = wire.harness, list[str]()
        limit = harness.limiter.take
        async with AsyncExitStack() as stack:
            loud = [await stack.enter_async_context(wire.client()) for _ in range(6)]
            await over_its_limit(wire, *loud)
            quiet = await stack.enter_async_context(wire.client())
            quiet.send(post(extra=BOLT))
            assert (await quiet.answer()).status == 200
            monkeypatch.setattr(
                harness.limiter,
                "take",
                lambda limits, now: asked.append("loud") or limit(limits, now),
            )
            authenticate = harness.services.authenticator.admit

            def admit(header: bytes, *rest: Any) -> Any:
                if header == b"Bearer wv_bolt":
                    asked.append("quiet")
                return authenticate(header, *rest)

            monkeypatch.setattr(harness.services.authenticator, "admit", admit)
            for client in (*loud, quiet):
                client.send(post(extra=BOLT if client is quiet else GOOD))
            assert [(await c.answer()).status for c in (*loud, quiet)] == [429] * 6 + [200]
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
            await client.flush(wire.harness)
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
            await bad.flush(wire.harness)
            bad.send(endless[1_000:])
            good.send(post())
            assert (await good.answer()).status == 200
            assert b"400" in await bad._reader.readuntil(b"\r\n")
            await bad._reader.read()

    on_the_wire(story)


def test_work_that_fails_takes_none_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        done: list[int] = []
        later = LowPriorityQueue()
        later.put([lambda: done.append(1 // 0), lambda: done.append(1), lambda: done.append(2)])
        await until(lambda: len(done) == 2)
        assert done == [1, 2]

    asyncio.run(story())
    assert "ZeroDivisionError" in caplog.text


def test_a_client_that_goes_while_it_gave_way_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        late: list[Callable[[], None]] = []
        async with wire.client() as client, wire.client() as other:
            await over_its_limit(wire, client, other)
            monkeypatch.setattr(harness.worker, "later", late.append)
            for one in (client, other):
                one.send(post())
            await until(lambda: len(late) == 2)
            for connection in list(wire.state.connections):
                connection.shutdown()
            client.close()
            await until(lambda: len(wire.state.connections) == 1)
            before = wire.straight
            for go_on in late:
                go_on()
            assert wire.straight == before + 1
            said = await other.answer()
            assert (said.status, said.headers["connection"]) == (429, "close")
            assert await other.at_end()

    on_the_wire(story)
