"""Rows of one turn of the loop run together; nobody is hurt by a neighbour's rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import TASK, WITHIN_S, FakePredictor, until

from windvane.core.execution import EVERYBODY, BreakerPolicy
from windvane.core.task import Task, TaskSpec, make_task
from windvane.inference.batching import NextTickBatcher
from windvane.inference.low_priority_queue import LowPriorityQueue
from windvane.inference.model_queue import ModelQueue
from windvane.inference.waiting import OutputsWaiter
from windvane.ports.tracing import CALLING, RequestTrace

FAR = 1e9


class Stopwatch:
    """Every execution takes ``each_s``."""

    def __init__(self, each_s: float = 0.0) -> None:
        self.each_s = each_s
        self._at = 0.0
        self._running = False

    def __call__(self) -> float:
        if self._running:
            self._at += self.each_s
        self._running = not self._running
        return self._at


class Bench:
    """A batcher, what it told, and queues on fakes."""

    def __init__(self, **settings: Any) -> None:
        self.told: list[tuple[str, int, str | None]] = []
        self.low_priority = LowPriorityQueue()
        self.batcher = NextTickBatcher(
            lambda queue, _jobs, outputs, failed: self.told.append(
                (queue.version, len(outputs), failed)
            ),
            low_priority=self.low_priority,
            **settings,
        )
        self.queues: list[ModelQueue] = []

    def queue(
        self, row_s: float = 0.0, *, apart: bool = False, task: Task = TASK
    ) -> tuple[ModelQueue, FakePredictor]:
        predictor = FakePredictor()
        version = str(len(self.queues))
        queue = ModelQueue("late", version, predictor, task, row_s, BreakerPolicy(), threaded=apart)
        self.queues.append(queue)
        return queue, predictor

    def ask(self, queue: ModelQueue, *rows: float, deadline: float = FAR) -> asyncio.Future[Any]:
        return self.batcher.submit(queue, [(row,) for row in rows], deadline)


def run(story: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def told() -> None:
        bench = Bench(**settings)
        try:
            async with asyncio.timeout(WITHIN_S):
                await story(bench)
        finally:
            for queue in bench.queues:
                assert isinstance(queue.predictor, FakePredictor)
                queue.predictor.let_go()
                queue.close()

    asyncio.run(told())


def test_rows_of_several_requests_in_one_turn_make_one_execution() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        answers = await asyncio.gather(
            bench.ask(queue, 1.0), bench.ask(queue, 2.0, 3.0), bench.ask(queue, 4.0)
        )
        assert predictor.batches == [[1.0, 2.0, 3.0, 4.0]]
        assert answers == [[(0.001,)], [(0.002,), (0.003,)], [(0.004,)]]
        assert bench.told == [("0", 4, None)]
        assert queue.waiting == queue.busy == 0
        assert queue.idle

    run(story)


def test_an_idle_queue_answers_in_the_next_turn() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        future = bench.ask(queue, 1.0)
        assert predictor.batches == []
        await asyncio.sleep(0)
        assert predictor.batches == [[1.0]]
        assert future.done()

    run(story)


def test_a_batch_holds_at_most_max_rows() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        futures = [bench.ask(queue, float(i), float(i)) for i in range(5)]
        await asyncio.gather(*futures)
        assert [len(batch) for batch in predictor.batches] == [4, 4, 2]

    run(story, max_rows=5)


def test_a_request_of_more_rows_than_max_rows_still_runs_as_one() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        assert len(await bench.ask(queue, *map(float, range(7)))) == 7
        assert [len(batch) for batch in predictor.batches] == [7]

    run(story, max_rows=3)


def test_a_batch_holds_the_loop_no_longer_than_it_may() -> None:
    """Ten rows of 1 ms in turns of 2 ms: the loop looks at its sockets in between."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(row_s=0.001)
        predictor.answers = lambda row: row[0]
        futures = [bench.ask(queue, float(i)) for i in range(10)]
        await asyncio.sleep(0)
        assert [len(batch) for batch in predictor.batches] == [2]
        assert [f.done() for f in futures] == [True] * 2 + [False] * 8
        await asyncio.gather(*futures)

    run(story)


