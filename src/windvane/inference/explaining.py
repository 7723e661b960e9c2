"""What each feature contributed to an answer, where a client asks for it.

A version whose library explains its own trees is asked that, on threads of low priority, one a
tenant. Any other is asked for more predictions: rows between background rows and the explained
one, in pieces that go while no client's row waits for the version, and for half of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError
from windvane.core.explanation import (
    Explanation,
    Method,
    Scale,
    average,
    contributions_of,
    features_to_switch,
    passes_within,
    plan_passes,
    rows_between,
)
from windvane.core.task import ExplainedNumber
from windvane.inference.batching import yield_to_the_loop
from windvane.inference.errors import BodyTooLarge
from windvane.inference.failures import describe
from windvane.inference.model_queue import ModelQueue
from windvane.inference.request import InferenceRequest
from windvane.inference.waiting import OutputsWaiter
from windvane.ports.runtime import CannotExplain

if TYPE_CHECKING:
    from windvane.inference.engine import Services

_log = logging.getLogger(__name__)
MAX_ROWS = 32
MAX_CONTRIBUTIONS = 20_000
MAX_EVALUATIONS = 2_000
_THREADS = 4
_LOOK_EVERY_S = 0.002
_PIECE_S = 0.005
_MOST_AT_ONCE = 256
_REST_S = 0.005
_SHARE_OF_TIME = 0.9  # of what is left: the answer is there, and has to leave in time

Explained = Explanation | WindvaneError
"""An explanation, or why there is none."""


class ExplanationLate(WindvaneError):
    """There was no time for an explanation before the request's deadline."""

    code: ClassVar[str] = "EXP-102"
    hint = "give the request a later deadline, or explain fewer rows in one"


def check_size(request: InferenceRequest) -> None:
    """Raises BodyTooLarge where more is asked for than one request may."""
    rows, features = len(request.rows), len(request.access.model.contract.names)
    if rows > MAX_ROWS or rows * features > MAX_CONTRIBUTIONS:
        raise BodyTooLarge(
            f"{rows:,} rows of {features:,} features to explain, at most {MAX_ROWS} rows and "
            f"{MAX_CONTRIBUTIONS:,} contributions are allowed in a request",
            hint="explain fewer rows in one request",
        )


