"""Passwords are hashed on few threads at one time: each takes tens of megabytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

import anyio
import anyio.to_thread

from windvane.core.errors import WindvaneError

T = TypeVar("T")
_AT_ONCE, _MOST_WAITING = 2, 16
_WITHIN_S = 10.0


class TooManyAttempts(WindvaneError):
    """Too many sign-ins failed, for this user or from this address."""

    code: ClassVar[str] = "CSL-109"
    hint = "wait as long as it says; who has a shell on the machine can use `windvane`"

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class HashingThreads:
    """Two passwords at one time, of everybody who signs in or sets one."""

    def __init__(self) -> None:
        self._waiting = 0
        self._limiter: anyio.CapacityLimiter | None = None

    async def work(self, done: Callable[[], T]) -> T:
        """What ``done`` gives; raises TooManyAttempts where that would take too long."""
        if self._waiting >= _MOST_WAITING:
            raise TooManyAttempts(f"{self._waiting} passwords are being checked already", 1.0)
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._waiting += 1
        try:
            with anyio.fail_after(_WITHIN_S):
                return await anyio.to_thread.run_sync(
                    done, limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError as error:
            raise TooManyAttempts("the machine is busy with other passwords", 5.0) from error
        finally:
            self._waiting -= 1
