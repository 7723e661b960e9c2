"""The wire: whole requests go straight, all others uvicorn's way, and no client can tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
import uvloop
from apps.gateway.house import House, TenantLimit, body, run, until
from uvicorn.server import ServerState

from windvane.apps.gateway.later import Later
from windvane.apps.gateway.protocol import protocol_of

WHOLE = body(1.0)
GOOD = b"Authorization: Bearer wv_acme\r\n"
BOLT = b"Authorization: Bearer wv_bolt\r\n"
PREDICT = b"/v1/models/late/predict"


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """One connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    async def flush(self, house: House) -> None:
        """What was sent so far is with the server, by itself."""
        await self._writer.drain()
        for _ in range(20):
            await asyncio.sleep(0)

    async def answer(self) -> Said:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        read = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Said(int(head[0].split()[1]), headers, json.loads(read) if read else None)

    async def at_end(self) -> bool:
        return await self._reader.read(1) == b""

    def close(self) -> None:
        self._writer.close()


def hold(house: House) -> None:
    """Executions run apart from now on, and end when the predictor is let go."""
    house.parts.shelf.lanes[0].apart = True
    house.predictor().hold()


@dataclass
class Wire:
    house: House
    port: int
    state: ServerState
    straight: int = 0
    by_the_book: int = 0

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            client.close()


def post(given: bytes = WHOLE, path: bytes = PREDICT, extra: bytes = GOOD) -> bytes:
    length = b"Content-Length: %d\r\n\r\n" % len(given)
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + extra + length + given


def on_the_wire(
    story: Callable[[Wire], Awaitable[None]], *, connections: int = 100, **settings: Any
) -> None:
    async def told(house: House) -> None:
        gateway, wire = house.gateway, Wire(house, 0, ServerState())
        await house.publish()

        class Counting(protocol_of(gateway)):  # type: ignore[misc]
            def _by_the_book(self, given: Any) -> None:
                wire.by_the_book += 1
                super()._by_the_book(given)

        real = gateway.straight

        def straight(*given: Any) -> bool:
            went = real(*given)
            wire.straight += went
            return went

        gateway.straight = straight  # type: ignore[method-assign]
        config = uvicorn.Config(
            gateway, lifespan="off", access_log=False, limit_concurrency=connections
        )
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Counting(config, wire.state, {}), "127.0.0.1", 0)
        wire.port = server.sockets[0].getsockname()[1]
        try:
            await story(wire)
        finally:
            server.close()
            for connection in list(wire.state.connections):
                connection.transport.abort()
            await until(lambda: not wire.state.connections and not wire.state.tasks)
            await server.wait_closed()

    run(told, loop=uvloop.new_event_loop, **settings)


@pytest.fixture(autouse=True)
def way() -> None:
    """In place of the two ways of the other stories: here the protocol chooses."""


def test_whole_requests_go_straight_and_their_connection_lives_on() -> None:
    async def story(wire: Wire) -> None:
        wire.state.default_headers = [(b"date", b"today")]
        async with wire.client() as client:
            for x in (1.0, 2.0, 3.0):
                client.send(post(body(x)))
                said = await client.answer()
                assert (said.status, said.headers["date"]) == (200, "today")
                assert said.headers["content-type"] == "application/json"
                assert said.body["predictions"][0]["value"] == 1 + x / 1_000
        assert (wire.straight, wire.by_the_book) == (3, 0)
        assert wire.state.total_requests == 3

    on_the_wire(story)


@pytest.mark.parametrize("cut", [10, 60, 120, 200])
def test_a_request_that_comes_in_pieces_gets_the_same_answer(cut: int) -> None:
    async def story(wire: Wire) -> None:
        whole = post()
        async with wire.client() as client:
            client.send(whole[:cut])
            await client.flush(wire.house)
            client.send(whole[cut:], post())
            for _ in range(2):
                said = await client.answer()
                assert (said.status, said.body["predictions"][0]["value"]) == (200, 1.001)

    on_the_wire(story)


def test_a_body_that_stops_half_way_waits_by_the_book_and_not_on_the_short_way() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(post()[:-5])
            await until(lambda: wire.by_the_book == 1)
            client.send(post()[-5:])
            assert (await client.answer()).status == 200
        assert wire.straight == 0

    on_the_wire(story)


def test_a_chunked_body_in_one_read_goes_straight_too() -> None:
    async def story(wire: Wire) -> None:
        half = len(WHOLE) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (WHOLE[:half], WHOLE[half:], b""))
        head = b"POST " + PREDICT + b" HTTP/1.1\r\nHost: x\r\n" + GOOD
        async with wire.client() as client:
            client.send(head, b"Transfer-Encoding: chunked\r\n\r\n", chunks)
            said = await client.answer()
            assert (said.status, said.body["predictions"][0]["value"]) == (200, 1.001)
        assert (wire.straight, wire.by_the_book) == (1, 0)

    on_the_wire(story)