class Explaining:
    """Explains the rows of requests that ask for it, as far as there is time: a prediction is not
    lost for want of its explanation."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._threads = ThreadPoolExecutor(_THREADS, "explaining", yield_to_the_loop)
        self._asked: set[str] = set()  # tenants for whom a library is at work

    def close(self) -> None:
        """Wait for what is under way: the versions may be unloaded after."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def explain(
        self, request: InferenceRequest, others: Mapping[int, InferenceRequest]
    ) -> list[Explained]:
        """One for each row; ``others`` has the requests, of one row each, that rows were answered
        by instead. Each request keeps what explains its own answers, for its event."""
        services = self._services
        now = services.monotonic()
        deadline = now + _SHARE_OF_TIME * (request.deadline - now)
        rows = range(len(request.rows))
        own = [i for i in rows if i not in others]
        request.explanations = [None] * len(rows)
        for i, explained in zip(own, await self._explain(request, own, deadline), strict=True):
            request.explanations[i] = explained
        for other in others.values():
            other.explain = True
            other.explanations = [*await self._explain(other, [0], deadline)]
        return [
            explained
            for i in rows
            if (explained := others[i].explanations[0] if i in others else request.explanations[i])
        ]

    async def _explain(
        self, request: InferenceRequest, rows: Sequence[int], deadline: float
    ) -> list[Explained]:
        """Of one request's own rows, which several versions may have answered."""
        found: dict[int, Explained] = {}
        groups: dict[str, list[tuple[int, ExplainedNumber]]] = {}
        for i in rows:
            number = request.access.model.task.explained(request.outputs[i])
            version = request.routes[i].answered
            if not version:
                found[i] = CannotExplain("a rule or a constant answered, not a version")
            elif number is None:
                found[i] = CannotExplain("the model's outputs have no single number to explain")
            else:
                groups.setdefault(version, []).append((i, number))
        for version, group in groups.items():
            queue = request.access.model.handles[version].queue
            if queue is None:
                left_out = CannotExplain(f"version {version} was unloaded meanwhile")
                found |= {i: left_out for i, _ in group}
            else:
                with queue.lease():
                    found |= await self._explain_version(request, queue, group, deadline)
        return [found[i] for i in rows]

    async def _explain_version(
        self,
        request: InferenceRequest,
        queue: ModelQueue,
        group: Sequence[tuple[int, ExplainedNumber]],
        deadline: float,
    ) -> dict[int, Explained]:
        if queue.explainer is not None:
            try:
                explained = await self._by_library(request, queue, group, deadline)
            except ExplanationLate as error:
                return {i: error for i, _ in group}
            except Exception as error:
                # A library may raise anything; the version may still be compared.
                if not isinstance(error, CannotExplain):
                    message = "model %s version %s did not explain itself: %s"
                    _log.warning(
                        message, queue.model, queue.version, describe(error), extra=request.named
                    )
            else:
                return {i: one for (i, _), one in zip(group, explained, strict=True)}
        found: dict[int, Explained] = {}
        for i, number in group:
            try:
                found[i] = await self._by_permutation(request, queue, i, number, deadline)
            except WindvaneError as error:
                found[i] = error
            except Exception as error:  # whatever a model raises, its prediction stands
                _log.warning(
                    "model %s version %s was not compared: %s",
                    queue.model, queue.version, describe(error), extra=request.named,
                )  # fmt: skip
                found[i] = CannotExplain(f"the comparison failed: {describe(error)}")
        return found

    async def _by_library(
        self,
        request: InferenceRequest,
        queue: ModelQueue,
        group: Sequence[tuple[int, ExplainedNumber]],
        deadline: float,
    ) -> list[Explanation]:
        """Raises ExplanationLate, CannotExplain, RuntimeFailed."""
        explainer = queue.explainer
        assert explainer is not None
        tenant = request.access.tenant
        await self._own_turn(tenant, deadline)
        rows = [queue.predictor.encode(request.rows[i]) for i, _ in group]
        answers = [(number, number.of(request.outputs[i])) for i, number in group]
        loop = asyncio.get_running_loop()
        self._asked.add(tenant)
        queue.leases += 1  # until the library has ended, whoever still waits for it

        def ended() -> None:
            self._asked.discard(tenant)
            queue.leases -= 1

        work = self._threads.submit(explainer.explain, rows, answers)
        work.add_done_callback(lambda _: _call_soon(loop, ended))
        left = max(0.0, deadline - self._services.monotonic())
        done, _ = await asyncio.wait([asyncio.wrap_future(work)], timeout=left)
        if not done:
            work.cancel()  # if no thread has begun it
            raise ExplanationLate(f"the version's library took longer than {left:.3f} s")
        return done.pop().result()

    async def _own_turn(self, tenant: str, deadline: float) -> None:
        """Until nothing else of the tenant's is with a library: each has one thread at most."""
        while tenant in self._asked:
            if self._services.monotonic() >= deadline:
                raise ExplanationLate("another explanation of the tenant took all the time")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _by_permutation(
        self,
        request: InferenceRequest,
        queue: ModelQueue,
        at: int,
        number: ExplainedNumber,
        deadline: float,
    ) -> Explanation:
        """Raises ExplanationLate, CannotExplain."""
        names = request.access.model.contract.names
        background = queue.background
        if not background:
            raise CannotExplain(
                f"version {queue.version} was registered without background rows",
                hint="register it again, with the data that it is compared on",
            )
        taken = set(request.access.model.handles[queue.version].entry.features or names)
        places = [i for i, name in enumerate(names) if name in taken]
        if 2 * len(places) > MAX_EVALUATIONS:
            raise CannotExplain(
                f"{len(places):,} features, at most {MAX_EVALUATIONS // 2:,} are compared",
                hint="a version whose library explains its own trees may have more",
            )
        row = request.rows[at]
        most = passes_within(MAX_EVALUATIONS, len(places), len(background))
        passes = [
            (which, features_to_switch(row, background[which], order, places))
            for which, order in plan_passes(len(places), len(background), most)
        ]
        rows = itertools.chain.from_iterable(
            rows_between(row, background[which], switched) for which, switched in passes
        )
        answers = await self._answers(request, queue, rows, number, deadline)
        found: list[NDArray[np.float64]] = []
        bases: list[float] = []
        begins = 0
        for _, switched in passes:
            ends = begins + max(1, 2 * len(switched))
            if ends > len(answers):
                break  # there was no time for it; what is there is an explanation of fewer passes
            bases.append(answers[begins])
            found.append(contributions_of(answers[begins:ends], switched, len(names)))
            begins = ends
        if not found:
            raise ExplanationLate("the deadline came before the first comparison ended")
        contributions, error = average(found, [which for which, _ in passes[: len(found)]])
        return Explanation(
            Method.PERMUTATION,
            number.name,
            Scale.OUTPUT,
            sum(bases) / len(bases),
            {names[i]: float(contributions[i]) for i in places},
            begins,
            error,
        )

    async def _answers(
        self,
        request: InferenceRequest,
        queue: ModelQueue,
        rows: Iterator[Sequence[object]],
        number: ExplainedNumber,
        deadline: float,
    ) -> list[float]:
        """The explained number of rows that no client sent, as many as there is time for: some at
        a time, only while the version has nothing else to do, and for half of the time."""
        services = self._services
        out: list[float] = []
        owed_s = 0.0
        while piece := list(itertools.islice(rows, _piece(queue))):
            if not await self._is_free(queue, deadline):
                break
            began = services.monotonic()
            waiter = OutputsWaiter()
            try:
                encoded = [queue.predictor.encode(row) for row in piece]
            except Exception as error:  # a model's own code may raise anything
                raise CannotExplain(f"a background row does not fit: {describe(error)}") from error
            services.batcher.enlist(
                waiter, queue, encoded, deadline, request.access.tenant,
                owed_at=request.owed_at, background=True,
            )  # fmt: skip
            outputs = await waiter
            for output in outputs:
                if isinstance(output, TimeoutError):
                    return out
                if isinstance(output, Exception):
                    message = describe(output)
                    raise CannotExplain(f"the version failed on a row beside it: {message}")
                out.append(number.of(output))
            owed_s += services.monotonic() - began
            if owed_s >= _REST_S:
                await asyncio.sleep(min(owed_s, max(0.0, deadline - services.monotonic())))
                owed_s = 0.0
        return out

    async def _is_free(self, queue: ModelQueue, deadline: float) -> bool:
        """Wait until no client's row waits for the version; false if the deadline comes first.
        Raises CannotExplain."""
        while True:
            if not queue.circuits.all_closed:
                raise CannotExplain(f"version {queue.version} failed too often lately")
            if self._services.monotonic() >= deadline:
                return False
            if not queue.jobs and not queue.full:
                return True
            await asyncio.sleep(_LOOK_EVERY_S)


def _piece(queue: ModelQueue) -> int:
    """How many rows may go at once, so that who comes behind them waits for no longer than a
    piece's time."""
    return max(1, min(_MOST_AT_ONCE, int(_PIECE_S / max(queue.row_s, 1e-9))))


def _call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and all with it
        loop.call_soon_threadsafe(work)
