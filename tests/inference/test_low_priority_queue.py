"""Work that gives way: a little of it in each turn of the loop, first in, first out."""

from __future__ import annotations

import asyncio

import pytest
from inference.harness import until

from windvane.inference.low_priority_queue import LowPriorityQueue


def test_work_that_fails_takes_none_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        done: list[int] = []
        later = LowPriorityQueue()
        later.put([lambda: done.append(1 // 0), lambda: done.append(1), lambda: done.append(2)])
        await until(lambda: len(done) == 2)
        assert done == [1, 2]

    asyncio.run(story())
    assert "ZeroDivisionError" in caplog.text


def test_what_is_put_meanwhile_comes_after_what_was_there() -> None:
    async def story() -> None:
        queue, done, turns = LowPriorityQueue(), list[int](), list[int]()

        def piece(number: int) -> None:
            done.append(number)
            if number < 10:
                queue.put([lambda: piece(number + 10)])

        queue.put([lambda i=i: piece(i) for i in range(10)])
        while len(done) < 20:
            before = len(done)
            await asyncio.sleep(0)
            turns.append(len(done) - before)
        assert done == list(range(20))
        assert max(turns) <= 2

    asyncio.run(story())
