"""Batching across requests and tenants: what arrived in this turn of the loop runs in the next.

No timer: an idle gateway answers at once, a busy one fills its batches. A version whose rows
take long, or that waits for another process, runs on a thread of its own, one batch at a time,
so that it delays nobody; its next batch is whatever came in meanwhile. A remote version has as
many executions under way as it allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from windvane.core.execution import EVERYBODY
from windvane.core.task import Task
from windvane.inference.bisecting import Bisection
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.model_queue import Job, ModelQueue, RowOutputs, Waiter
from windvane.ports.runtime import Predictor, RowsRefused, RuntimeFailed
from windvane.ports.tracing import CALLING, RequestTrace

_log = logging.getLogger(__name__)
_THREAD_NICENESS = 5
_SMOOTHING = 0.2
_LONG = 5.0
_TO_A_THREAD = 3
_BACK = 50

OnResult = Callable[[ModelQueue, Sequence[Job], RowOutputs, str | None], None]


class NextTickBatcher:
    """Collects rows by version and runs them at the next tick.

    ``max_rows`` bounds a batch. ``inline_s`` is the longest that one batch may hold the loop:
    longer ones are cut, and a version that needs more for a single row moves to a thread, until
    its executions are short again. A request that cannot be cut and would hold the loop for five
    times that runs on a thread too.
    ``on_result(queue, jobs, outputs, failed)`` hears of every execution, ``failed`` being whose
    fault it was that no row has outputs, None if one has; ``on_begin()`` when batches are about
    to run, ``on_end()`` when all outputs that there are have been handed out. An
    execution that fails is repeated in halves, which give way, until the rows at fault are by
    themselves.
    """

    def __init__(
        self,
        on_result: OnResult | None = None,
        *,
        max_rows: int = 1_024,
        inline_s: float = 0.002,
        low_priority: LowPriorityQueue | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._on_result = on_result or _nothing_noted
        self.on_begin: Callable[[], None] = _nothing
        self.on_end: Callable[[], None] = _nothing
        self._max_rows = max_rows
        self._inline_s = inline_s
        self._low_priority = low_priority or LowPriorityQueue()
        self._monotonic = monotonic
        self._stopwatch = stopwatch
        self._waiting: list[ModelQueue] = []
        self._scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(
        self, queue: ModelQueue, rows: Sequence[Sequence[Any]], deadline: float
    ) -> asyncio.Future[RowOutputs]:
        """The rows' outputs, an exception in the place of each that failed.

        ``deadline`` on the monotonic clock; a job that is still waiting then gets TimeoutError.
        """
        future: asyncio.Future[RowOutputs] = asyncio.get_running_loop().create_future()
        self.enlist(future, queue, rows, deadline)
        return future

    def enlist(
        self, waiter: Waiter, queue: ModelQueue, rows: Sequence[Sequence[Any]], deadline: float,
        tenant: str = EVERYBODY, trace: RequestTrace | None = None, owed_at: float = 0.0,
        *, background: bool = False,
    ) -> None:  # fmt: skip
        """The same for somebody who is no future; ``tenant`` says whose rows they are, ``trace``
        is their request's. The execution of a remote version goes on until ``owed_at``, where
        that is later: else who waits for less time would make it look hung. ``background`` rows
        are no client's."""
        if queue.closed:
            waiter.set_result([RuntimeFailed("the version was unloaded")] * len(rows))
            return
        job = Job(rows, waiter, deadline, tenant)
        job.background = background
        if owed_at > deadline:
            job.until = owed_at
        if trace is not None:
            job.trace = trace
        # Busy between two turns of the loop is only who runs apart; its end looks for more.
        if not queue.jobs and not queue.full:
            self._schedule(queue)
        queue.jobs.append(job)
        queue.waiting += len(rows)
        if queue.threaded or queue.busy or queue.remote or self._is_long(queue, len(rows)):
            loop = asyncio.get_running_loop()
            left = max(0.0, deadline - self._monotonic())
            job.timer = loop.call_later(left, self._expire, job)

    def _is_long(self, queue: ModelQueue, rows: int) -> bool:
        return rows > 1 and rows * queue.row_s > _LONG * self._inline_s

    def _schedule(self, queue: ModelQueue) -> None:
        self._waiting.append(queue)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        queues, self._waiting = self._waiting, []
        self.on_begin()
        try:
            for queue in queues:
                if not queue.full:  # by a search for bad rows, say; its end looks for more
                    self._run(queue)
        finally:
            self.on_end()

    def _run(self, queue: ModelQueue) -> None:
        """What fails here fails these jobs, and nobody else's."""
        jobs = self._take(queue)
        try:
            self._execute(queue, jobs)
        except Exception as error:
            _log.exception("model %s version %s: a batch was lost", queue.model, queue.version)
            queue.busy = queue.running = 0
            for job in jobs:
                if not job.waiter.done():
                    job.waiter.set_result([error] * len(job.rows))
            if queue.jobs:
                self._schedule(queue)

    def _execute(self, queue: ModelQueue, jobs: list[Job]) -> None:
        rows = [row for job in jobs for row in job.rows]
        if queue.remote is not None:
            self._run_remote(queue, jobs, rows)
        elif queue.threaded or (len(jobs) == 1 and self._is_long(queue, len(rows))):
            self._run_on_thread(queue, jobs, rows)
        else:
            self._run_here(queue, jobs, rows)

    def _run_here(self, queue: ModelQueue, jobs: list[Job], rows: list[Sequence[Any]]) -> None:
        if queue.jobs:  # the rest has its turn after the loop has looked at its sockets
            self._schedule(queue)
        if not jobs:
            return
        queue.busy = len(rows)
        began = self._stopwatch()
        outputs = execute(queue.local, queue.task, rows)
        took_s = self._stopwatch() - began
        self._ended(queue, jobs, rows, outputs, took_s)
        if len(rows) == 1:
            self._weigh(queue, took_s > self._inline_s, _TO_A_THREAD)

    def _run_on_thread(self, queue: ModelQueue, jobs: list[Job], rows: list[Sequence[Any]]) -> None:
        if not jobs:
            return
        queue.busy = len(rows)
        queue.running = 1
        if queue.executor is None:
            name = f"queue-{queue.model}"
            queue.executor = ThreadPoolExecutor(1, name, yield_to_the_loop)
        began = self._stopwatch()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(queue.executor, execute, queue.local, queue.task, rows)

        def ended(done: asyncio.Future[RowOutputs | Exception]) -> None:
            failure = done.exception()
            outputs = _as_exception(failure) if failure is not None else done.result()
            took_s = self._stopwatch() - began
            queue.running = 0
            self._ended(queue, jobs, rows, outputs, took_s)
            self._weigh(queue, took_s < self._inline_s / 4, _BACK)
            self.on_end()
            if queue.jobs:
                self._schedule(queue)

        work.add_done_callback(ended)

    def _run_remote(self, queue: ModelQueue, jobs: list[Job], rows: list[Sequence[Any]]) -> None:
        remote = queue.remote
        if not jobs or remote is None:
            return
        queue.busy += len(rows)
        queue.running += 1
        began = self._stopwatch()
        deadline = max(job.until for job in jobs)

        async def execute_remote(some: list[Sequence[Any]]) -> RowOutputs | Exception:
            try:
                found = await remote.predict_async(some, max(0.0, deadline - self._monotonic()))
                return _checked(queue.task, found, len(some))
            except Exception as error:
                return error

        async def run() -> None:
            CALLING.set(_first_trace(jobs))
            outputs = await execute_remote(rows)
            if isinstance(outputs, RowsRefused) and len(rows) > 1:
                search = Bisection(len(rows), outputs)
                while (piece := search.next()) and self._monotonic() < deadline:
                    search.note(piece, await execute_remote(rows[slice(*piece)]))
                outputs = search.outputs
            queue.running -= 1
            queue.busy -= len(rows)
            held = queue.busy
            self._ended(queue, jobs, rows, outputs, self._stopwatch() - began)
            queue.busy = held
            self.on_end()
            if queue.jobs and not queue.full:
                self._schedule(queue)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if queue.jobs and not queue.full:
            self._schedule(queue)

    def _take(self, queue: ModelQueue) -> list[Job]:
        """The jobs of the next batch: those that somebody still waits for, up to the bound."""
        bound = self._max_rows
        if not queue.apart and queue.row_s > 0.0:
            bound = max(1, min(bound, int(self._inline_s / queue.row_s)))
        taken: list[Job] = []
        seen = rows = 0
        for job in queue.jobs:
            if not job.waiter.done():
                if taken and rows + len(job.rows) > bound:
                    break
                taken.append(job)
                rows += len(job.rows)
            queue.waiting -= len(job.rows)
            seen += 1
        del queue.jobs[:seen]
        return taken

    def _ended(
        self,
        queue: ModelQueue,
        jobs: list[Job],
        rows: list[Sequence[Any]],
        outputs: RowOutputs | Exception,
        took_s: float,
    ) -> None:
        queue.busy = 0
        # Time and rows apart: a lone row, which is dear, must not count as much as a full batch.
        queue.took_s += _SMOOTHING * (took_s - queue.took_s)
        queue.took_rows += _SMOOTHING * (len(rows) - queue.took_rows)
        queue.row_s = queue.took_s / queue.took_rows
        if isinstance(outputs, Exception):
            alone = len(rows) == 1 or all(job.background for job in jobs)
            if not alone and queue.remote is None and not isinstance(outputs, TimeoutError):
                self._bisect(queue, jobs, rows, outputs)
                return
            outputs = [outputs] * len(rows)
        self._hand_out(queue, jobs, outputs)

    def _hand_out(self, queue: ModelQueue, jobs: list[Job], outputs: RowOutputs) -> None:
        """Tell of the execution, which failed if no row has outputs, and resume who waits."""
        failed = None
        answered = any(isinstance(output, tuple) for output in outputs)
        if not answered and not all(job.background for job in jobs):
            failed = _fault_of(jobs, outputs)
        self._on_result(queue, jobs, outputs, failed)
        at = 0
        for job in jobs:
            end = at + len(job.rows)
            if job.timer is not None:
                job.timer.cancel()
            if not job.waiter.done():
                job.waiter.set_result(outputs[at:end])
            at = end

    def _bisect(
        self, queue: ModelQueue, jobs: list[Job], rows: list[Sequence[Any]], failure: Exception
    ) -> None:
        """Find the rows at fault. Each piece has a turn of its own, on the version's thread
        where it has one."""
        search = Bisection(len(rows), failure)
        queue.busy = len(rows)

        def done() -> None:
            queue.busy = 0
            queue.running = 0
            self._hand_out(queue, jobs, search.outputs)
            self.on_end()
            if queue.jobs:
                self._schedule(queue)

        def step() -> None:
            piece = search.next()
            if piece is None or all(job.waiter.done() for job in jobs):
                done()
                return
            low, high = piece
            if queue.executor is None:
                search.note(piece, execute(queue.local, queue.task, rows[low:high]))
                self._low_priority.put([step])
                return
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(
                queue.executor, execute, queue.local, queue.task, rows[low:high]
            )

            def noted(found: asyncio.Future[RowOutputs | Exception]) -> None:
                failure = found.exception()
                search.note(piece, _as_exception(failure) if failure else found.result())
                step()

            work.add_done_callback(noted)

        queue.running = 1
        self._low_priority.put([step])

    def _weigh(self, queue: ModelQueue, against: bool, enough: int) -> None:
        """Whether the version stays where it runs. One slow row may be a hiccup of the machine;
        several one after another are its own. Between the two bounds it stays."""
        queue.against = queue.against + 1 if against else 0
        if queue.against >= enough:
            queue.against = 0
            queue.threaded = not queue.threaded or queue.predictor.blocking

    def _expire(self, job: Job) -> None:
        if not job.waiter.done():
            late: RowOutputs = [TimeoutError("no answer before the deadline")]
            job.waiter.set_result(late * len(job.rows))
            self.on_end()


