"""Batching across requests and tenants: what arrived in this turn of the loop runs in the next.

No timer: an idle gateway answers at once, a busy one fills its batches. A version whose rows
take long, or that waits for another process, runs on a thread of its own, one batch at a time,
so that it delays nobody; its next batch is whatever came in meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from typing import Any, Protocol

from windvane.core.execution import CLOSED, Breaker, BreakerPolicy
from windvane.ports.runtime import Predictor

Outputs = list[float | Exception]
BREAKER = BreakerPolicy()
_THREAD_NICENESS = 5
_SMOOTHING = 0.2
_LONG = 5.0
_TO_A_THREAD = 3
_BACK = 50


class Waiter(Protocol):
    """Who waits for a job's outputs; a future is one. ``set_result`` does not raise."""

    def done(self) -> bool: ...
    def set_result(self, result: Outputs, /) -> None: ...


class Job:
    """The rows of one request for one version, and who waits for them."""

    __slots__ = ("deadline", "rows", "timer", "waiter")

    def __init__(self, rows: Sequence[Sequence[Any]], waiter: Waiter, deadline: float) -> None:
        self.rows = rows
        self.waiter = waiter
        self.deadline = deadline
        self.timer: asyncio.TimerHandle | None = None


class Lane:
    """One loaded version and the rows that wait for it.

    ``row_s`` is what a row cost lately, in seconds; ``apart`` whether it runs on a thread, and
    ``against`` how many executions one after another said that it should not be so.
    """

    __slots__ = (
        "against",
        "apart",
        "breaker",
        "busy",
        "executor",
        "jobs",
        "model",
        "predictor",
        "row_s",
        "took_rows",
        "took_s",
        "used",
        "version",
        "waiting",
    )

    def __init__(
        self, model: str, version: str, predictor: Predictor, row_s: float, *, apart: bool = False
    ) -> None:
        self.model = model
        self.version = version
        self.predictor = predictor
        self.row_s = row_s
        self.took_s = row_s
        self.took_rows = 1.0
        self.apart = apart or predictor.blocking
        self.against = 0
        self.jobs: list[Job] = []
        self.waiting = 0
        self.busy = 0
        self.used = 0.0
        self.breaker: Breaker = CLOSED
        self.executor: ThreadPoolExecutor | None = None

    @property
    def idle(self) -> bool:
        return not self.busy and not self.jobs

    def wait_s(self) -> float:
        """About how long a row that comes now waits for its turn."""
        return (self.waiting + self.busy) * self.row_s

    def close(self) -> None:
        if self.executor is not None:
            self.executor.shutdown(wait=False)
        self.predictor.close()