def test_answers_keep_the_order_of_their_requests_whichever_way_these_go() -> None:
    async def story(wire: Wire) -> None:
        get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        async with wire.client() as client:
            client.send(post(body(1.0)), get, post(body(2.0)), post(b"no"), get, post(body(3.0)))
            seen = [await client.answer() for _ in range(6)]
        assert [s.status for s in seen] == [200, 200, 200, 400, 200, 200]
        found = [s.body["predictions"][0]["value"] for s in seen if "predictions" in s.body]
        assert found == [1.001, 1.002, 1.003]

    on_the_wire(story)


def test_what_is_behind_a_slow_request_waits_for_it() -> None:
    async def story(wire: Wire) -> None:
        hold(wire.house)
        async with wire.client() as client:
            client.send(post(body(1.0)), post(body(2.0)))
            await until(lambda: wire.house.parts.under_way == 1)
            await client.flush(wire.house)
            assert wire.house.parts.under_way == 1
            wire.house.predictor().let_go()
            found = [(await client.answer()).body["predictions"][0]["value"] for _ in range(2)]
        assert found == [1.001, 1.002]

    on_the_wire(story)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post(extra=b""), 401),
        (post(b"{"), 400),
        (post(b'{"instances":[{"features":{"x":-1,"n":1,"kind":"van"}}]}'), 422),
        (post(path=b"/v1/models/lat/predict"), 404),
        (post(path=b"/v1/models/late/predict?x=1"), 200),
        (post(path=b"/v1/models/l%61te/predict"), 200),
        (post(path=b"/v1/models/late/explain"), 404),
        (post(extra=GOOD + b"X-Request-Deadline: soon\r\n"), 400),
        (post(extra=GOOD + b"Windvane-Version: 1999-01-01\r\n"), 400),
        (post(extra=GOOD + b"Expect: 100-continue\r\n"), 100),
        (post(b" " * 70_000), 413),
        (b"GET " + PREDICT + b" HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (post(path=b"/v1/models/l\xe4te/predict"), 400),
    ],
)  # fmt: skip
def test_every_kind_of_request_gets_its_status(sent: bytes, status: int) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(sent)
            head = await client._reader.readuntil(b"\r\n")
            assert int(head.split()[1]) == status

    on_the_wire(story)


