"""The gateway on a real socket: every kind of request gets its answer, and nobody else's."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from apps.gateway.wire import BOLT, GOOD, PREDICT, WHOLE, Wire, on_the_wire, post
from inference.harness import TenantLimit, body, until

from windvane.apps.gateway.rejection_throttle import RejectionThrottle
from windvane.inference.low_priority_queue import LowPriorityQueue

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_requests_are_answered_and_their_connection_lives_on() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            for x in (1.0, 2.0, 3.0):
                message = await client.ask(post(body(x)))
                assert message.status == 200
                assert message.headers["content-type"] == "application/json"
                assert json.loads(message.body)["predictions"][0]["value"] == 1 + x / 1_000
        assert len(wire.harness.spool.events) == 3

    on_the_wire(story)


@pytest.mark.parametrize("cut", [10, 60, 120, 200])
def test_a_request_that_comes_in_pieces_gets_the_same_answer(cut: int) -> None:
    async def story(wire: Wire) -> None:
        whole = post()
        async with wire.client() as client:
            client.send(whole[:cut])
            await client.writer.drain()
            for _ in range(20):
                await asyncio.sleep(0)
            client.send(whole[cut:], post())
            for _ in range(2):
                message = await client.answer()
                assert message.status == 200
                assert json.loads(message.body)["predictions"][0]["value"] == 1.001

    on_the_wire(story)


def test_who_is_to_be_refused_is_refused_before_its_body_is_there() -> None:
    """Unknown keys, models and limits: nobody waits for bytes that nobody will look at."""

    async def story(wire: Wire) -> None:
        await wire.harness.publish(limits=[TenantLimit("bolt", rate=1, per_s=600.0)])
        async with wire.client() as client:
            assert (await client.ask(post(extra=BOLT))).status == 200
            for sent, status in (
                (post(extra=b""), 401),
                (post(path=b"/v1/models/lat/predict"), 404),
                (post(extra=BOLT), 429),
                (post(path=b"/v1/models/late/explain"), 404),
            ):
                client.send(sent[:-5])
                assert (await client.answer()).status == status
                client.send(sent[-5:])
            assert (await client.ask(post())).status == 200

    on_the_wire(story)


def test_a_body_that_stops_half_way_holds_its_place_until_the_client_goes() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        await harness.publish(limits=[TenantLimit("acme", concurrent=1)])
        async with wire.client() as client:
            client.send(post()[:-5])
            await until(lambda: harness.services.under_way == 1)
            assert harness.limiter.held == 1
            client.send(post()[-5:])
            assert (await client.answer()).status == 200
            client.send(post()[:-5])
            await until(lambda: harness.services.under_way == 1)
        await until(lambda: harness.services.under_way == 0)
        assert harness.limiter.held == 0
        assert len(harness.spool.events) == 1

    on_the_wire(story)


def test_a_body_that_does_not_arrive_is_given_up_and_the_others_are_not() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as slow, wire.client() as other:
            slow.send(post()[:-5])
            message = await slow.answer()
            assert (message.status, json.loads(message.body)["error"]["code"]) == (408, "GAT-105")
            assert await slow.at_end()
            assert (await other.ask(post())).status == 200
        assert wire.harness.services.under_way == 0

    on_the_wire(story, bounds={"body_s": 0.05, "sweep_s": 0.02})


@pytest.mark.parametrize("path", [PREDICT, b"/v1/outcomes"])
def test_too_many_bytes_are_refused_before_they_have_all_come(path: bytes) -> None:
    async def story(wire: Wire) -> None:
        head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + GOOD
        async with wire.client() as client:
            client.send(head, b"Content-Length: 5001\r\n\r\n")
            message = await client.answer()
            assert (message.status, json.loads(message.body)["error"]["code"]) == (413, "GAT-104")
        async with wire.client() as client:
            client.send(
                head, b"Transfer-Encoding: chunked\r\n\r\n", b"3e8\r\n%b\r\n" % (b"x" * 1_000) * 6
            )
            assert (await client.answer()).status == 413
        exact = b" " * (5_000 - len(WHOLE)) + WHOLE
        async with wire.client() as client:
            assert (await client.ask(post(exact))).status == 200
        assert wire.harness.services.under_way == 0

    on_the_wire(story, max_body=5_000)


def test_a_chunked_body_is_the_same_body() -> None:
    async def story(wire: Wire) -> None:
        half = len(WHOLE) // 2
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (WHOLE[:half], WHOLE[half:], b""))
        head = b"POST " + PREDICT + b" HTTP/1.1\r\nHost: x\r\n" + GOOD
        async with wire.client() as client:
            message = await client.ask(head, b"Transfer-Encoding: chunked\r\n\r\n", chunks)
            assert message.status == 200
            assert json.loads(message.body)["predictions"][0]["value"] == 1.001

    on_the_wire(story)


def test_a_compressed_body_is_the_same_body_and_a_compressed_transfer_is_refused() -> None:
    async def story(wire: Wire) -> None:
        packed = gzip.compress(WHOLE)
        async with wire.client() as client:
            message = await client.ask(post(packed, extra=GOOD + b"Content-Encoding: gzip\r\n"))
            assert message.status == 200
            head = b"POST " + PREDICT + b" HTTP/1.1\r\nHost: x\r\n" + GOOD
            client.send(head, b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
            assert (await client.answer()).status == 501
            assert await client.at_end()

    on_the_wire(story)


def test_answers_keep_the_order_of_their_requests() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(post(body(1.0)), GET, post(body(2.0)), post(b"no"), GET, post(body(3.0)))
            seen = [await client.answer() for _ in range(6)]
        assert [s.status for s in seen] == [200, 200, 200, 400, 200, 200]
        found = [json.loads(s.body) for s in seen]
        values = [f["predictions"][0]["value"] for f in found if "predictions" in f]
        assert values == [1.001, 1.002, 1.003]

    on_the_wire(story)


def test_what_is_behind_a_slow_request_waits_for_it() -> None:
    async def story(wire: Wire) -> None:
        predictor = wire.harness.hold()
        async with wire.client() as client, wire.client() as other:
            client.send(post(body(1.0)), post(body(2.0)))
            await until(lambda: wire.harness.services.under_way == 1)
            assert (await other.ask(GET)).status == 200
            assert wire.harness.services.under_way == 1
            predictor.let_go()
            found = [json.loads((await client.answer()).body) for _ in range(2)]
        assert [f["predictions"][0]["value"] for f in found] == [1.001, 1.002]

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
        (post(extra=GOOD + b"Expect: 100-continue\r\n").removesuffix(WHOLE), 100),
        (post(extra=GOOD + b"Expect: 100-continue\r\n"), 200),
        (post(extra=b"Expect: 100-continue\r\n").removesuffix(WHOLE), 401),
        (post(b" " * 70_000), 413),
        (b"GET " + PREDICT + b" HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"HEAD /v1/outcomes HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (post(path=b"/v1/models/l\xe4te/predict"), 400),
    ],
)  # fmt: skip
def test_every_kind_of_request_gets_its_status(sent: bytes, status: int) -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            client.send(sent)
            head = await client.reader.readuntil(b"\r\n")
            assert int(head.split()[1]) == status

    on_the_wire(story)


def test_what_the_transport_refuses_is_told_as_everything_else_is() -> None:
    async def story(wire: Wire) -> None:
        async with wire.client() as client:
            message = await client.ask(b"nonsense\r\n\r\n")
            found = json.loads(message.body)
            assert (message.status, found["error"]["code"]) == (400, "GAT-120")
            assert message.headers["content-type"] == "application/json"
            assert found["request_id"]
        assert wire.harness.metrics.requests["", "", "GAT-120"] == 1

    on_the_wire(story)


def test_who_asks_for_the_end_of_the_connection_gets_it() -> None:
    async def story(wire: Wire) -> None:
        for sent in (
            post(extra=GOOD + b"Connection: close\r\n"),
            post().replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            async with wire.client() as client:
                message = await client.ask(sent)
                assert (message.status, message.headers["connection"]) == (200, "close")
                assert await client.at_end()

    on_the_wire(story)


def test_a_worker_that_drains_answers_and_closes() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        predictor = harness.hold()
        async with wire.client() as early, wire.client() as late, wire.client() as probe:
            early.send(post())
            await until(lambda: harness.services.under_way == 1)
            harness.worker.draining = True
            late.send(post())
            await until(lambda: harness.services.under_way == 2)
            message = await probe.ask(GET.replace(b"healthz", b"readyz"))
            assert (message.status, json.loads(message.body)["error"]["code"]) == (503, "GAT-106")
            predictor.let_go()
            for client in (early, late):
                message = await client.answer()
                assert (message.status, message.headers["connection"]) == (200, "close")
                assert await client.at_end()

    on_the_wire(story)


def test_a_client_that_went_away_costs_nobody_anything() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        predictor = harness.hold()
        await harness.publish(limits=[TenantLimit("*", concurrent=1)])
        async with wire.client() as client:
            client.send(post())
            await until(lambda: harness.services.under_way == 1)
            await until(predictor.started.is_set)
        for connection in wire.connections:
            connection.drop()
        await until(lambda: not wire.connections)
        predictor.let_go()
        await until(lambda: harness.services.under_way == 0)
        assert harness.limiter.held == 0
        assert len(harness.spool.events) == 1, "it was predicted, so it is recorded"
        async with wire.client() as client:
            assert (await client.ask(post())).status == 200

    on_the_wire(story)


def test_a_client_that_leaves_with_a_request_behind_takes_nobodys_answer_with_it() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        predictor = harness.hold()
        async with wire.client() as other, wire.client() as client:
            client.send(post(body(1.0)), post(body(2.0)))
            await until(lambda: harness.services.under_way == 1)
            (leaving,) = [c for c in wire.connections if c._behind]
            other.send(post(body(3.0)))
            await until(lambda: harness.services.under_way == 2)
            leaving.drop()
            await until(lambda: len(wire.connections) == 1)
            predictor.let_go()
            message = await other.answer()
            assert json.loads(message.body)["predictions"][0]["value"] == 1.003
            await until(lambda: harness.services.under_way == 0)
        answered = {event.features[0] for event in harness.spool.events}
        assert answered == {1.0, 3.0}, "what was behind was never looked at"

    on_the_wire(story)


def test_a_held_refusal_keeps_its_connection_busy_and_no_other() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        await harness.publish(limits=[TenantLimit("acme", rate=1, per_s=60.0)])
        throttle = harness.app.throttle = RejectionThrottle(LowPriorityQueue(), at_once=0)
        async with wire.client() as loud, wire.client() as quiet:
            loud.send(post(), post(), post())
            assert (await loud.answer()).status == 200
            await until(lambda: throttle.holding == 1)
            assert (await quiet.ask(post(extra=BOLT))).status == 200
            assert throttle.holding == 1, "the next one is not even looked at"
            refused = await loud.answer()
            assert (refused.status, json.loads(refused.body)["error"]["code"]) == (429, "GAT-109")
            assert "ratelimit" in refused.headers

    on_the_wire(story)


def test_where_the_spool_is_full_nothing_of_the_batch_is_answered() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        harness.spool.full = True
        async with wire.client() as one, wire.client() as other:
            for client in (one, other):
                client.send(post())
            for client in (one, other):
                message = await client.answer()
                assert (message.status, json.loads(message.body)["error"]["code"]) == (
                    503,
                    "GAT-107",
                )
                assert message.headers["retry-after"] == "1"
            harness.spool.full = False
            assert (await one.ask(post())).status == 200
        assert harness.services.under_way == 0

    on_the_wire(story)


def test_rows_of_several_connections_make_one_execution_and_one_write() -> None:
    async def story(wire: Wire) -> None:
        harness = wire.harness
        writes: list[int] = []
        append = harness.spool.append
        harness.spool.append = lambda *payloads: (writes.append(len(payloads)), append(*payloads))[
            1
        ]  # type: ignore[method-assign]
        predictor = harness.hold()
        async with wire.client() as first, wire.client() as second, wire.client() as third:
            first.send(post(body(1.0)))
            await until(predictor.started.is_set)
            second.send(post(body(2.0)))
            third.send(post(body(3.0)))
            await until(lambda: harness.services.under_way == 3)
            predictor.let_go()
            found = [json.loads((await c.answer()).body) for c in (first, second, third)]
        assert [f["predictions"][0]["value"] for f in found] == [1.001, 1.002, 1.003]
        assert sorted(map(len, predictor.batches)) == [1, 2]
        assert writes == [1, 2]

    on_the_wire(story)
