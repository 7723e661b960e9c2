"""A request is one coroutine; who steps it is nobody's business but its own."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.harness import MODEL, WITHIN_S, Harness, body, route, run, until

from windvane.core.routing import TenantLimit
from windvane.inference.waiting import FastPath, PendingRequest, Waiter


def told(story: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        async with asyncio.timeout(WITHIN_S):
            await story()
        assert PendingRequest.current is None

    asyncio.run(within_time())


def test_a_coroutine_is_stepped_without_a_task_and_resumed_at_once() -> None:
    async def story() -> None:
        waiters = [Waiter[int]() for _ in range(3)]
        seen: list[Any] = []

        async def work() -> Any:
            assert asyncio.current_task() is own, "in no task of its own"
            for waiter in waiters:
                seen.append(await waiter)
            return "end"

        own = asyncio.current_task()
        path = FastPath()
        path.start(work(), seen.append)
        assert seen == []
        for i, waiter in enumerate(waiters):
            waiter.set_result(i)
            assert seen[i] == i, "without a turn of the loop"
        assert seen == [0, 1, 2, "end"]
        assert not path._tasks
        assert asyncio.all_tasks() == {own}

    told(story)


def test_what_is_there_already_is_not_waited_for() -> None:
    async def story() -> None:
        waiter = Waiter[int]()
        waiter.set_result(7)
        assert waiter.done()
        seen: list[Any] = []

        async def work() -> Any:
            return await waiter, await waiter

        FastPath().start(work(), seen.append)
        assert seen == [(7, 7)]

    told(story)


def test_one_that_waits_for_a_future_goes_on_in_a_task_and_may_wait_for_anything() -> None:
    async def story() -> None:
        future = asyncio.get_running_loop().create_future()
        before, after = Waiter[str](), Waiter[str]()
        seen: list[Any] = []

        async def work() -> Any:
            first = await before
            second = await future
            third = await after
            await asyncio.sleep(0)
            async with asyncio.timeout(WITHIN_S):  # needs a task
                await asyncio.sleep(0)
            return first, second, third

        path = FastPath()
        path.start(work(), seen.append)
        before.set_result("a")
        assert len(path._tasks) == 1
        future.set_result("b")
        await asyncio.sleep(0)
        assert seen == []
        await until(lambda: after._future is not None)
        after.set_result("c")
        await until(lambda: seen)
        assert seen == [("a", "b", "c")]
        await until(lambda: not path._tasks)

    told(story)


@pytest.mark.parametrize("where", ["at once", "after a waiter", "after a future", "of a future"])
def test_exceptions_are_delivered_from_wherever(where: str) -> None:
    async def story() -> None:
        waiter, future = Waiter[int](), asyncio.get_running_loop().create_future()
        seen: list[Any] = []

        async def work() -> Any:
            if where == "after a waiter":
                await waiter
            elif where in ("after a future", "of a future"):
                await future
            raise KeyError(where)

        path = FastPath()
        path.start(work(), seen.append)
        waiter.set_result(1)
        if where == "of a future":
            future.set_exception(KeyError(where))
        else:
            future.set_result(1)
        await until(lambda: seen)
        assert isinstance(seen[0], KeyError)
        assert seen[0].args == (where,)
        assert PendingRequest.current is None
        await until(lambda: not path._tasks)

    told(story)


def test_what_one_request_does_to_another_leaves_both_in_order() -> None:
    """A result that is set while another one is stepped: each goes on as itself."""

    async def story() -> None:
        inner, outer = Waiter[int](), Waiter[int]()
        seen: list[Any] = []

        async def one() -> Any:
            return await inner

        async def other() -> Any:
            inner.set_result(1)  # steps the first to its end, within this step
            return await outer

        path = FastPath()
        path.start(one(), seen.append)
        path.start(other(), seen.append)
        assert seen == [1]
        outer.set_result(2)
        assert seen == [1, 2]

    told(story)


def test_even_an_exit_leaves_nobody_taken_for_the_one_that_is_stepped() -> None:
    async def story() -> None:
        async def leave() -> Any:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            FastPath().start(leave(), lambda _: None)
        assert PendingRequest.current is None

    told(story)


def test_who_cannot_be_told_takes_nobody_of_the_batch_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(harness: Harness) -> None:
        await harness.publish()
        broken, good = (harness.open("POST", f"/v1/models/{MODEL}/predict") for _ in range(2))
        broken.answered.set_result(None)  # type: ignore[arg-type]  # its reply will raise
        for request in (broken, good):
            assert request.sink is not None
            request.sink.on_body(body(1.0))
        assert (await good.answered).status == 200
        assert harness.services.under_way == 0
        assert len(harness.spool.events) == 2

    run(story)
    assert "the others go on" in caplog.text


def test_a_waiter_in_a_task_is_a_future_and_may_be_cancelled() -> None:
    async def story() -> None:
        waiter = Waiter[int]()

        async def work() -> int:
            return await waiter

        one, two = asyncio.create_task(work()), asyncio.create_task(work())
        await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        waiter.set_result(5)
        assert await two == 5

    told(story)


@given(
    st.lists(st.sampled_from(["waiter", "future", "sleep", "ready", "fail"]), max_size=8),
    st.booleans(),
)
def test_it_ends_as_it_would_in_a_task(steps: list[str], reverse: bool) -> None:
    async def story() -> None:
        async def once(start: Callable[[Any, Callable[[Any], None]], None]) -> Any:
            loop = asyncio.get_running_loop()
            waits: list[Any] = []
            for step in steps:
                if step == "waiter":
                    waits.append(Waiter[int]())
                elif step == "future":
                    waits.append(loop.create_future())

            async def work() -> Any:
                held, seen = iter(waits), list[Any]()
                for step in steps:
                    if step == "sleep":
                        await asyncio.sleep(0)
                    elif step == "fail":
                        raise ValueError(seen)
                    elif step != "ready":
                        seen.append(await next(held))
                return seen

            ended: list[Any] = []
            start(work(), ended.append)
            for i, waiter in enumerate(reversed(waits) if reverse else waits):
                await asyncio.sleep(0)
                waiter.set_result(len(waits) - 1 - i if reverse else i)
            await until(lambda: ended)
            return repr(ended)

        def in_a_task(coroutine: Any, deliver: Callable[[Any], None]) -> None:
            async def go() -> None:
                try:
                    deliver(await coroutine)
                except Exception as error:
                    deliver(error)

            tasks.append(asyncio.create_task(go()))

        tasks: list[Any] = []
        assert await once(FastPath().start) == await once(in_a_task)

    told(story)


def test_abandoned_requests_leave_nothing_behind() -> None:
    """Their clients went away at each point; neither places nor objects are kept."""

    async def story(harness: Harness) -> None:
        await harness.publish(route(), limits=[TenantLimit("acme", concurrent=50)])
        harness.hold()
        sinks: list[weakref.ref[Any]] = []
        for i in range(30):
            request = harness.open("POST", f"/v1/models/{MODEL}/predict")
            assert request.sink is not None
            sinks.append(weakref.ref(request.answered))
            if i % 3 == 0:
                request.sink.on_abort()
            else:
                request.sink.on_body(body(float(i)))
            del request
        assert harness.services.under_way == 20
        harness.predictor().let_go()
        await until(lambda: harness.services.under_way == 0)
        assert harness.limiter.held == 0
        assert len(harness.spool.events) == 20, "what was predicted is recorded"
        assert not harness.app._fast_path._tasks
        await asyncio.sleep(0)
        gc.collect()
        assert [ref() for ref in sinks if ref() is not None] == []

    run(story)
