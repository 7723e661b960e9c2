"""Redis away, slow, back; calls that go together; what lies in Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from contracts.limits.worlds import answer, fresh, soon

from windvane.adapters.redis import BadRedis, RedisLimiter
from windvane.adapters.shared_memory import SharedLimiter
from windvane.core.admission import Limit, RateLimitDecision

DEADLINE_S = 0.025
# What a busy machine may add to a deadline.
MARGIN_S = 0.5


@asynccontextmanager
async def limiter_at(url: str, **options: Any) -> AsyncIterator[RedisLimiter]:
    local = SharedLimiter(None, 0, solo=True)
    limiter = RedisLimiter(url, local, **{"deadline_s": 5.0, **options})
    try:
        yield limiter
    finally:
        await limiter.aclose()
        local.close()


async def acquire(limiter: RedisLimiter, *limits: Limit) -> RateLimitDecision:
    return await answer(limiter.acquire(limits, time.monotonic()))


async def command(limiter: RedisLimiter, *words: object) -> Any:
    return await limiter._server.ask(*words, within_s=5.0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_redis_killed_limits_go_on_here_and_redis_back_they_are_shared_again(
    mortal_valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    limit = Limit(fresh(), 3, 3_600.0, 3)

    async def outage() -> None:
        async with limiter_at(mortal_valkey.url) as limiter:
            await limiter.open()
            held = await acquire(limiter, limit)
            assert (held.remaining, limiter.degraded) == (2, False)
            mortal_valkey.kill()
            # This machine counts from here on, by itself and exactly.
            answers = [await acquire(limiter, limit) for _ in range(5)]
            assert limiter.degraded
            assert [a.admitted for a in answers] == [True] * 3 + [False] * 2
            assert len(warnings(caplog)) == 1
            assert "does not serve limits" in warnings(caplog)[0]
            for one in answers:
                limiter.release(one)
            limiter.release(held)
            mortal_valkey.start()
            await soon(lambda: not limiter.degraded, "redis is found again")
            assert len(warnings(caplog)) == 2
            assert "serves limits again" in warnings(caplog)[1]
            # A new Redis knows nothing of what was; scripts are sent again.
            assert (await acquire(limiter, limit)).remaining == 2
            assert not limiter.degraded

    asyncio.run(outage())


@pytest.mark.parametrize("opened", [True, False])
def test_redis_paused_every_request_is_answered_within_the_deadline(
    mortal_valkey: Any, opened: bool
) -> None:
    async def pause() -> None:
        limit = Limit(fresh(), 1_000)
        async with limiter_at(mortal_valkey.url, deadline_s=DEADLINE_S) as limiter:
            if opened:
                await limiter.open()
            mortal_valkey.pause()
            try:
                waits: list[float] = []

                async def timed() -> None:
                    began = time.monotonic()
                    assert (await acquire(limiter, limit)).admitted
                    waits.append(time.monotonic() - began)

                await asyncio.gather(*(timed() for _ in range(300)))
                assert max(waits) < DEADLINE_S + MARGIN_S
                assert limiter.degraded
                # From now on nobody waits.
                assert isinstance(limiter.acquire((limit,), time.monotonic()), RateLimitDecision)
            finally:
                mortal_valkey.resume()
            await soon(lambda: not limiter.degraded, "redis is found again")

    asyncio.run(pause())


def test_it_begins_without_redis(mortal_valkey: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def begin() -> None:
        async with limiter_at(mortal_valkey.url) as limiter:
            mortal_valkey.kill()
            await limiter.open()
            assert limiter.degraded
            assert (await acquire(limiter, Limit(fresh(), 1))).admitted
            mortal_valkey.start()
            await soon(lambda: not limiter.degraded, "redis is found")

    asyncio.run(begin())
    assert len(warnings(caplog)) == 2


def test_a_redis_that_cannot_write_is_as_good_as_none(
    mortal_valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def full() -> None:
        limit = Limit(fresh(), 2)
        async with limiter_at(mortal_valkey.url) as limiter:
            assert (await acquire(limiter, limit)).remaining == 1
            await command(limiter, "CONFIG", "SET", "maxmemory", "1")
            assert (await acquire(limiter, limit)).remaining == 1  # counted here
            assert limiter.degraded
            await command(limiter, "CONFIG", "SET", "maxmemory", "0")
            await soon(lambda: not limiter.degraded, "redis takes writes again")
            assert (await acquire(limiter, limit)).remaining == 0  # counted there

    asyncio.run(full())
    assert "memory" in warnings(caplog)[0]


def test_probes_come_ever_slower_and_no_request_probes(mortal_valkey: Any) -> None:
    async def away() -> None:
        async with limiter_at(mortal_valkey.url) as limiter:
            mortal_valkey.kill()
            for _ in range(1_000):
                await acquire(limiter, Limit(fresh(), 5))
            server = limiter._server
            first = server._pause_s
            await soon(lambda: server._pause_s > 3 * first, "it probes")
            assert len(server._tasks) == 1

    asyncio.run(away())


async def calls_of(limiter: RedisLimiter) -> int:
    stats = await command(limiter, "INFO", "commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def test_requests_of_one_turn_go_in_one_call(valkey: Any) -> None:
    async def together() -> None:
        limit = Limit(fresh(), 50)
        async with limiter_at(valkey.url) as limiter:
            await acquire(limiter, limit)
            before = await calls_of(limiter)
            answers = await asyncio.gather(*(acquire(limiter, limit) for _ in range(60)))
            assert await calls_of(limiter) - before == 1
            assert [a.admitted for a in answers] == [True] * 49 + [False] * 11

    asyncio.run(together())


def test_a_caller_that_left_gives_its_place_back(valkey: Any) -> None:
    async def leave() -> None:
        limit = Limit(fresh(), concurrent=1)
        async with limiter_at(valkey.url) as limiter:
            await limiter.open()
            task = asyncio.ensure_future(answer(limiter.acquire((limit,), 0.0)))
            await asyncio.sleep(0)
            task.cancel()
            deadline = time.monotonic() + 20
            while not (await acquire(limiter, limit)).admitted:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)

    asyncio.run(leave())


def test_an_answer_that_came_too_late_holds_no_place(mortal_valkey: Any) -> None:
    """Redis let the request in, but we had decided here by then: its place is given back."""

    async def late() -> None:
        limit = Limit(fresh(), concurrent=1)
        async with limiter_at(mortal_valkey.url, deadline_s=DEADLINE_S) as limiter:
            await limiter.open()
            mortal_valkey.pause()
            here = await acquire(limiter, limit)
            assert (here.admitted, limiter.degraded) == (True, True)
            mortal_valkey.resume()
            await soon(lambda: not limiter.degraded, "redis is found again")
            deadline = time.monotonic() + 20
            while not (await acquire(limiter, limit)).admitted:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)

    asyncio.run(late())


def test_what_waits_to_be_given_back_is_bounded(
    mortal_valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def flood() -> None:
        limit = Limit(fresh(), concurrent=20)
        async with limiter_at(mortal_valkey.url) as limiter:
            taken = await acquire(limiter, limit)
            mortal_valkey.kill()
            assert (await acquire(limiter, limit)).admitted
            for _ in range(12_000):
                limiter.release(taken)
            assert limiter.leaving <= 10_000

    asyncio.run(flood())
    assert sum("wait to be given back" in text for text in warnings(caplog)) == 1


def test_keys_say_whose_they_are_and_expire(valkey: Any) -> None:
    async def look() -> None:
        tenant = fresh("acme{x}*")
        async with limiter_at(valkey.url, lease_s=30.0) as limiter:
            await acquire(limiter, Limit(tenant, 5, 120.0, 5), Limit(f"{tenant}/m", 5, 120.0))
            found = [k.decode() for k in await command(limiter, "KEYS", "wv:*acme*")]
            own = tenant.replace("{", "%7B").replace("}", "%7D").replace("*", "%2A")
            mine = [key for key in found if key.split(":")[2] == own]
            assert sorted(key.split(":")[1] for key in mine) == ["busy", "rate", "rate"]
            for key in mine:
                left_s = await command(limiter, "TTL", key)
                assert 60 < left_s <= (90 if ":busy:" in key else 180)

    asyncio.run(look())


def test_redis_own_clock_counts_not_the_callers(valkey: Any) -> None:
    async def clocks() -> None:
        limit = Limit(fresh(), 2, 3_600.0)
        async with limiter_at(valkey.url) as one, limiter_at(valkey.url) as other:
            assert (await answer(one.acquire((limit,), 5.0))).remaining == 1
            assert (await answer(other.acquire((limit,), 5e9))).remaining == 0
            refused = await answer(one.acquire((limit,), 9e9))
            assert not refused.admitted
            assert 3_500 < refused.retry_after_s <= 3_600

    asyncio.run(clocks())


@pytest.mark.parametrize(
    "url",
    ["", "http://host", "redis://", "host:6379", "redis://u:hush@host:port/0", "unix://",
     "redis://u:hush@host/words", "redis://h/0?health_check_interval=hush"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    local = SharedLimiter(None, 0, solo=True)
    with pytest.raises(BadRedis, match="RED-101") as refused:
        RedisLimiter(url, local)
    local.close()
    assert "hush" not in f"{refused.value} {refused.value.__cause__}"


def test_the_password_is_never_logged(mortal_valkey: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def wrong() -> None:
        url = f"unix://someone:hu%24h@{mortal_valkey.socket}"
        async with limiter_at(url) as limiter:
            await limiter.open()
            assert limiter.degraded
            assert (await acquire(limiter, Limit(fresh(), 1))).admitted

    with caplog.at_level(logging.DEBUG):
        asyncio.run(wrong())
    assert len(warnings(caplog)) == 1
    assert "hu$h" not in caplog.text
    assert "hu%24h" not in caplog.text


def test_a_rate_that_no_ring_can_hold_is_not_kept_and_said(
    valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def huge() -> None:
        async with limiter_at(valkey.url) as limiter:
            assert (await acquire(limiter, Limit(fresh(), 1 << 60, 60.0, 1))).admitted
            assert not limiter.degraded

    asyncio.run(huge())
    assert "is too many to count" in caplog.text


def test_more_than_may_wait_are_decided_here(mortal_valkey: Any) -> None:
    async def crowd() -> None:
        limit = Limit(fresh(), 10_000)
        async with limiter_at(mortal_valkey.url, deadline_s=1.0) as limiter:
            await limiter.open()
            mortal_valkey.pause()
            asked = [asyncio.ensure_future(acquire(limiter, limit)) for _ in range(6_000)]
            await soon(lambda: sum(t.done() for t in asked) >= 6_000 - 4_096, "answered here")
            mortal_valkey.resume()
            answers = await asyncio.gather(*asked)
            assert all(a.admitted for a in answers)

    asyncio.run(crowd())
