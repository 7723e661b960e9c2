"""Whether the console can answer, and how what it depends on is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

import anyio
import anyio.to_thread
from pydantic import BaseModel

from windvane.apps.console.answering import ReadService
from windvane.apps.console.api import ErrorOut
from windvane.core.errors import WindvaneError
from windvane.core.health import (
    Dependency,
    Readiness,
    WatcherFacts,
    judge_database,
    judge_disk,
    judge_log_storage,
    judge_routing_file,
    judge_unseen_watchers,
    judge_watchers,
    readiness,
)
from windvane.ports.clock import Clock
from windvane.ports.event_log import EventLog
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.observe_watchers import observe_watchers

_log = logging.getLogger(__name__)
ESSENTIAL = ("database",)  # without it no page can be made
WITHIN_S = 2.0
FRESH_S = 5.0


class DependencyOut(BaseModel):
    name: str
    state: str
    code: str
    why: str


class ReadyOut(BaseModel):
    """``status`` is ready, degraded or unavailable; ``code``, ``message`` and ``hint`` are those of
    an error, "" where there is none."""

    status: str
    dependencies: list[DependencyOut]
    code: str = ""
    message: str = ""
    hint: str = ""


class BoundedLook:
    """Looks at something that may hang: on a thread, one at a time, for WITHIN_S at most, and not
    again before FRESH_S are over. Strangers may ask as often as they like."""

    def __init__(self, look: Callable[[], int | None], what: str) -> None:
        self._look = look
        self._what = what
        self._looking = False
        self._at = float("-inf")
        self._found: tuple[int | None, str] = (None, "")
        self._lock = anyio.Lock()

    async def found(self) -> tuple[int | None, str]:
        """What it gave, and why it failed ("" where it did not)."""
        async with self._lock:
            if self._looking:
                return None, f"{self._what} still does not answer"
            if time.monotonic() - self._at > FRESH_S:
                self._found = await self._try()
                self._at = time.monotonic()
            return self._found

    async def _try(self) -> tuple[int | None, str]:
        def work() -> int | None:
            self._looking = True  # here, for who waits for a thread may leave before
            try:
                return self._look()
            finally:
                self._looking = False

        try:
            with anyio.fail_after(WITHIN_S):
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True), ""
        except TimeoutError:
            return None, f"{self._what} did not answer within {WITHIN_S:g} s"
        except Exception as error:  # of whatever library: it is down, and the log says why
            _log.warning("/readyz: %s: %s: %s", self._what, type(error).__name__, error)
            return None, f"{self._what} cannot be used: {type(error).__name__}"


class ReadinessService:
    """``log``, ``feed`` and ``disk`` (the free bytes of the fullest) are left out of the answer
    where the console has none."""

    def __init__(
        self,
        reads: ReadService,
        clock: Clock,
        log: EventLog | None,
        feed: RoutingFeed | None,
        disk: Callable[[], int] | None = None,
    ) -> None:
        self._reads = reads
        self._clock = clock
        self._log = BoundedLook(lambda: _check(log), "the storage of the log") if log else None
        self._disk = BoundedLook(disk, "the disk") if disk else None
        self._feed = BoundedLook(lambda: _seq(feed), "the routing file") if feed else None

    async def damaged_files(self) -> int | None:
        """Of the log; None where nobody could look."""
        return None if self._log is None else (await self._log.found())[0]

    async def look(self) -> tuple[HTTPStatus, ReadyOut]:
        """503 only where the console cannot do its own work."""
        problem: ErrorOut | None = None
        watchers: WatcherFacts | None = None
        wall = self._clock.wall()
        try:
            watchers = await self._reads.ask_shared("readyz", lambda tx: observe_watchers(tx, wall))
        except WindvaneError as error:
            problem = ErrorOut.of(error)
        found = [judge_database("" if problem is None else "the control database does not answer")]
        if self._log is not None:
            damaged, why = await self._log.found()
            found.append(judge_log_storage(why, damaged or 0))
        if self._disk is not None:
            found.append(judge_disk(*await self._disk.found()))
        found += judge_unseen_watchers() if watchers is None else judge_watchers(watchers)
        if self._feed is not None:
            seq, why = await self._feed.found()
            wanted = None if watchers is None else watchers.routing_seq
            found.append(judge_routing_file(seq, wanted, why))
        return _answer(found, problem)


def _check(log: EventLog) -> int:
    log.check_storage()
    return log.damaged_files()


def _seq(feed: RoutingFeed | None) -> int | None:
    table = feed.latest() if feed is not None else None
    return None if table is None else table.seq


def _answer(found: Sequence[Dependency], problem: ErrorOut | None) -> tuple[HTTPStatus, ReadyOut]:
    word = readiness(found, ESSENTIAL)
    out = ReadyOut(
        status=word.value,
        dependencies=[
            DependencyOut(name=one.name, state=one.state.value, code=one.code, why=one.why)
            for one in found
        ],
    )
    if problem is not None:
        out.code, out.message, out.hint = problem.code, problem.message, problem.hint
    unavailable = word is Readiness.UNAVAILABLE
    return (HTTPStatus.SERVICE_UNAVAILABLE if unavailable else HTTPStatus.OK), out