class NextTickBatcher:
    """Collects rows by lane and runs them at the next tick.

    ``max_rows`` bounds a batch. ``inline_s`` is the longest that one batch may hold the loop:
    longer ones are cut, and a version that needs more for a single row moves to a thread, until
    its executions are short again. A request that cannot be cut and would hold the loop for five
    times that runs apart too.
    ``on_result(lane, jobs, rows, failed)`` hears of every execution, ``on_end()`` when all
    outputs that there are have been handed out.
    """

    def __init__(
        self,
        on_result: Callable[[Lane, int, int, bool], None] = lambda *_: None,
        *,
        max_rows: int = 1_024,
        inline_s: float = 0.002,
    ) -> None:
        self._on_result = on_result
        self.on_end: Callable[[], None] = _nothing
        self._max_rows = max_rows
        self._inline_s = inline_s
        self._waiting: list[Lane] = []
        self._scheduled = False

    def submit(
        self, lane: Lane, rows: Sequence[Sequence[Any]], deadline: float
    ) -> asyncio.Future[Outputs]:
        """The rows' outputs, an exception in the place of each that failed.

        ``deadline`` on the monotonic clock; a job that is still waiting then gets TimeoutError.
        """
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        self.enlist(future, lane, rows, deadline)
        return future

    def enlist(
        self, waiter: Waiter, lane: Lane, rows: Sequence[Sequence[Any]], deadline: float
    ) -> None:
        """The same for somebody who is no future."""
        job = Job(rows, waiter, deadline)
        # Busy between two turns of the loop is only who runs apart; its end looks for more.
        if not lane.jobs and not lane.busy:
            self._schedule(lane)
        lane.jobs.append(job)
        lane.waiting += len(rows)
        if lane.apart or lane.busy or self._is_long(lane, len(rows)):
            loop = asyncio.get_running_loop()
            job.timer = loop.call_later(max(0.0, deadline - time.monotonic()), self._expire, job)

    def _is_long(self, lane: Lane, rows: int) -> bool:
        return rows > 1 and rows * lane.row_s > _LONG * self._inline_s

    def _schedule(self, lane: Lane) -> None:
        self._waiting.append(lane)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        lanes, self._waiting = self._waiting, []
        for lane in lanes:
            jobs = self._take(lane)
            rows = _rows_of(jobs)
            if lane.apart or (len(jobs) == 1 and self._is_long(lane, len(rows))):
                self._run_apart(lane, jobs, rows)
            else:
                self._run_here(lane, jobs, rows)
        self.on_end()

    def _run_here(self, lane: Lane, jobs: list[Job], rows: list[Sequence[Any]]) -> None:
        if lane.jobs:  # the rest has its turn after the loop has looked at its sockets
            self._schedule(lane)
        if not jobs:
            return
        lane.busy = len(rows)
        began = time.perf_counter()
        outputs = _execute(lane.predictor, rows)
        took_s = time.perf_counter() - began
        self._ended(lane, jobs, outputs, took_s)
        if len(rows) == 1:
            self._weigh(lane, took_s > self._inline_s, _TO_A_THREAD)

    def _run_apart(self, lane: Lane, jobs: list[Job], rows: list[Sequence[Any]]) -> None:
        if not jobs:
            return
        lane.busy = len(rows)
        if lane.executor is None:
            lane.executor = ThreadPoolExecutor(1, f"lane-{lane.model}", _yield_to_the_loop)
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(lane.executor, _execute, lane.predictor, rows)

        def ended(done: asyncio.Future[Outputs]) -> None:
            failure = done.exception()
            failed: Outputs = [_as_exception(failure)] if failure is not None else []
            outputs = failed * len(rows) or done.result()
            took_s = time.perf_counter() - began
            self._ended(lane, jobs, outputs, took_s)
            self._weigh(lane, took_s < self._inline_s / 4, _BACK)
            self.on_end()
            if lane.jobs:
                self._schedule(lane)

        running.add_done_callback(ended)

    def _take(self, lane: Lane) -> list[Job]:
        """The jobs of the next batch: those that somebody still waits for, up to the bound."""
        bound = self._max_rows
        if not lane.apart and lane.row_s > 0.0:
            bound = max(1, min(bound, int(self._inline_s / lane.row_s)))
        taken: list[Job] = []
        seen = rows = 0
        for job in lane.jobs:
            if not job.waiter.done():
                if taken and rows + len(job.rows) > bound:
                    break
                taken.append(job)
                rows += len(job.rows)
            lane.waiting -= len(job.rows)
            seen += 1
        del lane.jobs[:seen]
        return taken

    def _ended(self, lane: Lane, jobs: list[Job], outputs: Outputs, took_s: float) -> None:
        rows = len(outputs)
        lane.busy = 0
        # Time and rows apart: a lone row, which is dear, must not count as much as a full batch.
        lane.took_s += _SMOOTHING * (took_s - lane.took_s)
        lane.took_rows += _SMOOTHING * (rows - lane.took_rows)
        lane.row_s = lane.took_s / lane.took_rows
        at = 0
        for job in jobs:
            end = at + len(job.rows)
            if job.timer is not None:
                job.timer.cancel()
            if not job.waiter.done():
                job.waiter.set_result(outputs[at:end])
            at = end
        failed = not any(isinstance(output, float) for output in outputs)
        self._on_result(lane, len(jobs), rows, failed)

    def _weigh(self, lane: Lane, against: bool, enough: int) -> None:
        """Whether the lane stays where it runs. One slow row may be a hiccup of the machine;
        several one after another are the version's own. Between the two bounds it stays."""
        lane.against = lane.against + 1 if against else 0
        if lane.against >= enough:
            lane.against = 0
            lane.apart = not lane.apart or lane.predictor.blocking

    def _expire(self, job: Job) -> None:
        if not job.waiter.done():
            late: Outputs = [TimeoutError("no answer before the deadline")]
            job.waiter.set_result(late * len(job.rows))
            self.on_end()


def _rows_of(jobs: list[Job]) -> list[Sequence[Any]]:
    return [row for job in jobs for row in job.rows]


def _execute(predictor: Predictor, rows: Sequence[Sequence[Any]]) -> Outputs:
    """One execution; if it fails, each row by itself, so that one bad row hurts no other."""
    try:
        outputs: list[float] = predictor.predict(rows).tolist()
        if len(outputs) != len(rows):
            raise ValueError(f"the version gave {len(outputs)} outputs for {len(rows)} rows")
        return [o if isfinite(o) else ValueError(f"the version gave {o}") for o in outputs]
    except Exception as error:
        if len(rows) == 1:
            return [error]
        return [_execute(predictor, [row])[0] for row in rows]


def _as_exception(failure: BaseException) -> Exception:
    return failure if isinstance(failure, Exception) else RuntimeError(repr(failure))


def _nothing() -> None:
    pass


def _yield_to_the_loop() -> None:
    """On Linux a thread has a niceness of its own: the loop comes first."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _THREAD_NICENESS)
