"""What each feature contributed to an answer, where a client asks for it.

A version whose library explains its own trees is asked that, on a thread of its own. Any other is
asked for more predictions: rows between background rows and the explained one, in batches like
everybody's, a pass at a time, so that others have their turn between two of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.explanation import (
    Explanation,
    Method,
    Scale,
    average,
    contributions_of,
    passes_within,
    plan_passes,
    walk,
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
_MAX_WAITING = 64
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
        self._thread = ThreadPoolExecutor(1, "explaining", yield_to_the_loop)
        self._waiting = 0

    def close(self) -> None:
        """Wait for what is under way: the versions may be unloaded after."""
        self._thread.shutdown(wait=True, cancel_futures=True)

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
                    said = "model %s version %s did not explain itself: %s"
                    _log.warning(
                        said, queue.model, queue.version, describe(error), extra=request.named
                    )
            else:
                return {i: one for (i, _), one in zip(group, explained, strict=True)}
        found: dict[int, Explained] = {}
        for i, number in group:
            try:
                found[i] = await self._by_permutation(request, queue, i, number, deadline)
            except WindvaneError as error:
                found[i] = error
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
        left = deadline - self._services.monotonic()
        if left <= 0.0 or self._waiting >= _MAX_WAITING:
            raise ExplanationLate(f"{self._waiting} others wait, {max(0.0, left):.3f} s are left")
        rows = [queue.predictor.encode(request.rows[i]) for i, _ in group]
        answers = [(number, number.of(request.outputs[i])) for i, number in group]
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, explainer.explain, rows, answers)
        self._waiting += 1
        queue.explaining += 1  # it is not unloaded meanwhile, whoever still waits for this

        def ended(done: asyncio.Future[list[Explanation]]) -> None:
            self._waiting -= 1
            queue.explaining -= 1
            if not done.cancelled():
                done.exception()  # else one that nobody waits for any more is warned about

        work.add_done_callback(ended)
        done, _ = await asyncio.wait([work], timeout=left)
        if not done:
            raise ExplanationLate(f"the version's library took longer than {left:.3f} s")
        return work.result()

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
        passes: list[tuple[float, Sequence[float], Sequence[int]]] = []
        evaluations = 0
        most = passes_within(MAX_EVALUATIONS, len(places), len(background))
        for which, order in plan_passes(len(places), len(background), most):
            if self._services.monotonic() >= deadline:
                break
            way = walk(request.rows[at], background[which], order, places)
            answers = await self._answers(request, queue, way.rows, number, deadline)
            evaluations += len(answers)
            passes.append((answers[0], answers, way.switched))
        if not passes:
            raise ExplanationLate("the deadline came before the first comparison")
        width = len(names)
        found, error = average([contributions_of(a, s, width) for _, a, s in passes])
        return Explanation(
            Method.PERMUTATION,
            number.name,
            Scale.OUTPUT,
            sum(base for base, _, _ in passes) / len(passes),
            {names[i]: float(found[i]) for i in places},
            evaluations,
            error,
        )

    async def _answers(
        self,
        request: InferenceRequest,
        queue: ModelQueue,
        rows: Sequence[Sequence[object]],
        number: ExplainedNumber,
        deadline: float,
    ) -> list[float]:
        """The explained number of rows that the version has not seen."""
        waiter = OutputsWaiter()
        try:
            encoded = [queue.predictor.encode(row) for row in rows]
        except Exception as error:  # a model's own code may raise anything
            raise CannotExplain(f"a background row does not fit: {describe(error)}") from error
        tenant = request.access.tenant
        self._services.batcher.enlist(
            waiter, queue, encoded, deadline, tenant, owed_at=request.owed_at
        )
        outputs = await waiter
        out: list[float] = []
        for output in outputs:
            if isinstance(output, TimeoutError):
                raise ExplanationLate("the deadline came before a comparison ended")
            if isinstance(output, Exception):
                raise CannotExplain(f"the version failed on a row beside it: {describe(output)}")
            out.append(number.of(output))
        return out
