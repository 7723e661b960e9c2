"""Answers kept in a real Valkey: found, expired, and simply not found whenever it is away."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windvane.adapters.redis import BadRedis, RedisCache
from windvane.ports.shared_cache import SharedCache

MARGIN_S = 0.5
DEADLINE_S = 0.010
_prefixes = count()


def fresh() -> bytes:
    return b"%d-%d-" % (os.getpid(), next(_prefixes))


@asynccontextmanager
async def cache_at(url: str, deadline_s: float = 5.0) -> AsyncIterator[RedisCache]:
    cache = RedisCache(url, deadline_s=deadline_s)
    try:
        yield cache
    finally:
        await cache.aclose()


async def kept(
    cache: SharedCache, values: Mapping[bytes, tuple[Any, ...]], ttl_s: float = 60.0
) -> None:
    """Put, and wait until all of it is found."""
    cache.put_many(values, ttl_s)
    deadline = time.monotonic() + 20
    while None in await cache.get_many(list(values)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


async def soon(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


FLOATS = st.floats(allow_nan=False)
OUTPUTS = st.lists(
    FLOATS | st.lists(FLOATS, max_size=4) | st.lists(st.lists(FLOATS, max_size=2), max_size=2),
    min_size=1, max_size=3,
).map(tuple)  # fmt: skip


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    held=st.dictionaries(st.binary(max_size=40), OUTPUTS, max_size=20),
    asked=st.lists(st.binary(max_size=40), max_size=20),
)
def test_it_gives_back_what_was_put_bit_for_bit_and_nothing_else(
    valkey: Any, held: dict[bytes, tuple[Any, ...]], asked: list[bytes]
) -> None:
    async def run() -> None:
        mine = fresh()
        async with cache_at(valkey.url) as cache:
            values = {mine + key: value for key, value in held.items()}
            await kept(cache, values)
            keys = [*values, *(mine + key for key in asked)]
            found = await cache.get_many(keys)
            assert found == [values.get(key) for key in keys]
            assert [repr(v) for v in found] == [repr(values.get(k)) for k in keys], "also -0.0"

    asyncio.run(run())


def test_another_worker_finds_it(valkey: Any) -> None:
    async def run() -> None:
        key = fresh()
        async with cache_at(valkey.url) as one, cache_at(valkey.url) as other:
            await kept(one, {key: (0.1,)})
            assert await other.get_many([key, b"?"]) == [(0.1,), None]
            await kept(other, {key: (0.1,)})
            assert await one.get_many([]) == []

    asyncio.run(run())


def test_it_is_gone_after_its_time(valkey: Any) -> None:
    async def run() -> None:
        key = fresh()
        async with cache_at(valkey.url) as cache:
            await kept(cache, {key: (1.5,)})
            left_ms = await cache._server.ask("PTTL", b"wv:outputs:" + key, within_s=5.0)
            assert 0 < left_ms <= 60_000
            cache.put_many({key: (2.5,)}, ttl_s=0.05)
            began = time.monotonic()
            while await cache.get_many([key]) != [None]:
                assert time.monotonic() < began + 20
                await asyncio.sleep(0.01)
            cache.put_many({key: (2.0,)}, ttl_s=0.0)
            assert await cache.get_many([key]) == [None]

    asyncio.run(run())


def test_requests_of_one_turn_go_in_one_call(valkey: Any) -> None:
    async def run() -> None:
        mine = fresh()
        async with cache_at(valkey.url) as cache:
            await kept(cache, {mine + b"%d" % i: (float(i),) for i in range(40)})
            before = await reads(cache)
            found = await asyncio.gather(
                *(cache.get_many([mine + b"%d" % i, mine + b"?"]) for i in range(40))
            )
            assert found == [[(float(i),), None] for i in range(40)]
            assert await reads(cache) == before + 1

    asyncio.run(run())


async def reads(cache: RedisCache) -> int:
    stats = await cache._server.ask("INFO", "commandstats", within_s=5.0)
    return stats.get("cmdstat_mget", {}).get("calls", 0)


def test_something_else_under_the_key_is_nothing(valkey: Any) -> None:
    async def run() -> None:
        key = fresh()
        async with cache_at(valkey.url) as cache:
            await cache._server.ask("SET", b"wv:outputs:" + key, b"short", within_s=5.0)
            assert await cache.get_many([key]) == [None]
            assert not cache.degraded

    asyncio.run(run())


def test_redis_killed_nothing_is_found_and_redis_back_it_is_used_again(
    mortal_valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        key = fresh()
        async with cache_at(mortal_valkey.url) as cache:
            await cache.open()
            await kept(cache, {key: (1.0,)})
            mortal_valkey.kill()
            for _ in range(50):
                assert await cache.get_many([key]) == [None]
                cache.put_many({key: (1.0,)}, 60.0)
            assert cache.degraded
            assert len(warnings(caplog)) == 1
            mortal_valkey.start()
            await soon(lambda: not cache.degraded)
            assert len(warnings(caplog)) == 2
            await kept(cache, {key: (2.0,)})

    asyncio.run(run())


def test_redis_paused_nobody_waits_longer_than_the_deadline(mortal_valkey: Any) -> None:
    async def run() -> None:
        async with cache_at(mortal_valkey.url, DEADLINE_S) as cache:
            await cache.open()
            mortal_valkey.pause()
            waits: list[float] = []

            async def timed() -> None:
                began = time.monotonic()
                assert await cache.get_many([b"a", b"b"]) == [None, None]
                waits.append(time.monotonic() - began)

            await asyncio.gather(*(timed() for _ in range(300)))
            assert max(waits) < DEADLINE_S + MARGIN_S
            assert cache.degraded
            mortal_valkey.resume()
            await soon(lambda: not cache.degraded)

    asyncio.run(run())


def test_what_is_on_its_way_is_bounded(
    mortal_valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with cache_at(mortal_valkey.url) as cache:
            await cache.open()
            mortal_valkey.pause()
            for i in range(30):
                cache.put_many({b"%d-%d" % (i, j): (1.0,) for j in range(1_000)}, 60.0)
            assert len(cache._puts) <= 10_000
            mortal_valkey.resume()
            await soon(lambda: not cache._puts and not cache._writing)

    asyncio.run(run())
    assert sum("dropping" in text for text in warnings(caplog)) == 1


def test_putting_without_a_loop_harms_nobody(valkey: Any) -> None:
    cache = RedisCache(valkey.url)
    cache.put_many({b"x": (1.0,)}, 1.0)
    asyncio.run(cache.aclose())


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadRedis, match="RED-101"):
        RedisCache("memcached://host")
