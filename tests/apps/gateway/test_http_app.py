"""The wire: whole requests go straight, all others uvicorn's way, and no client can tell."""

from __future__ import annotations

import pytest
from inference.harness import TenantLimit, body, until
from apps.gateway.wire import BOLT, GOOD, PREDICT, WHOLE, Wire, hold, on_the_wire, post


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
            await client.flush(wire.harness)
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
        hold(wire.harness)
        async with wire.client() as client:
            client.send(post(body(1.0)), post(body(2.0)))
            await until(lambda: wire.harness.services.under_way == 1)
            await client.flush(wire.harness)
            assert wire.harness.services.under_way == 1
            wire.harness.predictor().let_go()
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
        hold(wire.harness)
        async with wire.client() as early, wire.client() as late:
            early.send(post())
            await until(lambda: wire.harness.services.under_way == 1)
            wire.harness.worker.draining = True
            late.send(post())
            await until(lambda: wire.harness.services.under_way == 2)
            wire.harness.predictor().let_go()
            for client in (early, late):
                said = await client.answer()
                assert (said.status, said.headers["connection"]) == (200, "close")
                assert await client.at_end()

    on_the_wire(story)


def test_uvicorns_shutdown_lets_a_straight_request_end() -> None:
    async def story(wire: Wire) -> None:
        hold(wire.harness)
        async with wire.client() as client, wire.client() as idle:
            idle.send(post(b"no"))
            assert (await idle.answer()).status == 400
            client.send(post())
            await until(lambda: wire.harness.services.under_way == 1)
            for connection in list(wire.state.connections):
                connection.shutdown()
            assert await idle.at_end()
            wire.harness.predictor().let_go()
            said = await client.answer()
            assert (said.status, said.headers["connection"]) == (200, "close")
            assert await client.at_end()

    on_the_wire(story)


def test_a_client_that_went_away_costs_nobody_anything() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        hold(harness)
        await harness.publish(limits=[TenantLimit("*", concurrent=1)])
        async with wire.client() as client:
            client.send(post())
            await until(lambda: harness.services.under_way == 1)
        await until(lambda: not wire.state.connections)
        harness.predictor().let_go()
        await until(lambda: harness.services.under_way == 0)
        assert harness.limiter.held == 0
        assert len(harness.spool.events) == 1, "it was predicted, so it is recorded"
        async with wire.client() as client:
            client.send(post())
            assert (await client.answer()).status == 200

    on_the_wire(story)


def test_a_client_that_leaves_with_a_request_behind_takes_nobodys_answer_with_it() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        hold(harness)
        async with wire.client() as other, wire.client() as client:
            client.send(post(body(1.0)), post(body(2.0)))
            await until(lambda: any(c.pipeline for c in wire.state.connections))
            other.send(post(body(3.0)))
            await until(lambda: harness.services.under_way == 2)
            # Reading is paused for it, so the loop would not see the client leave for a while.
            next(c for c in wire.state.connections if c.pipeline).transport.abort()
            await until(lambda: len(wire.state.connections) == 1)
            harness.predictor().let_go()
            said = await other.answer()
            assert (said.status, said.body["predictions"][0]["value"]) == (200, 1.003)
            await until(lambda: harness.services.under_way == 0)

    on_the_wire(story)


def test_a_held_refusal_keeps_its_connection_busy_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        await harness.publish(limits=[TenantLimit("acme", rate=1, per_s=60.0)])
        patience = harness.app.throttle
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
        harness = wire.harness
        harness.spool.full = True
        async with wire.client() as one, wire.client() as other:
            for client in (one, other):
                client.send(post())
            for client in (one, other):
                said = await client.answer()
                assert (said.status, said.body["error"]["code"]) == (503, "GAT-107")
                assert said.headers["retry-after"] == "1"
            harness.spool.full = False
            one.send(post())
            assert (await one.answer()).status == 200
        assert harness.services.under_way == 0

    on_the_wire(story)
