"""Questions to the log: shared, waited for no longer than said, and never too many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from windvane.apps.console.answering import TooManyReaders
from windvane.apps.console.log_reads import LogReads
from windvane.ports.event_log import LogTooSlow


class Ticks:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def reads(ticks: Ticks) -> Iterator[LogReads]:
    made = LogReads(ticks)
    yield made
    made.close()


def test_who_asks_the_same_within_a_moment_shares_one_reading(
    reads: LogReads, ticks: Ticks
) -> None:
    made: list[int] = []

    def work() -> int:
        made.append(1)
        return len(made)

    async def story() -> None:
        for at, wanted in ((0.0, 1), (9.0, 1), (11.0, 2)):
            ticks.at = at
            answer = await reads.ask("k", work, fresh_s=10.0, wait_s=10.0)
            assert answer.value == wanted
        assert await reads.wait_for("other", lambda: 7, fresh_s=1.0, wait_s=10.0) == 7

    asyncio.run(story())


def test_a_slow_reading_is_not_waited_for_and_the_last_answer_stands(
    reads: LogReads, ticks: Ticks
) -> None:
    go, asked = threading.Event(), [1]

    def work() -> int:
        if asked[0] == 2:
            assert go.wait(30.0)
        return asked[0]

    async def story() -> None:
        assert (await reads.ask("k", work, fresh_s=1.0, wait_s=10.0)).value == 1
        ticks.at, asked[0] = 5.0, 2
        stale = await reads.ask("k", work, fresh_s=1.0, wait_s=0.01, stale=True)
        assert stale.value == 1
        late = await reads.ask("k", work, fresh_s=1.0, wait_s=0.01)
        assert late.pending
        with pytest.raises(TooManyReaders):
            await reads.wait_for("k", work, fresh_s=1.0, wait_s=0.01)
        go.set()
        assert await reads.wait_for("k", work, fresh_s=1.0, wait_s=10.0) == 2

    asyncio.run(story())


def test_what_went_wrong_is_told_and_tried_again_soon(reads: LogReads, ticks: Ticks) -> None:
    broken = [True]

    def work() -> int:
        if broken[0]:
            raise LogTooSlow("too slow")
        return 3

    async def story() -> None:
        answer = await reads.ask("k", work, fresh_s=60.0, wait_s=10.0)
        assert isinstance(answer.problem, LogTooSlow)
        assert not answer.pending
        broken[0] = False
        ticks.at = 3.0
        assert (await reads.ask("k", work, fresh_s=60.0, wait_s=10.0)).value == 3

    asyncio.run(story())


def test_a_crowd_of_questions_is_refused(reads: LogReads) -> None:
    go = threading.Event()

    def work() -> int:
        assert go.wait(30.0)
        return 1

    async def story() -> None:
        with pytest.raises(TooManyReaders):
            for i in range(100):
                await reads.ask(i, work, fresh_s=1.0, wait_s=0.0)
        go.set()

    asyncio.run(story())
