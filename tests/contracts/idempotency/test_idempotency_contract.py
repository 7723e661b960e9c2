"""What every store of idempotency keys keeps to, on SQLite and on a real Valkey."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from windvane.adapters.redis import RedisIdempotency
from windvane.adapters.sqlite import SqliteIdempotency
from windvane.ports.idempotency import IdempotencyStore, StoredAnswer

_numbers = count()
LONG_S = 60.0
PATIENT_S = 10.0
DIGEST, OTHER = hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()


@dataclass
class World:
    """Opens further handles on what one store holds, as other workers do."""

    make: Callable[[], Any]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[IdempotencyStore]:
        store = self.make()
        await store.open()
        try:
            yield store
        finally:
            await store.aclose()


@pytest.fixture(params=["sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "sqlite":
        path = tmp_path / "idempotency.db"
        return World(lambda: SqliteIdempotency(path, deadline_s=PATIENT_S))
    url = request.getfixturevalue("valkey").url
    return World(lambda: RedisIdempotency(url, deadline_s=PATIENT_S))


def fresh() -> bytes:
    return hashlib.sha256(b"%d-%d" % (os.getpid(), next(_numbers))).digest()


async def soon(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not await done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_an_answer_is_given_back_bit_for_bit_to_every_worker(world: World) -> None:
    async def run() -> None:
        place, kept = fresh(), StoredAnswer(DIGEST, "event-1", bytes(range(256)) * 10)
        async with world.opened() as one, world.opened() as other:
            assert await one.reserve(place, "r1", DIGEST, LONG_S) is None
            held = await other.reserve(place, "r2", DIGEST, LONG_S)
            assert held == StoredAnswer(DIGEST, "", None)
            await one.keep(place, "r1", kept, LONG_S)
            assert await other.reserve(place, "r3", OTHER, LONG_S) == kept
            assert await one.reserve(place, "r4", DIGEST, LONG_S) == kept
            assert await one.reserve(fresh(), "r5", DIGEST, LONG_S) is None
            assert (one.failures, other.failures, one.degraded) == (0, 0, False)

    asyncio.run(run())


def test_an_empty_answer_is_an_answer(world: World) -> None:
    async def run() -> None:
        place = fresh()
        async with world.opened() as store:
            await store.reserve(place, "r1", DIGEST, LONG_S)
            await store.keep(place, "r1", StoredAnswer(DIGEST, "e", b""), LONG_S)
            assert await store.reserve(place, "r2", DIGEST, LONG_S) == StoredAnswer(
                DIGEST, "e", b""
            )

    asyncio.run(run())


def test_of_many_at_once_exactly_one_takes_the_place(world: World) -> None:
    async def run() -> None:
        place = fresh()
        async with world.opened() as one, world.opened() as other:
            found = await asyncio.gather(
                *((one, other)[i % 2].reserve(place, f"r{i}", DIGEST, LONG_S) for i in range(60))
            )
            assert sum(held is None for held in found) == 1
            assert one.failures + other.failures == 0

    asyncio.run(run())


def test_a_place_that_is_forgotten_is_free_again(world: World) -> None:
    async def run() -> None:
        place = fresh()
        async with world.opened() as one, world.opened() as other:
            await one.reserve(place, "r1", DIGEST, LONG_S)
            await one.forget(place, "r1")
            assert await other.reserve(place, "r2", OTHER, LONG_S) is None

    asyncio.run(run())


def test_who_comes_after_its_lease_changes_nothing_of_the_next_holder(world: World) -> None:
    async def run() -> None:
        place = fresh()
        async with world.opened() as slow, world.opened() as other:
            await slow.reserve(place, "slow", DIGEST, 0.01)
            taken = []

            async def free() -> bool:
                taken.append(await other.reserve(place, "next", OTHER, LONG_S))
                return taken[-1] is None

            await soon(free)
            await slow.forget(place, "slow")
            await slow.keep(place, "slow", StoredAnswer(DIGEST, "s", b"slow"), LONG_S)
            assert await slow.reserve(place, "third", OTHER, LONG_S) == StoredAnswer(OTHER)
            await other.keep(place, "next", StoredAnswer(OTHER, "n", b"next"), LONG_S)
            assert await slow.reserve(place, "third", OTHER, LONG_S) == StoredAnswer(
                OTHER, "n", b"next"
            )

    asyncio.run(run())


def test_an_answer_ends_with_its_time(world: World) -> None:
    async def run() -> None:
        place = fresh()
        async with world.opened() as store:
            await store.reserve(place, "r1", DIGEST, LONG_S)
            await store.keep(place, "r1", StoredAnswer(DIGEST, "e", b"x"), 0.02)

            async def free() -> bool:
                return await store.reserve(place, "r2", OTHER, LONG_S) is None

            await soon(free)

    asyncio.run(run())


def test_an_answer_that_is_too_large_is_not_kept_and_its_place_is_free(world: World) -> None:
    async def run() -> None:
        place = fresh()
        async with world.opened() as store:
            await store.reserve(place, "r1", DIGEST, LONG_S)
            await store.keep(place, "r1", StoredAnswer(DIGEST, "e", bytes(2 << 20)), LONG_S)
            assert await store.reserve(place, "r2", DIGEST, LONG_S) is None

    asyncio.run(run())


def test_what_was_kept_outlives_the_worker(world: World) -> None:
    async def run() -> None:
        place, kept = fresh(), StoredAnswer(DIGEST, "e", b"x")
        async with world.opened() as store:
            await store.reserve(place, "r1", DIGEST, LONG_S)
            await store.keep(place, "r1", kept, LONG_S)
        async with world.opened() as successor:
            assert await successor.reserve(place, "r2", DIGEST, LONG_S) == kept

    asyncio.run(run())
