"""Answers kept for all machines."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence

from windvane.adapters.redis.batching import TickBatcher
from windvane.adapters.redis.server import Server, Unreachable
from windvane.core.task import OutputRow
from windvane.inference.cache import pack_outputs, unpack_outputs

_log = logging.getLogger(__name__)

DEADLINE_S = 0.010
_PREFIX = b"wv:outputs:"
_MOST_BYTES = 65_536
_CONNECTIONS = 4
_AT_ONCE = 3  # one connection is left to the writer
_KEYS_IN_A_CALL = 64
_MOST_WAITING = 1_024
_MOST_PUTS = 10_000
_PUTS_IN_A_CALL = 500


class RedisCache:
    """Rows of outputs, at most 64 KiB each, under the keys given, each with its own time to live.

    Reading ends within 1.2 times ``deadline_s``, with nothing found where Redis cannot answer;
    after a failure nobody asks until a probe was answered. Writing is in the background, at
    most 10,000 values on their way; what comes beyond is dropped.

    For one event loop. ``open`` connects, and may be left out; ``aclose`` must be called.
    """

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._server = Server(url, "cached answers", _CONNECTIONS)
        self._reading: TickBatcher[Sequence[bytes], list[OutputRow | None]] = TickBatcher(
            self._server, self._read, _nothing, lambda _: None,
            deadline_s=deadline_s, most=_KEYS_IN_A_CALL, at_once=_AT_ONCE, waiting=_MOST_WAITING,
        )  # fmt: skip
        self._deadline_s = deadline_s
        self._puts: deque[tuple[bytes, bytes, int]] = deque()
        self._writing = False
        self._full = False

    @property
    def degraded(self) -> bool:
        """True while Redis is not asked."""
        return self._server.down

    async def open(self) -> None:
        """Connect, within a second."""
        await self._server.open()

    async def get_many(self, keys: Sequence[bytes]) -> list[OutputRow | None]:
        if not keys or self._server.down:
            return [None] * len(keys)
        return await self._reading.ask(keys)

    def put_many(self, values: Mapping[bytes, OutputRow], ttl_s: float) -> None:
        ttl_ms = round(ttl_s * 1e3)
        if ttl_ms < 1 or self._server.down:
            return
        for key, value in values.items():
            if len(self._puts) >= _MOST_PUTS:
                if not self._full:
                    self._full = True
                    _log.warning("over %d answers wait to be cached; dropping", _MOST_PUTS)
                break
            packed = pack_outputs(value)
            if len(packed) <= _MOST_BYTES:
                self._puts.append((_PREFIX + key, packed, ttl_ms))
        if self._puts and not self._writing:
            self._writing = self._server.spawn_soon(self._write())

    async def aclose(self) -> None:
        """Disconnect; what is on its way may be dropped."""
        await self._server.aclose()

    async def _read(
        self, questions: Sequence[Sequence[bytes]], within_s: float
    ) -> list[list[OutputRow | None]]:
        keys = [_PREFIX + key for question in questions for key in question]
        answer = await self._server.ask("MGET", *keys, within_s=within_s, fair_s=self._deadline_s)
        found = iter(answer)
        return [[_value(next(found)) for _ in question] for question in questions]

    async def _write(self) -> None:
        """Until nothing is left; a failure drops all, for a cache that is gone is an empty one."""
        self._writing = True
        try:
            while self._puts:
                count = min(len(self._puts), _PUTS_IN_A_CALL)
                batch = [self._puts.popleft() for _ in range(count)]
                commands = [("PSETEX", key, ttl_ms, value) for key, value, ttl_ms in batch]
                await self._server.ask_all(commands, within_s=10 * self._deadline_s)
            self._full = False
        except Unreachable:
            self._puts.clear()
        finally:
            self._writing = False


async def _nothing(keys: Sequence[bytes]) -> list[OutputRow | None]:
    return [None] * len(keys)


def _value(found: bytes | None) -> OutputRow | None:
    return None if found is None else unpack_outputs(found)
