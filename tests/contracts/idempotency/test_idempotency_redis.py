"""Redis away: nothing is held, nobody waits, and it protects again when it is back."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import Any

import pytest

from windvane.adapters.redis import RedisIdempotency
from windvane.ports.idempotency import StoredAnswer

DIGEST = hashlib.sha256(b"a").digest()
PLACE = hashlib.sha256(b"place").digest()
MARGIN_S = 1.0


def test_redis_killed_and_back(mortal_valkey: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        store = RedisIdempotency(mortal_valkey.url, deadline_s=5.0)
        await store.open()
        assert await store.reserve(PLACE, "r1", DIGEST, 60.0) is None
        mortal_valkey.kill()
        assert await store.reserve(PLACE, "r2", DIGEST, 60.0) is None
        await store.keep(PLACE, "r1", StoredAnswer(DIGEST, "e", b"x"), 60.0)
        await store.forget(PLACE, "r1")
        assert store.failures == 3
        assert store.degraded
        mortal_valkey.start()
        deadline = time.monotonic() + 20
        while store.degraded:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        assert await store.reserve(PLACE, "r3", DIGEST, 60.0) is None
        assert await store.reserve(PLACE, "r4", DIGEST, 60.0) == StoredAnswer(DIGEST)
        await store.aclose()

    asyncio.run(run())
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 2


def test_redis_paused_nobody_waits_longer_than_the_deadline(mortal_valkey: Any) -> None:
    async def run() -> None:
        store = RedisIdempotency(mortal_valkey.url, deadline_s=0.02)
        await store.open()
        mortal_valkey.pause()
        began = time.monotonic()
        found = await asyncio.gather(
            *(store.reserve(bytes([i]) * 32, f"r{i}", DIGEST, 60.0) for i in range(200))
        )
        assert time.monotonic() - began < MARGIN_S
        assert found == [None] * 200
        assert store.failures == 200
        mortal_valkey.resume()
        await store.aclose()

    asyncio.run(run())


def test_something_else_under_the_key_is_nothing(valkey: Any) -> None:
    async def run() -> None:
        store = RedisIdempotency(valkey.url, deadline_s=5.0)
        place = hashlib.sha256(b"else").digest()
        await store._server.ask("SET", b"wv:once:" + place, b"short", within_s=5.0)
        assert await store.reserve(place, "r1", DIGEST, 60.0) is None
        await store.aclose()

    asyncio.run(run())