@pytest.mark.parametrize("apart", [False, True])
def test_a_failing_batch_is_halved_and_one_bad_row_hurts_no_other(apart: bool) -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=apart)
        predictor.fails = lambda row: row[0] == 13.0
        one, two, three = await asyncio.gather(
            bench.ask(queue, 1.0), bench.ask(queue, 2.0, 13.0), bench.ask(queue, 3.0)
        )
        assert one == [(0.001,)]
        assert three == [(0.003,)]
        assert two[0] == (0.002,)
        assert isinstance(two[1], RuntimeError)
        assert predictor.batches == [
            [1.0, 2.0, 13.0, 3.0], [1.0, 2.0], [13.0, 3.0], [13.0], [3.0],
        ]  # fmt: skip
        assert bench.told == [("0", 4, None)], "the rest was answered: no failure of the version"
        assert queue.idle

    run(story)


def test_the_search_for_bad_rows_gives_way_to_other_versions() -> None:
    """One bad row of 1,000: between two executions of the search whoever else waits has a turn."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        other, _ = bench.queue()
        predictor.fails = lambda row: row[0] == 613.0
        long = bench.ask(queue, *map(float, range(1_000)))
        await until(lambda: len(predictor.batches) == 1)
        answered = 0
        while not long.done():
            before = len(predictor.batches)
            assert await bench.ask(other, 1.0) == [(0.001,)]
            answered += 1
            assert len(predictor.batches) - before <= 4
        outputs = await long
        assert isinstance(outputs[613], RuntimeError)
        assert outputs[:613] == [(i / 1_000,) for i in range(613)]
        assert len(predictor.batches) <= 21
        assert answered >= 5

    run(story)


@pytest.mark.parametrize("apart", [False, True])
def test_what_comes_during_the_search_waits_and_the_version_is_not_idle(apart: bool) -> None:
    """Were it idle, it could be unloaded, or run twice at one time."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=apart)
        at_one_time, most = [0], [0]
        real = predictor.predict

        def counting(rows: Sequence[Any]) -> Any:
            at_one_time[0] += 1
            most[0] = max(most[0], at_one_time[0])
            try:
                return real(rows)
            finally:
                at_one_time[0] -= 1

        predictor.predict = counting  # type: ignore[method-assign]
        predictor.fails = lambda row: row[0] == 13.0
        first = bench.ask(queue, *map(float, range(100)))
        second = bench.ask(queue, *map(float, range(100, 200)))
        later: list[asyncio.Future[Any]] = []
        while not first.done():
            await asyncio.sleep(0)
            if len(predictor.batches) in (1, 3, 5) and len(later) < len(predictor.batches):
                later.append(bench.ask(queue, float(len(later))))
            if predictor.batches and not first.done():
                assert not queue.idle
        assert isinstance((await first)[13], RuntimeError)
        assert await second == [(i / 1_000,) for i in range(100, 200)]
        assert [await f for f in later] == [[(i / 1_000,)] for i in range(len(later))]
        assert later
        assert most == [1]
        assert queue.idle
        assert queue.waiting == 0

    run(story, max_rows=100)


def test_a_search_whose_clients_all_went_away_ends() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        predictor.fails = lambda row: row[0] == 13.0
        gone = bench.ask(queue, *map(float, range(100)))
        await until(lambda: len(predictor.batches) == 2)
        gone.cancel()
        await until(lambda: queue.idle)
        assert len(predictor.batches) <= 4
        assert await bench.ask(queue, 1.0) == [(0.001,)]

    run(story)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_becomes_an_error_of_its_row(value: float) -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        predictor.answers = lambda row: value if row[0] == 13.0 else row[0]
        good, bad = await asyncio.gather(bench.ask(queue, 1.0), bench.ask(queue, 13.0))
        assert good == [(1.0,)]
        assert isinstance(bad[0], ValueError)

    run(story)


@pytest.mark.parametrize("shape", [(), (1, 1), (5,)])
def test_outputs_of_another_shape_are_errors_and_nobody_gets_a_neighbours(shape: Any) -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        predictor.predict = lambda rows: [np.full(shape, 7.0)]  # type: ignore[method-assign]
        both = await asyncio.gather(bench.ask(queue, 1.0), bench.ask(queue, 2.0))
        assert [[isinstance(o, Exception) for o in one] for one in both] == [[True], [True]]

    run(story)


