"""What a version's stand-in would have answered, asked beside the way of a prediction.

Of a sample of the requests that a version answered, one row each is put to what would answer first
if the version could not. It happens after the answer, one row at a time, while nobody's row waits
for the stand-in, and for a tenth of the time at most: what does not get its turn is left out, and
counted. A stand-in that is not in memory is not brought there for this.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from windvane.core.routing import Arm, ModelRoute, follow_rule
from windvane.core.task import OutputRow
from windvane.inference.access import ModelAccess
from windvane.inference.execution import code_of, lacks
from windvane.inference.failures import describe
from windvane.inference.model_queue import ModelQueue
from windvane.inference.request import InferenceRequest
from windvane.inference.waiting import OutputsWaiter
from windvane.ports.events import Compared

if TYPE_CHECKING:
    from windvane.inference.engine import Services

_log = logging.getLogger(__name__)
_MOST_WAITING = 64
_REST = 9.0  # times what one took: a tenth of the time at most
_LOOK_EVERY_S = 0.002
_LOOKS = 25
_COMPARED_ARMS = frozenset({Arm.CHAMPION.value, Arm.CHALLENGER.value})
_TOLD_EVERY_S = 60.0
_LONGEST_REST_S = 10.0

ANSWERED, SILENT, LEFT_OUT = "answered", "silent", "left_out"
"""What became of a row that was drawn: the stand-in had an answer, had none, or was not asked."""


class _Drawn(NamedTuple):
    """A row that was drawn, with what its version answered."""

    id: str
    access: ModelAccess
    routed: str
    arm: str
    row: tuple[Any, ...]
    output: OutputRow
    probability: float


class Comparing:
    """One worker's. ``draw`` gives numbers from 0 up to 1."""

    def __init__(self, services: Services, draw: Callable[[], float] = random.random) -> None:
        self._services = services
        self._draw = draw
        self._waiting: deque[_Drawn] = deque()
        self._task: asyncio.Task[None] | None = None
        self._scheduled = False
        self._told_at = -math.inf

    def close(self) -> None:
        """What waits is left out."""
        self._waiting.clear()

    def offer(self, request: InferenceRequest, share: float) -> None:
        """Draw the request with the probability ``share``, and one of its rows. It is compared
        later; nothing that goes wrong with it is the request's."""
        if self._draw() >= share:
            return
        rows = len(request.rows)
        at = min(int(self._draw() * rows), rows - 1)
        access, route = request.access, request.routes[at]
        if (
            route.answered != route.routed
            or route.arm not in _COMPARED_ARMS
            or lacks(access.decided, request.rows[at])  # it would fall back in another order
        ):
            return
        drawn = _Drawn(
            request.id, access, route.routed, route.arm, request.rows[at], request.outputs[at],
            share / rows,
        )  # fmt: skip
        if len(self._waiting) >= _MOST_WAITING:
            self._note(drawn, LEFT_OUT)
            return
        self._waiting.append(drawn)
        if not self._scheduled:  # a task is made once the answer has left
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        monotonic = self._services.monotonic
        try:
            while self._waiting:
                drawn = self._waiting.popleft()
                began = monotonic()
                try:
                    self._note(drawn, await self._compare(drawn))
                except Exception:
                    _log.exception("a stand-in was not compared; the next one is")
                await asyncio.sleep(min(_REST * (monotonic() - began), _LONGEST_REST_S))
        finally:
            self._scheduled = False

    async def _compare(self, drawn: _Drawn) -> str:
        """What became of it; what the stand-in answered, or that it did not, is on the spool."""
        version = stand_in_of(drawn.access.decided, drawn.routed)
        if version:
            found = await self._ask(drawn, version)
        else:
            found = _rule_or_constant(drawn)
        if found is None:
            return LEFT_OUT
        answers: list[Any] = []
        if isinstance(found, Exception):
            self._tell(drawn, version, found)
        else:
            answers = list(found)
        services, access = self._services, drawn.access
        kept = services.events.keep_compared(
            Compared(
                drawn.id, services.clock.now(), access.model.route.model, access.tenant,
                access.model.contract.id, drawn.routed, drawn.arm, version, drawn.probability,
                list(drawn.output), answers,
            )
        )  # fmt: skip
        return LEFT_OUT if not kept else ANSWERED if answers else SILENT

    async def _ask(self, drawn: _Drawn, version: str) -> OutputRow | Exception | None:
        """The answer of a version, or why there is none; None where it was not asked."""
        services = self._services
        handle = drawn.access.model.handles[version]
        if handle.error is not None:  # it is tried again, once that is due
            await services.models.bring(handle)
        queue = handle.queue
        if queue is None:
            return handle.error
        with queue.lease():
            if not await _is_free(queue):
                return None
            try:
                encoded = queue.predictor.encode(drawn.row)
            except Exception as error:  # a model's own code may raise anything
                return error
            waiter = OutputsWaiter()
            deadline = services.monotonic() + drawn.access.model.route.deadline_s
            services.batcher.enlist(
                waiter, queue, [encoded], deadline, drawn.access.tenant, background=True
            )
            return (await waiter)[0]

    def _tell(self, drawn: _Drawn, version: str, failure: Exception) -> None:
        """Once in a while: what it means is judged of many."""
        now = self._services.monotonic()
        if now - self._told_at >= _TOLD_EVERY_S:
            self._told_at = now
            _log.warning(
                "model %s: version %s had no answer to compare with: %s %s",
                drawn.access.model.route.model, version, code_of(failure), describe(failure),
                extra={"request_id": drawn.id},
            )  # fmt: skip

    def _note(self, drawn: _Drawn, result: str) -> None:
        model = drawn.access.model.route.model
        self._services.instrumentation.compared(model, drawn.routed, result)


def stand_in_of(route: ModelRoute, routed: str) -> str:
    """The version that would be asked first where the version ``routed`` has no answer; "" for a
    rule or a constant."""
    versions = (route.champion, *route.chain)
    return next((version for version in versions if version != routed), "")


def _rule_or_constant(drawn: _Drawn) -> OutputRow | Exception | None:
    route = drawn.access.decided
    names = drawn.access.model.contract.names
    ruled = follow_rule(route.rule, dict(zip(names, drawn.row, strict=True)))
    given = ruled if ruled is not None else route.constant
    if given is None and route.rule:
        return LookupError("no step of the rule fits the row")
    return given


async def _is_free(queue: ModelQueue) -> bool:
    """Wait a moment until no client's row waits for the version."""
    for _ in range(_LOOKS):
        if not queue.jobs and not queue.full:
            return True
        await asyncio.sleep(_LOOK_EVERY_S)
    return False
