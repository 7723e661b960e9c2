"""Answers under idempotency keys, for all machines."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from windvane.adapters.redis.server import Server, Unreachable
from windvane.ports.idempotency import StoredAnswer

DEADLINE_S = 0.05
_PREFIX = b"wv:once:"
_CONNECTIONS = 8
_AT_ONCE = 7  # one connection is left to those that were given up
_MOST_WAITING = 1_024
_MAX_ENTRY_BYTES = 1 << 20
_HOLDER = 16
# Both touch a place only while it is the holder's own, or nobody's.
_KEEP = b"""local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1"""
_FORGET = b"""local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1"""
_decode = msgspec.msgpack.Decoder(tuple[bytes, str, bytes | None]).decode


class RedisIdempotency:
    """A place is a key that lives for the lease, then for as long as the answer is kept.

    Each call ends within 1.2 times ``deadline_s``. Without Redis nothing is held; after a
    failure nobody asks until a probe was answered. Answers over 1 MiB are not kept. How many
    are kept in all is bounded by Redis' own `maxmemory`.

    For one event loop. ``open`` connects, and may be left out; ``aclose`` must be called.
    """

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self.failures = 0
        self._server = Server(url, "idempotency keys", _CONNECTIONS)
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    @property
    def degraded(self) -> bool:
        return self._server.down

    async def open(self) -> None:
        """Connect, within a second."""
        await self._server.open()

    async def aclose(self) -> None:
        await self._server.aclose()

    async def reserve(
        self, place: bytes, holder: str, digest: bytes, lease_s: float
    ) -> StoredAnswer | None:
        key, value = _PREFIX + place, _value(holder, StoredAnswer(digest))
        try:
            # Once more where what was held ended between the two looks at it.
            for _ in range(2):
                if await self._ask("SET", key, value, "NX", "PX", _ms(lease_s)) is not None:
                    return None
                held = await self._ask("GET", key)
                if held is not None:
                    return _kept(held)
        except Unreachable:
            self.failures += 1
        return None

    async def keep(self, place: bytes, holder: str, kept: StoredAnswer, ttl_s: float) -> None:
        value = _value(holder, kept)
        if len(value) > _MAX_ENTRY_BYTES:
            await self.forget(place, holder)
            return
        await self._run(_KEEP, place, _named(holder), value, _ms(ttl_s))

    async def forget(self, place: bytes, holder: str) -> None:
        await self._run(_FORGET, place, _named(holder))

    async def _run(self, script: bytes, place: bytes, *args: object) -> None:
        try:
            await self._ask("EVAL", script, 1, _PREFIX + place, *args)
        except Unreachable:
            self.failures += 1

    async def _ask(self, *command: object) -> Any:
        """Raises Unreachable, also where too many wait."""
        if self._server.down or self._waiting >= _MOST_WAITING:
            raise Unreachable("not asked")
        began = asyncio.get_running_loop().time()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._places.acquire()
        except TimeoutError:
            raise Unreachable("too many wait") from None
        finally:
            self._waiting -= 1
        try:
            waited = asyncio.get_running_loop().time() - began
            within_s = max(self._deadline_s - waited, 0.2 * self._deadline_s)
            return await self._server.ask(*command, within_s=within_s, fair_s=self._deadline_s)
        finally:
            self._places.release()


def _named(holder: str) -> bytes:
    return hashlib.blake2b(holder.encode(), digest_size=_HOLDER).digest()


def _value(holder: str, kept: StoredAnswer) -> bytes:
    return _named(holder) + msgspec.msgpack.encode((kept.digest, kept.id, kept.body))


def _kept(held: bytes) -> StoredAnswer | None:
    """None for what is not ours."""
    try:
        return StoredAnswer(*_decode(held[_HOLDER:]))
    except msgspec.MsgspecError:
        return None


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1e3))