@pytest.mark.parametrize(
    "shapes", [[(3, 2), (3, 2)], [(3,), (3, 2)], [(3, 2)], [(3, 3), (3, 1)], [(2, 3), (3,)]]
)
def test_several_outputs_each_have_the_shape_that_the_task_says(shapes: Any) -> None:
    """A tensor of any length, and three numbers."""
    task = make_task(TaskSpec("tensor", outputs={"any": (-1,), "three": (3,)}))

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(task=task)
        predictor.predict = lambda rows: [np.ones((len(rows), *s[1:])) for s in shapes]  # type: ignore[method-assign]
        outputs = await bench.ask(queue, 1.0, 2.0, 3.0)
        assert all(isinstance(o, ValueError) for o in outputs)
        for n in (0, 5):
            predictor.predict = lambda rows, n=n: [np.ones((len(rows), k)) for k in (n, 3)]  # type: ignore[method-assign]
            assert await bench.ask(queue, 1.0) == [([1.0] * n, [1.0] * 3)]

    run(story)


def test_a_whole_failure_is_told_as_one() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        predictor.fails = lambda _row: True
        await bench.ask(queue, 1.0, 2.0)
        assert bench.told == [("0", 2, EVERYBODY)]

    run(story)


def test_a_blocking_predictor_runs_apart_and_a_fast_model_is_answered_meanwhile() -> None:
    async def story(bench: Bench) -> None:
        slow_queue, slow = bench.queue(apart=True)
        fast_queue, _ = bench.queue()
        slow.hold()
        held = bench.ask(slow_queue, 1.0)
        await until(slow.started.is_set)
        for i in range(50):
            assert await bench.ask(fast_queue, float(i)) == [(i / 1_000,)]
        assert not held.done()
        # What comes meanwhile waits, and makes one batch.
        more = [bench.ask(slow_queue, float(i)) for i in (2, 3, 4)]
        assert slow_queue.waiting == 3
        slow.let_go()
        assert await asyncio.gather(held, *more) == [[(0.001,)], [(0.002,)], [(0.003,)], [(0.004,)]]
        assert slow.batches == [[1.0], [2.0, 3.0, 4.0]]
        assert slow_queue.idle

    run(story)


def test_a_long_request_of_a_quick_version_runs_apart_and_delays_nobody() -> None:
    """A thousand rows of a version whose single rows are quick enough for the loop."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(row_s=0.0009)
        other, _ = bench.queue()
        predictor.hold()
        long = bench.ask(queue, *map(float, range(1_000)))
        await until(predictor.started.is_set)
        for i in range(20):
            assert await bench.ask(other, float(i)) == [(i / 1_000,)]
        assert not queue.idle
        short = bench.ask(queue, 7.0)
        late = bench.ask(queue, 8.0, deadline=time.monotonic() + 0.01)
        assert isinstance((await late)[0], TimeoutError)
        assert not short.done()
        predictor.let_go()
        assert len(await long) == 1_000
        assert await short == [(0.007,)]
        assert not queue.threaded
        assert queue.waiting == queue.busy == 0
        assert predictor.batches[1:] == [[7.0]]
        in_time = bench.ask(queue, *map(float, range(900)), deadline=time.monotonic() + 0.01)
        predictor.hold()
        assert isinstance((await in_time)[0], TimeoutError)
        predictor.let_go()
        assert await bench.ask(queue, 1.0) == [(0.001,)]

    run(story)


def test_a_version_whose_single_rows_are_slow_moves_to_a_thread_and_loses_nothing() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue()
        for i in range(2):
            await bench.ask(queue, float(i))
            assert not queue.threaded, "one or two may be the machine's"
        first = [bench.ask(queue, float(i)) for i in range(3)]
        await first[0]
        assert queue.threaded
        predictor.hold()
        late = bench.ask(queue, 9.0)
        await until(predictor.started.is_set)
        predictor.let_go()
        assert await asyncio.gather(*first[1:], late) == [[(0.001,)], [(0.002,)], [(0.009,)]]
        assert queue.idle

    run(story, inline_s=0.0)  # less than any execution takes


def test_a_hiccup_of_the_machine_moves_nobody_to_a_thread() -> None:
    watch = Stopwatch()

    async def story(bench: Bench) -> None:
        queue, _ = bench.queue()
        for took_s in [0.011, 0.011, 0.0] * 4:
            watch.each_s = took_s
            assert await bench.ask(queue, 1.0) == [(0.001,)]
        assert not queue.threaded
        for _ in range(3):
            watch.each_s = 0.011
            await bench.ask(queue, 1.0)
        assert queue.threaded

    run(story, inline_s=0.01, stopwatch=watch)


@pytest.mark.parametrize("blocking", [False, True])
def test_a_version_that_is_quick_again_comes_back_from_its_thread(blocking: bool) -> None:
    """Unless it waits for another process: that would hold the loop."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=True)
        predictor.blocking = blocking
        for i in range(49):
            await bench.ask(queue, float(i))
        assert queue.threaded
        for i in range(5):
            assert await bench.ask(queue, float(i)) == [(i / 1_000,)]
        assert queue.threaded is blocking

    run(story, inline_s=1e6)