def test_who_asks_for_the_end_of_the_connection_gets_it() -> None:
    async def story(wire: Wire) -> None:
        for sent in (
            post(extra=GOOD + b"Connection: close\r\n"),
            post().replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            async with wire.client() as client:
                client.send(sent)
                said = await client.answer()
                assert (said.status, said.headers["connection"]) == (200, "close")
                assert await client.at_end()

    on_the_wire(story)


def test_a_worker_that_drains_answers_and_closes() -> None:
    async def story(wire: Wire) -> None:
        hold(wire.house)
        async with wire.client() as early, wire.client() as late:
            early.send(post())
            await until(lambda: wire.house.parts.under_way == 1)
            wire.house.gateway.draining = True
            late.send(post())
            await until(lambda: wire.house.parts.under_way == 2)
            wire.house.predictor().let_go()
            for client in (early, late):
                said = await client.answer()
                assert (said.status, said.headers["connection"]) == (200, "close")
                assert await client.at_end()

    on_the_wire(story)


def test_uvicorns_shutdown_lets_a_straight_request_end() -> None:
    async def story(wire: Wire) -> None:
        hold(wire.house)
        async with wire.client() as client, wire.client() as idle:
            idle.send(post(b"no"))
            assert (await idle.answer()).status == 400
            client.send(post())
            await until(lambda: wire.house.parts.under_way == 1)
            for connection in list(wire.state.connections):
                connection.shutdown()
            assert await idle.at_end()
            wire.house.predictor().let_go()
            said = await client.answer()
            assert (said.status, said.headers["connection"]) == (200, "close")
            assert await client.at_end()

    on_the_wire(story)


def test_a_client_that_went_away_costs_nobody_anything() -> None:
    async def story(wire: Wire) -> None:
        house = wire.house
        hold(house)
        await house.publish(limits=[TenantLimit("*", concurrent=1)])
        async with wire.client() as client:
            client.send(post())
            await until(lambda: house.parts.under_way == 1)
        await until(lambda: not wire.state.connections)
        house.predictor().let_go()
        await until(lambda: house.parts.under_way == 0)
        assert house.limiter.held == 0
        assert len(house.spool.events) == 1, "it was predicted, so it is recorded"
        async with wire.client() as client:
            client.send(post())
            assert (await client.answer()).status == 200

    on_the_wire(story)


def test_a_client_that_leaves_with_a_request_behind_takes_nobodys_answer_with_it() -> None:
    async def story(wire: Wire) -> None:
        house = wire.house
        hold(house)
        async with wire.client() as other, wire.client() as client:
            client.send(post(body(1.0)), post(body(2.0)))
            await until(lambda: any(c.pipeline for c in wire.state.connections))
            other.send(post(body(3.0)))
            await until(lambda: house.parts.under_way == 2)
            # Reading is paused for it, so the loop would not see the client leave for a while.
            next(c for c in wire.state.connections if c.pipeline).transport.abort()
            await until(lambda: len(wire.state.connections) == 1)
            house.predictor().let_go()
            said = await other.answer()
            assert (said.status, said.body["predictions"][0]["value"]) == (200, 1.003)
            await until(lambda: house.parts.under_way == 0)

    on_the_wire(story)


def test_a_held_refusal_keeps_its_connection_busy_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(wire: Wire) -> None:
        house = wire.house
        await house.publish(limits=[TenantLimit("acme", rate=1, per_s=60.0)])
        patience = house.gateway._desk.patience
        monkeypatch.setattr(patience, "_at_once", 0)
        async with wire.client() as loud, wire.client() as quiet:
            loud.send(post(), post(), post())
            assert (await loud.answer()).status == 200
            await until(lambda: patience.holding == 1)
            quiet.send(post(extra=BOLT))
            assert (await quiet.answer()).status == 200
            assert patience.holding == 1, "the next one is not even looked at"
            refused = await loud.answer()
            assert (refused.status, refused.body["error"]["code"]) == (429, "GAT-109")
            assert "ratelimit" in refused.headers

    on_the_wire(story)


async def over_its_limit(wire: Wire, *clients: Client) -> None:
    """From now on what comes on these connections comes after a refusal."""
    await wire.house.publish(limits=[TenantLimit("acme", rate=1, per_s=60.0)])
    for client in (clients[0], *clients):
        client.send(post())
        status = (await client.answer()).status
    assert status == 429


def test_what_comes_after_a_refusal_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six loud requests and a quiet one lie ready in the same turn of the loop, and the quiet one
    is read last: it is looked at before all of them but those of that turn."""

    async def story(wire: Wire) -> None:
        house, asked = wire.house, list[str]()
        limit = house.limiter.take
        async with AsyncExitStack() as stack:
            loud = [await stack.enter_async_context(wire.client()) for _ in range(6)]
            await over_its_limit(wire, *loud)
            quiet = await stack.enter_async_context(wire.client())
            quiet.send(post(extra=BOLT))
            assert (await quiet.answer()).status == 200
            monkeypatch.setattr(
                house.limiter,
                "take",
                lambda limits, now: asked.append("loud") or limit(limits, now),
            )
            authenticate = house.parts.gatekeeper.admit

            def admit(header: bytes, *rest: Any) -> Any:
                if header == b"Bearer wv_bolt":
                    asked.append("quiet")
                return authenticate(header, *rest)

            monkeypatch.setattr(house.parts.gatekeeper, "admit", admit)
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
            await wire.house.publish(limits=[])
            client.send(sent[:20])
            await client.flush(wire.house)
            client.send(sent[20:])
            assert (await client.answer()).status == status

    on_the_wire(story)


def test_nonsense_that_gave_way_is_told_so_and_delays_nobody_else() -> None:
    async def story(wire: Wire) -> None:
        endless = post(b"12345", b"/v1/models/" + b"a" * 70_000 + b"/predict")[:-5]
        async with wire.client() as bad, wire.client() as good:
            await over_its_limit(wire, bad, good)
            await wire.house.publish(limits=[])
            bad.send(endless[:1_000])
            await bad.flush(wire.house)
            bad.send(endless[1_000:])
            good.send(post())
            assert (await good.answer()).status == 200
            assert b"400" in await bad._reader.readuntil(b"\r\n")
            await bad._reader.read()

    on_the_wire(story)


def test_work_that_fails_takes_none_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        done: list[int] = []
        later = Later()
        later.put([lambda: done.append(1 // 0), lambda: done.append(1), lambda: done.append(2)])
        await until(lambda: len(done) == 2)
        assert done == [1, 2]

    asyncio.run(story())
    assert "ZeroDivisionError" in caplog.text


def test_a_client_that_goes_while_it_gave_way_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(wire: Wire) -> None:
        house = wire.house
        late: list[Callable[[], None]] = []
        async with wire.client() as client, wire.client() as other:
            await over_its_limit(wire, client, other)
            monkeypatch.setattr(house.gateway, "later", late.append)
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


def test_more_connections_than_are_allowed_are_told_so() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as first:
            first.send(post())
            assert (await first.answer()).status == 200
            async with wire.client() as second:
                second.send(post())
                assert b"503" in await second._reader.readuntil(b"\r\n")

    on_the_wire(story, connections=2)


def test_where_the_spool_is_full_nothing_of_the_batch_is_answered() -> None:
    async def story(wire: Wire) -> None:
        house = wire.house
        house.spool.full = True
        async with wire.client() as one, wire.client() as other:
            for client in (one, other):
                client.send(post())
            for client in (one, other):
                said = await client.answer()
                assert (said.status, said.body["error"]["code"]) == (503, "GAT-107")
                assert said.headers["retry-after"] == "1"
            house.spool.full = False
            one.send(post())
            assert (await one.answer()).status == 200
        assert house.parts.under_way == 0

    on_the_wire(story)
