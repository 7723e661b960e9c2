"""What is asked in one turn of the event loop goes out together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from windvane.adapters.redis.server import Server, Unreachable

_Q = TypeVar("_Q")
_A = TypeVar("_A")
_LEAST_SHARE = 0.2


class TickBatcher(Generic[_Q, _A]):
    """Gathers questions until the next turn, and while all ``at_once`` calls are under way.

    ``send(questions, within_s)`` answers all of them or raises Unreachable; ``instead`` answers
    one without the server: when it is down, and when more than ``waiting`` wait. A question is
    answered within 1.2 times ``deadline_s``. ``unwanted`` is told of an answer that nobody
    waits for any more.
    """

    def __init__(
        self,
        server: Server,
        send: Callable[[Sequence[_Q], float], Awaitable[Sequence[_A]]],
        instead: Callable[[_Q], Awaitable[_A]],
        unwanted: Callable[[_A], None],
        *,
        deadline_s: float,
        most: int,
        at_once: int,
        waiting: int,
    ) -> None:
        self._server = server
        self._send, self._instead, self._unwanted = send, instead, unwanted
        self._deadline_s = deadline_s
        self._most, self._at_once, self._waiting = most, at_once, waiting
        self._queue: deque[tuple[_Q, asyncio.Future[_A], float]] = deque()
        self._flying = 0
        self._called = False

    def ask(self, question: _Q) -> Awaitable[_A]:
        if self._server.down or len(self._queue) >= self._waiting:
            return self._instead(question)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_A] = loop.create_future()
        self._queue.append((question, answer, loop.time()))
        if not self._called:
            self._called = True
            loop.call_soon(self._flush)
        return answer

    def _flush(self) -> None:
        self._called = False
        while self._queue and self._flying < self._at_once:
            count = min(len(self._queue), self._most)
            batch = [self._queue.popleft() for _ in range(count)]
            self._flying += 1
            self._server.spawn(self._fly(batch))

    async def _fly(self, batch: list[tuple[_Q, asyncio.Future[_A], float]]) -> None:
        try:
            answers = await self._answers(batch)
            for i, (question, future, _) in enumerate(batch):
                if answers is not None:
                    self._give(future, answers[i])
                elif not future.done():
                    self._give(future, await self._instead(question))
        finally:
            for _, future, _ in batch:
                future.cancel()  # only where the batcher was closed meanwhile
            self._flying -= 1
            if self._queue and not self._called:
                self._flush()

    async def _answers(
        self, batch: list[tuple[_Q, asyncio.Future[_A], float]]
    ) -> Sequence[_A] | None:
        if self._server.down:
            return None
        left = batch[0][2] + self._deadline_s - asyncio.get_running_loop().time()
        try:
            # A loop that was blocked since they asked is no reason to give up without trying.
            within_s = max(left, _LEAST_SHARE * self._deadline_s)
            return await self._send([question for question, _, _ in batch], within_s)
        except Unreachable:
            return None

    def _give(self, future: asyncio.Future[_A], answer: _A) -> None:
        if future.done():
            self._unwanted(answer)
        else:
            future.set_result(answer)
