"""Where a cheap model is unsure, a dearer one answers in its place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.routing import CascadeSpec
from windvane.inference.access import ModelAccess
from windvane.inference.errors import Rejection, SchemaViolation
from windvane.inference.execution import Execution, code_of
from windvane.inference.request import InferenceRequest, InferenceResponse, Route
from windvane.inference.validation import validate_rows

if TYPE_CHECKING:
    from windvane.inference.engine import Services

_log = logging.getLogger(__name__)
CASCADED, UNCERTAIN = "cascaded", "unsure"
_SHARE_OF_TIME = 0.9  # of what is left: the cheap answer is there, and has to leave in time


class OtherTask(WindvaneError):
    """The model of `serve.cascade` gives other outputs by now."""

    code: ClassVar[str] = "RUN-110"
    hint = "apply both files again: `windvane apply` says what differs"


class Cascade:
    """Both models' answers are recorded: the cheap one's in the request's own event, the dear
    one's in an event a row, ``REQUEST/ROW``. What the dear model does not answer in time, or
    only by a rule or a constant, stays the cheap one's."""

    def __init__(self, services: Services, execution: Execution) -> None:
        self._services = services
        self._execution = execution

    async def refine(
        self, request: InferenceRequest, response: InferenceResponse, spec: CascadeSpec
    ) -> None:
        """Put better answers in the response. Raises NotRecorded."""
        unsure = _unsure(request, spec.below)
        if not unsure:
            return
        request.routes = _flagged(request.routes, dict.fromkeys(unsure, UNCERTAIN))
        asked = await self._ask(request, spec, unsure)
        routes, outputs = _flagged(request.routes, {}), list(request.outputs)
        for i, row in zip(unsure, asked, strict=True):
            if row is None or not row.routes[0].answered:
                continue
            not_kept = await self._services.events.keep_prediction(row)
            if not_kept is not None:
                raise not_kept
            self._services.instrumentation.answered(row)
            given, own = row.routes[0], routes[i]
            by = f"{spec.to}:{given.answered}"
            routes[i] = Route(own.routed, by, own.arm, (*own.flags, CASCADED, *given.flags))
            outputs[i] = row.outputs[0]
        response.routes, response.outputs = routes, outputs

    async def _ask(
        self, request: InferenceRequest, spec: CascadeSpec, unsure: Sequence[int]
    ) -> list[InferenceRequest | None]:
        """The dear model's answer to each of the rows, as a request of its own."""
        services = self._services
        none: list[InferenceRequest | None] = [None] * len(unsure)
        try:
            access = request.principal.access(spec.to)
            if access.model.task.spec != request.access.model.task.spec:
                raise OtherTask(f"{spec.to} has another task than {request.model}")
            takes = [_row_of(request, access, i) for i in unsure]
            places = [n for n, row in enumerate(takes) if row is not None]
            if not places:
                return none
            if not access.used:
                access.used = True
                services.instrumentation.used(access)
            began_ns = services.monotonic_ns()
            sub = _sub_request(request, access, began_ns, request.id)
            sub.trace = request.trace
            sub.rows = [row for row in takes if row is not None]
            sub.units = [request.units[unsure[n]] for n in places]
            now = services.monotonic()
            sub.deadline = now + _SHARE_OF_TIME * (request.deadline - now)
            await self._execution.run(sub)
        except Exception as error:
            _log.warning(
                "model %s was unsure and %s did not answer: %s", request.model, spec.to,
                error.message if isinstance(error, Rejection) else code_of(error),
                extra=request.named,
            )  # fmt: skip
            return none
        latency_us = (services.monotonic_ns() - began_ns) // 1_000
        for at, n in enumerate(places):
            one = _sub_request(request, access, began_ns, f"{request.id}/{unsure[n]}")
            one.rows, one.units = [sub.rows[at]], [sub.units[at]]
            one.routes, one.outputs = [sub.routes[at]], [sub.outputs[at]]
            one.latency_us = latency_us
            none[n] = one
        return none


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


def _flagged(routes: Sequence[Route], flags: dict[int, str]) -> list[Route]:
    return [
        route._replace(flags=(*route.flags, flags[i])) if i in flags else route
        for i, route in enumerate(routes)
    ]


def _row_of(request: InferenceRequest, access: ModelAccess, at: int) -> tuple[Any, ...] | None:
    """The row as the dear model's contract has it; None where it does not keep that."""
    held = dict(zip(request.access.model.contract.names, request.rows[at], strict=True))
    contract = access.model.contract
    row = {name: held.get(name) for name in contract.names}
    try:
        return validate_rows(contract, [row])[0]
    except SchemaViolation:
        return None


def _sub_request(
    request: InferenceRequest, access: ModelAccess, began_ns: int, event_id: str
) -> InferenceRequest:
    sub = InferenceRequest(
        event_id, access.model.route.model, b"", request.codec, began_ns,
        client_id=request.client_id,
    )  # fmt: skip
    sub.principal, sub.access = request.principal, access
    return sub
