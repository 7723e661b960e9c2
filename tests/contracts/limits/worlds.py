"""One way to ask every limiter, as several workers who share it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Protocol, TypeVar

from windvane.adapters.redis import RedisLimiter
from windvane.adapters.shared_memory import SharedLimiter, shared_fd
from windvane.core.admission import Limit, RateLimitDecision

_T = TypeVar("_T")
_names = count()
PATIENT_S = 10.0
"""Enough that a busy machine never makes a limiter decide without its peers."""


def fresh(tenant: str = "t") -> str:
    """A tenant that nobody has asked about."""
    return f"{tenant}{os.getpid()}-{next(_names)}"


def until(condition: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.005)


async def soon(condition: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    """``until`` on a running loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.005)


async def answer(given: _T | Awaitable[_T]) -> _T:
    return await given if isinstance(given, Awaitable) else given


class World(Protocol):
    """Workers 0 and 1 share their limits; ``now`` is given."""

    workers: int

    def acquire(
        self, limits: Sequence[Limit], now: float, worker: int = 0
    ) -> RateLimitDecision: ...

    def release(self, taken: RateLimitDecision, worker: int = 0) -> None: ...

    def close(self) -> None: ...


class SharedWorld:
    def __init__(self, *, solo: bool) -> None:
        self.workers = 1 if solo else 2
        self.fd = shared_fd()
        self.limiters = [
            SharedLimiter(self.fd, i, solo=solo, patience_s=PATIENT_S) for i in range(self.workers)
        ]

    def acquire(self, limits: Sequence[Limit], now: float, worker: int = 0) -> RateLimitDecision:
        return self.limiters[worker % self.workers].acquire(limits, now)

    def release(self, taken: RateLimitDecision, worker: int = 0) -> None:
        self.limiters[worker % self.workers].release(taken)

    def close(self) -> None:
        for limiter in self.limiters:
            limiter.close()
        os.close(self.fd)


class RedisWorld:
    def __init__(self, url: str) -> None:
        self.workers = 2
        self._runner = asyncio.Runner()
        self._local = SharedLimiter(None, 0, solo=True)
        self.limiters = [
            RedisLimiter(url, self._local, deadline_s=PATIENT_S, callers_time=True)
            for _ in range(self.workers)
        ]

    def acquire(self, limits: Sequence[Limit], now: float, worker: int = 0) -> RateLimitDecision:
        async def ask() -> RateLimitDecision:
            return await answer(self.limiters[worker].acquire(limits, now))

        taken = self._runner.run(ask())
        assert not self.limiters[worker].degraded
        return taken

    def release(self, taken: RateLimitDecision, worker: int = 0) -> None:
        async def tell() -> None:
            self.limiters[worker].release(taken)
            await soon(lambda: not self.limiters[worker].leaving, "the place was given back")

        self._runner.run(tell())

    def close(self) -> None:
        async def end() -> None:
            for limiter in self.limiters:
                await limiter.aclose()

        self._runner.run(end())
        self._runner.close()
        self._local.close()
