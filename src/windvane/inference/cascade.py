"""Where a cheap model is unsure, a dearer one answers in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.routing import CASCADED, CascadeSpec
from windvane.inference.access import ModelAccess, turned_off
from windvane.inference.errors import NoAnswer, Rejection, SchemaViolation
from windvane.inference.execution import Execution
from windvane.inference.request import InferenceRequest, InferenceResponse, Route
from windvane.inference.validation import validate_rows

if TYPE_CHECKING:
    from windvane.inference.engine import Services

UNSURE = "unsure"
_SHARE_OF_TIME = 0.9  # of what is left: the cheap answer is there, and has to leave in time


class OtherTask(WindvaneError):
    """The model of `serve.cascade` gives other outputs by now."""

    code: ClassVar[str] = "RUN-110"
    hint = "apply both files again: `windvane apply` says what differs"


class Cascade:
    """Both models' answers are recorded, all or none: the cheap one's in the request's own event,
    the dear one's in an event a row, ``REQUEST/ROW``, which is marked. What the dear model does
    not answer in time, or only by a rule or a constant, stays the cheap one's, and counts as the
    dear one's failure, unless the client allows less time than the cheap model's file."""

    def __init__(self, services: Services, execution: Execution) -> None:
        self._services = services
        self._execution = execution

    async def refine(
        self, request: InferenceRequest, response: InferenceResponse, spec: CascadeSpec
    ) -> dict[int, InferenceRequest]:
        """Put better answers in the response; by row the dear model's answers as requests of
        their own, to be kept with this one."""
        unsure = _unsure(request, spec.below)
        if not unsure:
            return {}
        request.routes = _flagged(request.routes, unsure)
        routes, outputs = list(request.routes), list(request.outputs)
        answered = await self._ask(request, spec, unsure)
        for i, sub in answered.items():
            given, own = sub.routes[0], routes[i]
            by = f"{spec.to}:{given.answered}"
            routes[i] = Route(own.routed, by, own.arm, (*own.flags, *given.flags))
            outputs[i] = sub.outputs[0]
        response.routes, response.outputs = routes, outputs
        return answered

    async def _ask(
        self, request: InferenceRequest, spec: CascadeSpec, unsure: Sequence[int]
    ) -> dict[int, InferenceRequest]:
        """By row what a version of the dear model answered, as a request of its own."""
        services = self._services
        try:
            access = request.principal.access(spec.to)
            if access.model.route.off:
                raise turned_off(access.model.route)
            if access.model.task.spec != request.access.model.task.spec:
                raise OtherTask(f"{spec.to} has another task than {request.model}")
        except WindvaneError as error:  # it is not there for this tenant
            self._execution.log_failure(request, spec.to, error)
            return {}
        began_ns, now = services.monotonic_ns(), services.monotonic()
        subs: dict[int, InferenceRequest] = {}
        for i in unsure:
            row = _row_of(request, access, i)
            if row is not None:
                sub = subs[i] = _sub_request(request, access, began_ns, i)
                sub.rows, sub.units = [row], [request.units[i]]
                sub.deadline = now + _SHARE_OF_TIME * (request.deadline - now)
                # The dear model owes an answer by its own file, not by the cheap one's haste.
                sub.owed_at = max(sub.deadline, now + access.model.route.deadline_s)
        if not subs:
            return {}
        if not access.used:
            access.used = True
            services.instrumentation.used(access)
        # They meet in one batch, whose times are shown once.
        next(iter(subs.values())).trace = request.trace
        # Each by itself, so that a row at fault takes no other's answer.
        ended = await asyncio.gather(
            *map(self._execution.run, subs.values()), return_exceptions=True
        )
        answered: dict[int, InferenceRequest] = {}
        for (i, sub), failure in zip(subs.items(), ended, strict=True):
            sub.latency_us = (services.monotonic_ns() - began_ns) // 1_000
            if isinstance(failure, Exception):
                self._failed(sub, failure)
            elif failure is not None:
                raise failure
            elif sub.routes[0].answered:
                sub.routes = [r._replace(flags=(CASCADED, *r.flags)) for r in sub.routes]
                answered[i] = sub
            else:  # a rule or a constant is no better than an unsure model
                self._failed(sub, NoAnswer("no version of it answered where a cascade asked"))
        return answered

    def _failed(self, sub: InferenceRequest, failure: Exception) -> None:
        """It owed an answer: its monitors see that, as if it had been asked by itself."""
        error = (
            failure
            if isinstance(failure, Rejection)
            else NoAnswer("it failed where a cascade asked")
        )
        if isinstance(error, NoAnswer) and error.owed and not error.routed and sub.routes:
            error.routed, error.arm = sub.routes[0].routed, sub.routes[0].arm
        self._services.events.rejected(sub, error)
        self._services.instrumentation.rejected(error)
        if failure is not error:  # else its versions' failures were told one by one
            self._execution.log_failure(sub, "", failure)


def _unsure(request: InferenceRequest, below: float) -> list[int]:
    """Rows whose version answered and is not sure enough; a rule or a constant is no answer of
    a model."""
    confidence = request.access.model.task.confidence
    found: list[int] = []
    for i, (route, output) in enumerate(zip(request.routes, request.outputs, strict=True)):
        sure = confidence(output)
        if route.answered and sure is not None and sure < below:
            found.append(i)
    return found


def _flagged(routes: Sequence[Route], rows: Sequence[int]) -> list[Route]:
    marked = set(rows)
    return [
        route._replace(flags=(*route.flags, UNSURE)) if i in marked else route
        for i, route in enumerate(routes)
    ]


def _row_of(request: InferenceRequest, access: ModelAccess, at: int) -> tuple[Any, ...] | None:
    """The row as the dear model's contract has it; None where it does not keep that."""
    held = dict(zip(request.access.model.contract.names, request.rows[at], strict=True))
    contract = access.model.contract
    row = {name: held.get(name) for name in contract.names}
    try:
        return validate_rows(contract, [row], held=True)[0]
    except SchemaViolation:
        return None


def _sub_request(
    request: InferenceRequest, access: ModelAccess, began_ns: int, row: int
) -> InferenceRequest:
    sub = InferenceRequest(
        f"{request.id}/{row}", access.model.route.model, b"", request.codec, began_ns,
        client_id=request.client_id,
    )  # fmt: skip
    sub.principal, sub.access = request.principal, access
    return sub