def execute(
    predictor: Predictor | None, task: Task, rows: Sequence[Sequence[Any]]
) -> RowOutputs | Exception:
    """One execution, its outputs checked against the task: a row that is not what the task
    promises becomes an exception, and so does the whole where it failed."""
    assert predictor is not None  # a remote one is awaited
    try:
        return _checked(task, predictor.predict(rows), len(rows))
    except Exception as error:
        return error


def _checked(task: Task, found: Any, rows: int) -> RowOutputs:
    if len(found) != len(task.outputs):
        raise ValueError(f"the version gave {len(found)} outputs, not {len(task.outputs)}")
    for held, spec in zip(found, task.outputs, strict=True):
        shape = (rows, *spec.shape)
        if held.shape != shape and not (held.shape[:1] == (rows,) and spec.fits(held.shape[1:])):
            raise ValueError(f"{spec.name} has the shape {held.shape}, not {shape}")
    checked = task.rows(found)
    if None not in checked:
        return checked  # pyright: ignore[reportReturnType]
    return [
        ValueError(f"the version gave what it may not: {task.wrong(found, i)}")
        if row is None
        else row
        for i, row in enumerate(checked)
    ]


def _first_trace(jobs: Sequence[Job]) -> RequestTrace | None:
    """A call has one parent, though it may be made for several requests."""
    traces = [job.trace for job in jobs if job.trace is not None]
    return next((trace for trace in traces if trace.sampled), traces[0] if traces else None)


def _as_exception(failure: BaseException) -> Exception:
    return failure if isinstance(failure, Exception) else RuntimeError(repr(failure))


def _nothing() -> None:
    pass


def _nothing_noted(
    queue: ModelQueue, jobs: Sequence[Job], outputs: RowOutputs, failed: str | None, /
) -> None:
    del queue, jobs, outputs, failed


def _fault_of(jobs: Sequence[Job], outputs: RowOutputs) -> str:
    """Whose fault it is that no row has outputs: the tenant's whose rows they all are; but of no
    tenant if the version hung or is gone, for that hurts whoever comes next."""
    gone = any(
        isinstance(one, TimeoutError) or (isinstance(one, RuntimeFailed) and not one.alive)
        for one in outputs
    )
    tenants = {job.tenant for job in jobs}
    return EVERYBODY if gone or len(tenants) != 1 else tenants.pop()


def yield_to_the_loop() -> None:
    """On Linux a thread has a niceness of its own: the loop comes first."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _THREAD_NICENESS)