def test_a_job_that_still_waits_at_its_deadline_is_told_and_never_executed() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=True)
        predictor.hold()
        first = bench.ask(queue, 1.0)
        await until(predictor.started.is_set)
        late = bench.ask(queue, 2.0, 3.0, deadline=time.monotonic() + 0.01)
        patient = bench.ask(queue, 4.0)
        outputs = await late
        assert [type(output) for output in outputs] == [TimeoutError, TimeoutError]
        predictor.let_go()
        assert await first == [(0.001,)]
        assert await patient == [(0.004,)]
        assert predictor.batches == [[1.0], [4.0]]
        assert queue.waiting == 0

    run(story)


def test_a_job_under_way_at_its_deadline_is_told_in_time_and_its_answer_dropped() -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=True)
        predictor.hold()
        late = bench.ask(queue, 1.0, deadline=time.monotonic() + 0.01)
        assert isinstance((await late)[0], TimeoutError)
        predictor.let_go()
        assert await bench.ask(queue, 2.0) == [(0.002,)]

    run(story)


@pytest.mark.parametrize("apart", [False, True])
def test_what_nobody_waits_for_is_not_executed(apart: bool) -> None:
    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=apart)
        gone, kept = bench.ask(queue, 1.0), bench.ask(queue, 2.0)
        gone.cancel()
        assert await kept == [(0.002,)]
        assert predictor.batches == [[2.0]]
        assert queue.waiting == 0

    run(story)


