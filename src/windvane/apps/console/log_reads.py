"""Questions to the log from pages: a few at once, shared by viewers, and never waited for long."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from windvane.apps.console.answering import TooManyReaders
from windvane.core.errors import WindvaneError

_log = logging.getLogger(__name__)
T = TypeVar("T")
_AT_ONCE = 2
_MOST_WAITING = 32
_HELD = 64
_AGAIN_S = 2.0


@dataclass(frozen=True)  # a generic class with slots cannot be made by its full name
class LogAnswer(Generic[T]):
    """``value`` is None while the log is still read, and ``problem`` says why there is none."""

    value: T | None
    problem: Exception | None = None

    @property
    def pending(self) -> bool:
        return self.value is None and self.problem is None


class _Held:
    """The last answer to one question, and the reading under way."""

    def __init__(self) -> None:
        self.at = float("-inf")
        self.answer: LogAnswer[Any] = LogAnswer(None)
        self.running: Future[Any] | None = None


class LogReads:
    """Reads on threads of its own, so that a slow log keeps nobody from the pages without it.

    Bounded: ``_AT_ONCE`` readings, ``_MOST_WAITING`` that wait, ``_HELD`` answers kept.
    """

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="log-reads")
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, _Held] = OrderedDict()

    def close(self) -> None:
        """What is being read ends by its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(
        self,
        key: Hashable,
        work: Callable[[], T],
        *,
        fresh_s: float,
        wait_s: float,
        stale: bool = False,
    ) -> LogAnswer[T]:
        """What ``work`` returns, read again after ``fresh_s``, waited for at most ``wait_s``; with
        ``stale`` the last answer is given while a new one is read. Raises TooManyReaders."""
        held, running = self._begin(key, work, fresh_s)
        if running is not None and not (stale and not held.answer.pending):
            await asyncio.wait({asyncio.wrap_future(running)}, timeout=wait_s)
            if not stale and not running.done():
                return LogAnswer(None)
        return held.answer

    async def wait_for(
        self, key: Hashable, work: Callable[[], T], *, fresh_s: float, wait_s: float
    ) -> T:
        """As `ask`, and raises what kept it from being read, TooManyReaders where it is late."""
        answer = await self.ask(key, work, fresh_s=fresh_s, wait_s=wait_s)
        if answer.problem is not None:
            raise answer.problem
        if answer.value is None:
            raise TooManyReaders(f"the log was not read within {wait_s:g} s, for others read it")
        return answer.value

    def _begin(
        self, key: Hashable, work: Callable[[], Any], fresh_s: float
    ) -> tuple[_Held, Future[Any] | None]:
        with self._lock:
            held = self._held.setdefault(key, _Held())
            self._held.move_to_end(key)
            kept_s = fresh_s if held.answer.problem is None else min(fresh_s, _AGAIN_S)
            if held.running is not None or self._ticks() - held.at < kept_s:
                return held, held.running
            if sum(one.running is not None for one in self._held.values()) >= _MOST_WAITING:
                raise TooManyReaders(f"{_MOST_WAITING} questions to the log wait already")
            while len(self._held) > _HELD:
                oldest = next(k for k, one in self._held.items() if one.running is None)
                del self._held[oldest]
            running = held.running = self._threads.submit(self._read, held, work)
            return held, running

    def _read(self, held: _Held, work: Callable[[], Any]) -> None:
        answer: LogAnswer[Any]
        try:
            answer = LogAnswer(work())
        except Exception as error:
            if not isinstance(error, WindvaneError):
                _log.exception("a question to the log failed")
            answer = _failed(error)
        with self._lock:
            held.answer, held.at, held.running = answer, self._ticks(), None


def _failed(error: Exception) -> LogAnswer[Any]:
    return LogAnswer(None, error)
