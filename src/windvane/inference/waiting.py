"""Waiting without a task: the requests that nearly always end in one or two turns of the loop.

A request is one coroutine, written once. A transport may await it in a task of its own, or hand
it to `FastPath`, which steps it by itself: what the coroutine waits for (its outputs, its event
on the spool) resumes it at once, without a turn of the loop for each request. A request that
waits for anything else goes on in a task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from windvane.inference.request import Deliver, InferenceResponse

T = TypeVar("T")
_NOTHING: Any = object()
_log = logging.getLogger(__name__)


class Waiter(Generic[T]):
    """What a coroutine awaits until somebody calls ``set_result``. Whoever steps the coroutine
    is resumed right then; in a task it acts as a future."""

    __slots__ = ("_future", "_path", "_result")

    def __init__(self) -> None:
        self._result: T = _NOTHING
        self._path: PendingRequest | None = None
        self._future: asyncio.Future[None] | None = None

    def done(self) -> bool:
        return self._result is not _NOTHING

    def set_result(self, result: T, /) -> None:
        self._result = result
        if self._path is not None:
            self._path.step()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    def __await__(self) -> Generator[Any, None, T]:
        if self._result is _NOTHING:
            path = PendingRequest.current
            if path is not None:
                self._path = path
                yield self
            else:
                self._future = asyncio.get_running_loop().create_future()
                yield from self._future
        return self._result


class OutputsWaiter(Waiter[Any]):
    """Waits for the outputs of a job."""

    __slots__ = ()


class PendingRequest:
    """One coroutine that is stepped without a task. ``current`` is the one that is being
    stepped right now, None within a task."""

    __slots__ = ("_coroutine", "_deliver", "_tasks")
    current: PendingRequest | None = None

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, InferenceResponse],
        deliver: Deliver,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._coroutine = coroutine
        self._deliver = deliver
        self._tasks = tasks

    def step(self) -> None:
        """Go on until it waits for something, or ends."""
        before, PendingRequest.current = PendingRequest.current, self
        try:
            waits_for = self._coroutine.send(None)
        except StopIteration as end:
            PendingRequest.current = before
            self._end(end.value)
            return
        except Exception as error:
            PendingRequest.current = before
            self._end(error)
            return
        finally:
            PendingRequest.current = before
        if not isinstance(waits_for, Waiter):
            task = asyncio.create_task(self._go_on(waits_for))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _go_on(self, waits_for: Any) -> None:
        """The rest in a task, which may wait for anything."""
        try:
            response = await _Rest(self._coroutine, waits_for)
        except Exception as error:
            self._end(error)
        else:
            self._end(response)

    def _end(self, result: InferenceResponse | Exception) -> None:
        """Whoever resumed this one goes on to resume others: what fails here stays here."""
        try:
            self._deliver(result)
        except Exception:
            named = result.id if isinstance(result, InferenceResponse) else ""
            message = "a request's end could not be delivered; the others go on"
            _log.exception(message, extra={"request_id": named})


class _Rest:
    """What is left of a coroutine that waits for a future, as something that a task awaits."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as error:  # a cancelled task ends its coroutine too
                try:
                    waits_for = self._coroutine.throw(error)
                except StopIteration as end:
                    return end.value
                continue
            try:
                waits_for = self._coroutine.send(None)
            except StopIteration as end:
                return end.value


class FastPath:
    """Runs requests without a task each, as long as they wait for nothing else."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, InferenceResponse], deliver: Deliver) -> None:
        """Step it now; ``deliver`` gets its response or its exception, now or later."""
        PendingRequest(coroutine, deliver, self._tasks).step()