@pytest.mark.parametrize("apart", [False, True])
def test_many_abandoned_jobs_do_not_stop_a_queue(apart: bool) -> None:
    """More rows than a batch may hold were given up; the one behind them has its turn."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=apart)
        predictor.hold() if apart else None
        first = bench.ask(queue, 1.0)
        if apart:
            await until(predictor.started.is_set)
        gone = [bench.ask(queue, 5.0, 6.0) for _ in range(10)]
        kept = bench.ask(queue, 2.0)
        for future in gone:
            future.cancel()
        predictor.let_go()
        assert await first == [(0.001,)]
        assert await kept == [(0.002,)]
        assert await bench.ask(queue, 3.0) == [(0.003,)]
        assert queue.waiting == 0
        assert queue.idle

    run(story, max_rows=4)


def test_a_predictor_that_raises_no_exception_of_ours_still_answers_its_jobs() -> None:
    """SystemExit in a thread of a careless model ends that execution, not the queue."""

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(apart=True)

        def leave(_row: Any) -> bool:
            raise SystemExit(1)

        predictor.fails = leave
        assert isinstance((await bench.ask(queue, 1.0))[0], Exception)
        predictor.fails = lambda _row: False
        assert await bench.ask(queue, 2.0) == [(0.002,)]

    run(story)


@given(st.data())
def test_everybody_gets_the_answers_to_their_own_rows(data: st.DataObject) -> None:
    """Any mix of requests, bad rows, abandoned jobs, sizes and places to run."""
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    apart = data.draw(st.booleans())
    row_s = data.draw(st.sampled_from([0.0, 0.0005, 0.001, 0.004, 0.02]))
    bad = data.draw(st.sets(st.integers(0, sum(sizes))))
    dropped = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    pauses = data.draw(st.sets(st.integers(0, len(sizes) - 1)))

    async def story(bench: Bench) -> None:
        queue, predictor = bench.queue(row_s, apart=apart)
        predictor.fails = lambda row: row[0] in bad
        futures: list[tuple[list[float], asyncio.Future[Any]]] = []
        at = 0
        for i, size in enumerate(sizes):
            rows = [float(at + j) for j in range(size)]
            at += size
            futures.append((rows, bench.ask(queue, *rows)))
            if i in dropped:
                futures[-1][1].cancel()
            if i in pauses:
                await asyncio.sleep(0)
        for i, (rows, future) in enumerate(futures):
            if i in dropped:
                continue
            for row, output in zip(rows, await future, strict=True):
                if row in bad:
                    assert isinstance(output, RuntimeError)
                else:
                    assert output == (row / 1_000,)
        await until(lambda: queue.idle)
        assert queue.waiting == 0

    run(story, max_rows=data.draw(st.integers(1, 8)))


class FakeRemote:
    """A version that another server executes, at most ``concurrency`` batches at one time."""

    blocking = False
    memory = 0

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.now = self.most = 0
        self.fails = False
        self.go_on = asyncio.Event()
        self.called_for: list[RequestTrace | None] = []

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        return values

    async def predict_async(self, rows: Sequence[Sequence[Any]], within_s: float) -> Any:
        assert within_s >= 0.0
        self.called_for.append(CALLING.get())
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go_on.wait()
        self.now -= 1
        if self.fails:
            raise RuntimeError("the server broke")
        return [np.array([row[0] for row in rows], np.float64)]

    def close(self) -> None: ...


def test_a_remote_call_is_made_for_the_first_request_that_is_shown() -> None:
    async def story(bench: Bench) -> None:
        remote = FakeRemote(1)
        remote.go_on.set()
        queue = ModelQueue("late", "r", remote, TASK, 0.0, BreakerPolicy())
        unseen, first, second = (RequestTrace(i, i, 0, sampled=i > 1) for i in (1, 2, 3))
        for traces, parent in (
            ((None, None), None),
            ((None, unseen), unseen),
            ((unseen, first, second), first),
            ((None,), None),  # and not the one before
        ):
            waiters = [OutputsWaiter() for _ in traces]
            for waiter, trace in zip(waiters, traces, strict=True):
                bench.batcher.enlist(waiter, queue, [(1.0,)], FAR, trace=trace)
            await asyncio.gather(*(asyncio.ensure_future(answer(one)) for one in waiters))
            assert remote.called_for == [parent]
            remote.called_for.clear()

    async def answer(waiter: OutputsWaiter) -> Any:
        return await waiter

    run(story)


def test_a_remote_version_runs_as_many_batches_as_it_allows_and_no_more() -> None:
    async def story(bench: Bench) -> None:
        remote = FakeRemote(2)
        queue = ModelQueue("late", "r", remote, TASK, 0.0, BreakerPolicy())
        asked = [bench.ask(queue, float(i), float(i)) for i in range(4)]
        for i in range(4, 8):
            await asyncio.sleep(0)
            asked.append(bench.ask(queue, float(i), float(i)))
        assert not queue.idle
        remote.go_on.set()
        answers = await asyncio.gather(*asked)
        assert answers == [[(float(i),)] * 2 for i in range(8)]
        assert remote.most == 2
        await until(lambda: queue.idle)
        assert (queue.waiting, queue.busy, queue.running) == (0, 0, 0)
        remote.fails = True
        assert isinstance((await bench.ask(queue, 1.0))[0], RuntimeError)
        assert bench.told[-1] == ("r", 1, EVERYBODY)

    run(story, max_rows=4)


# One bad item takes nobody else's answers


def test_a_batch_that_is_lost_takes_no_other_versions(caplog: pytest.LogCaptureFixture) -> None:
    async def story(bench: Bench) -> None:
        first, _ = bench.queue()
        second, _ = bench.queue()
        count = bench.batcher._on_result

        def counts(queue: ModelQueue, *more: Any) -> None:
            if queue is first:
                raise ZeroDivisionError("counting failed")
            count(queue, *more)

        bench.batcher._on_result = counts
        lost, kept = bench.ask(first, 1.0), bench.ask(second, 2.0)
        assert [type(one) for one in await lost] == [ZeroDivisionError]
        assert await kept == [(pytest.approx(0.002),)]
        bench.batcher._on_result = count
        assert await bench.ask(first, 3.0) == [(pytest.approx(0.003),)]

    run(story)
    assert "a batch was lost" in caplog.text


def test_what_was_unloaded_says_so_at_once() -> None:
    async def story(bench: Bench) -> None:
        gone, _ = bench.queue(apart=True)
        other, _ = bench.queue()
        gone.close()
        answers = await asyncio.gather(bench.ask(gone, 1.0, 2.0), bench.ask(other, 3.0))
        assert ["unloaded" in str(one) for one in answers[0]] == [True, True]
        assert answers[1] == [(pytest.approx(0.003),)]

    run(story)
