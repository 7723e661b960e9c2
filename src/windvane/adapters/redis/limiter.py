"""The limiter of many machines: one script in Redis, which is atomic and has one clock."""

from __future__ import annotations

import hashlib
import logging
import secrets
import struct
from collections import deque
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from windvane.adapters.redis.batching import TickBatcher
from windvane.adapters.redis.server import NoScript, Server, Unreachable
from windvane.core.admission import FREE, Limit, RateLimitDecision
from windvane.ports.limits import Limiter

_log = logging.getLogger(__name__)

DEADLINE_S = 0.025
LEASE_S = 90.0
_CONNECTIONS = 4
_AT_ONCE = 3  # one connection is left to those who give places back
_MOST_IN_A_CALL = 64
_MOST_WAITING = 4_096
_MOST_LEAVING = 10_000
_LEAVING_IN_A_CALL = 1_000
_MOST_KNOWN = 65_536
_US = 1e6
# A ring is one string of 8 bytes an admission; Redis takes 512 MiB at most.
_MOST_RATE = 10_000_000

_SCRIPT = Path(__file__).with_name("limits.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()


class _Place(NamedTuple):
    """A request's places in Redis: its id in each of these sets."""

    id: str
    keys: tuple[bytes, ...]


class _Known(NamedTuple):
    """A limit as the script is told of it."""

    limit: Limit
    keys: tuple[bytes, ...]
    places: bytes
    args: tuple[bytes, bytes, bytes]


class _Question(NamedTuple):
    limits: Sequence[Limit]
    now: float
    id: str
    known: list[_Known]


class RedisLimiter:
    """Exact over all machines that use the same Redis, by Redis' own clock.

    A request is decided in one step; those of one turn of the event loop go in one call. If
    Redis does not answer within ``deadline_s``, or cannot write, ``local`` decides until it is
    back: then each machine counts for itself, which is logged. ``local`` belongs to the caller.

    A place under a concurrency cap is held for ``lease_s`` at most, so that a machine that died
    holds none for longer: keep it above the longest deadline of a request.
    ``callers_time`` counts by the ``now`` of ``acquire``, not Redis' clock: for a driven clock,
    and for tests.

    For one event loop. ``open`` connects, and may be left out; ``aclose`` must be called. One
    Redis or one primary with replicas: the keys of a call lie in no one slot of a cluster.
    """

    def __init__(
        self,
        url: str,
        local: Limiter,
        *,
        deadline_s: float = DEADLINE_S,
        lease_s: float = LEASE_S,
        callers_time: bool = False,
    ) -> None:
        self._server = Server(url, "limits", _CONNECTIONS)
        self._server.when_back.append(self._let_go)
        self._local = local
        self._deadline_s = deadline_s
        self._lease_us = round(lease_s * _US)
        self._callers_time = callers_time
        self._asking: TickBatcher[_Question, RateLimitDecision] = TickBatcher(
            self._server, self._ask, self._ask_local, self.release,
            deadline_s=deadline_s, most=1 if callers_time else _MOST_IN_A_CALL,
            at_once=_AT_ONCE, waiting=_MOST_WAITING,
        )  # fmt: skip
        self._known: dict[Limit, _Known] = {}
        self._prefix = secrets.token_hex(6)
        self._count = 0
        self._leaving: deque[tuple[bytes, str]] = deque()
        self._letting_go = False
        self._dropped = False

    @property
    def at_once(self) -> bool:
        return False

    @property
    def degraded(self) -> bool:
        return self._server.down

    @property
    def leaving(self) -> int:
        """Places that Redis has not been told of yet."""
        return len(self._leaving) + self._letting_go

    async def open(self) -> None:
        """Connect, within a second; without Redis it begins degraded and goes on trying."""
        await self._server.open()

    def acquire(
        self, limits: Sequence[Limit], now: float
    ) -> RateLimitDecision | Awaitable[RateLimitDecision]:
        known = [
            self._know(limit) for limit in dict.fromkeys(limits) if limit.rate or limit.concurrent
        ]
        if not known:
            return FREE
        if self._server.down:
            return self._local.acquire(limits, now)
        self._count += 1
        return self._asking.ask(_Question(limits, now, f"{self._prefix}-{self._count:x}", known))

    def release(self, decision: RateLimitDecision) -> None:
        """Given back in the background, with others; what cannot be told is freed by its lease."""
        place = decision.places
        if place is None:
            return
        if not isinstance(place, _Place):
            self._local.release(decision)
            return
        self._leave(place)

    async def aclose(self) -> None:
        """Give back what is held, if Redis is there, and disconnect."""
        if not self._server.down and self._leaving and not self._letting_go:
            await self._give_back()
        await self._server.aclose()

    async def _ask(
        self, questions: Sequence[_Question], within_s: float
    ) -> list[RateLimitDecision]:
        keys: list[bytes] = []
        args: list[object] = [0, self._lease_us]
        if self._callers_time:
            args[0] = round(questions[0].now * _US)
        for question in questions:
            args += question.id, len(question.known)
            for known in question.known:
                keys += known.keys
                args += known.args
        try:
            flat = await self._call(keys, args, within_s)
        except Unreachable:
            # Perhaps they were let in, only too late for us.
            for question in questions:
                self._leave(_place(question))
            raise
        return [
            _decision(question, *flat[4 * i : 4 * i + 4]) for i, question in enumerate(questions)
        ]

    async def _call(self, keys: list[bytes], args: list[object], within_s: float) -> list[int]:
        rest = (len(keys), *keys, *args)
        fair_s = self._deadline_s
        try:
            return await self._server.ask("EVALSHA", _SHA, *rest, within_s=within_s, fair_s=fair_s)
        except NoScript:  # a Redis that was started anew; with the script in hand it keeps it
            return await self._server.ask("EVAL", _SCRIPT, *rest, within_s=within_s, fair_s=fair_s)

    async def _ask_local(self, question: _Question) -> RateLimitDecision:
        decision = self._local.acquire(question.limits, question.now)
        return decision if isinstance(decision, RateLimitDecision) else await decision

    def _leave(self, place: _Place) -> None:
        for key in place.keys:
            if len(self._leaving) >= _MOST_LEAVING:
                if not self._dropped:
                    self._dropped = True
                    _log.warning("over %d places wait to be given back", _MOST_LEAVING)
                return
            self._leaving.append((key, place.id))
        self._let_go()

    def _let_go(self) -> None:
        if self._leaving and not self._letting_go and not self._server.down:
            self._letting_go = self._server.spawn_soon(self._give_back())

    async def _give_back(self) -> None:
        """Until none is left; those of a call that failed are told again when Redis is back."""
        self._letting_go = True
        try:
            while self._leaving and not self._server.down:
                count = min(len(self._leaving), _LEAVING_IN_A_CALL)
                batch = [self._leaving.popleft() for _ in range(count)]
                try:
                    await self._remove(batch)
                except Unreachable:
                    self._leaving.extend(batch[: _MOST_LEAVING - len(self._leaving)])
            self._dropped = False
        finally:
            self._letting_go = False

    async def _remove(self, batch: list[tuple[bytes, str]]) -> None:
        by_key: dict[bytes, list[str]] = {}
        for key, place in batch:
            by_key.setdefault(key, []).append(place)
        for key, places in by_key.items():
            await self._server.ask("ZREM", key, *places, within_s=self._deadline_s)

    def _know(self, limit: Limit) -> _Known:
        known = self._known.get(limit)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[limit] = known = _know(limit)
        return known


def _know(limit: Limit) -> _Known:
    """The limit's keys: the tenant readable, the whole name and window by hash, so that no two
    limits can meet in one key, whatever their names hold."""
    tenant = quote(limit.name.partition("/")[0], safe="", errors="surrogatepass")
    name = limit.name.encode("utf-8", "surrogatepass")
    window = struct.pack("<qd", limit.rate, limit.per_s)
    log = hashlib.blake2b(window + name, digest_size=16).hexdigest()
    held = hashlib.blake2b(name, digest_size=16).hexdigest()
    rate = limit.rate
    if rate > _MOST_RATE:
        _log.error("limit %s: %d is too many to count; no rate is kept", limit.name, rate)
        rate = 0
    ring = f"wv:rate:{tenant}:{log}".encode()
    places = f"wv:busy:{tenant}:{held}".encode()
    keys = ((ring,) if rate else ()) + ((places,) if limit.concurrent else ())
    per_us = max(1, round(limit.per_s * _US))
    return _Known(limit, keys, places, (b"%d" % rate, b"%d" % per_us, b"%d" % limit.concurrent))


def _place(question: _Question) -> _Place:
    places = tuple(known.places for known in question.known if known.limit.concurrent)
    return _Place(question.id, places)


def _decision(
    question: _Question, which: int, left: int, reset_us: int, wait_us: int
) -> RateLimitDecision:
    limit = question.known[which - 1].limit if which else None
    if wait_us:
        return RateLimitDecision(limit, 0, reset_us / _US, wait_us / _US)
    place = _place(question)
    return RateLimitDecision(limit, left, reset_us / _US, 0.0, place if place.keys else None)
