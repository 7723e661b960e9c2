"""The same answer for the same key: one event, one execution, and nobody else's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from inference.harness import Harness, route, run, until

from windvane.inference.idempotency import Idempotency
from windvane.ports.idempotency import Kept

KEY = {"idempotency-key": "once"}


@dataclass
class FakeStore:
    """Holds what it is given, without an end."""

    held: dict[bytes, Kept] = field(default_factory=dict)
    leases: list[float] = field(default_factory=list)

    async def reserve(self, place: bytes, digest: bytes, lease_s: float) -> Kept | None:
        await asyncio.sleep(0)
        self.leases.append(lease_s)
        found = self.held.get(place)
        if found is None:
            self.held[place] = Kept(digest)
        return found

    async def keep(self, place: bytes, kept: Kept, ttl_s: float) -> None:
        assert ttl_s > 0.0
        self.held[place] = kept

    async def forget(self, place: bytes) -> None:
        self.held.pop(place, None)


def test_a_repeated_request_gets_the_first_answer_and_makes_no_event() -> None:
    store = FakeStore()

    async def story(harness: Harness) -> None:
        await harness.publish()
        first = await harness.predict(1.0, headers=KEY)
        again = await harness.predict(1.0, headers=KEY)
        assert again.body == first.body, "the same bytes, with the event's id"
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert len(harness.spool.events) == 1
        assert harness.predictor().batches == [[1.0]]
        assert harness.services.under_way == 0

    run(story, idempotency=Idempotency(store))


def test_another_body_under_the_same_key_is_422() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        other = await harness.predict(2.0, headers=KEY)
        assert (other.status, other.code) == (422, "GAT-116")

    run(story, idempotency=Idempotency(FakeStore()))


def test_keys_are_each_tenants_and_models_own() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish(route(), route("other"))
        mine = await harness.predict(1.0, headers=KEY)
        theirs = await harness.predict(2.0, headers=KEY, auth="Bearer wv_bolt")
        other = await harness.predict(3.0, headers=KEY, model="other")
        assert [a.status for a in (mine, theirs, other)] == [200] * 3
        assert len({a.json["request_id"] for a in (mine, theirs, other)}) == 3

    run(story, idempotency=Idempotency(FakeStore()))


def test_while_the_first_is_answered_the_second_is_told_to_wait() -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        predictor = harness.hold()
        first = asyncio.create_task(harness.predict(1.0, headers=KEY))
        await until(predictor.started.is_set)
        second = await harness.predict(1.0, headers=KEY)
        assert (second.status, second.code, second.headers["retry-after"]) == (409, "GAT-117", "1")
        predictor.let_go()
        assert (await first).status == 200

    run(story, idempotency=Idempotency(FakeStore()))


def test_what_had_no_answer_may_be_sent_again() -> None:
    store = FakeStore()

    async def story(harness: Harness) -> None:
        await harness.publish()
        harness.predictor().fails = lambda _row: True
        assert (await harness.predict(1.0, headers=KEY)).status == 503
        assert store.held == {}
        bad = await harness.call("POST", "/v1/models/late/predict", b"{", headers=KEY)
        assert bad.status == 400
        harness.predictor().fails = lambda _row: False
        assert (await harness.predict(1.0, headers=KEY)).status == 200
        harness.spool.full = True
        assert (await harness.predict(1.0, headers={"idempotency-key": "b"})).status == 503
        assert len(store.held) == 1

    run(story, idempotency=Idempotency(store))


def test_a_key_that_cannot_be_one_is_none() -> None:
    store = FakeStore()

    async def story(harness: Harness) -> None:
        await harness.publish()
        for odd in ("", "k" * 256, "é"):
            assert (await harness.predict(1.0, headers={"idempotency-key": odd})).status == 200
        assert store.held == {}

    run(story, idempotency=Idempotency(store))
