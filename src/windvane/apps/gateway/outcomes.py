"""Outcomes: the truth about earlier predictions, sent by the tenant that asked."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from windvane.apps.gateway.typed_bodies import TypedBody
from windvane.core.routing import Scope
from windvane.core.signature import show
from windvane.core.task import BadLabel
from windvane.inference.access import ModelAccess
from windvane.inference.engine import Engine
from windvane.inference.errors import BadBody, BadOutcome, BodyTooLarge, ContradictoryOutcome
from windvane.inference.imported import imported_id
from windvane.inference.request import InferenceRequest
from windvane.ports.events import OutcomeSeen


class OutcomeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one row: the request that predicted it (or ``id``, by which somebody told of
    a prediction made elsewhere), the row, the value. A value is a number, or the name (or names)
    of a label."""

    value: float | str | bool | list[float | str]
    request_id: Annotated[str, msgspec.Meta(max_length=256)] = ""
    id: Annotated[str, msgspec.Meta(max_length=256)] = ""
    row: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class OutcomesBody(msgspec.Struct, forbid_unknown_fields=True):
    """Outcomes of one model."""

    model: str
    outcomes: list[OutcomeIn]


_HINT = 'send {"model": "...", "outcomes": [{"request_id": "...", "value": 1}]}'
_BODY = TypedBody(OutcomesBody, _HINT)


async def keep_outcomes(engine: Engine, request: InferenceRequest, body: bytes) -> int:
    """Check, and put every outcome on the spool; how many there are. Raises Rejection."""
    services = engine.services
    principal = engine.authenticate(request, Scope.OUTCOMES)
    given = _BODY.decode(body)
    if len(given.outcomes) > services.max_rows:
        raise BodyTooLarge(f"{len(given.outcomes):,} outcomes, {services.max_rows:,} allowed")
    request.model = given.model
    access = request.access = principal.access(given.model)
    async with engine.limit(request):
        labels = [_label(access.model.task.outcome, i, o) for i, o in enumerate(given.outcomes)]
        named = [_named(access, i, outcome) for i, outcome in enumerate(given.outcomes)]
        _check_rows(given.outcomes, named, labels)
        services.events.keep_outcomes(
            # Each is an event of its own: a client may revise a value, and revise it back.
            OutcomeSeen(
                f"{request.id}/{i}",
                services.events.now(),
                given.model,
                access.tenant,
                access.model.contract.id,
                prediction,
                outcome.row,
                label,
                principal.key_id,
            )
            for i, (outcome, prediction, label) in enumerate(
                zip(given.outcomes, named, labels, strict=True)
            )
        )
    return len(given.outcomes)


def _named(access: ModelAccess, at: int, outcome: OutcomeIn) -> str:
    """The id of the prediction's event."""
    if bool(outcome.request_id) == bool(outcome.id):
        both = "both" if outcome.id else "neither"
        raise BadBody(f"outcomes[{at}] has {both} of request_id and id", hint="give one of them")
    for name, word in (("id", outcome.id), ("request_id", outcome.request_id)):
        if not word.isprintable():
            message = f"outcomes[{at}].{name} {show(word)} is not printable"
            raise BadBody(message, hint="no prediction has such an id")
    if outcome.id:
        return imported_id(access.tenant, access.model.route.model, outcome.id)
    return outcome.request_id


def _check_rows(outcomes: list[OutcomeIn], named: list[str], labels: list[Any]) -> None:
    """Raises ContradictoryOutcome."""
    first: dict[tuple[str, int], int] = {}
    for i, outcome in enumerate(outcomes):
        if outcome.id and outcome.row:
            raise ContradictoryOutcome(
                f"outcomes[{i}] is of row {outcome.row}, and a prediction made elsewhere has one",
                hint="leave `row` out",
            )
        at = first.setdefault((named[i], outcome.row), i)
        if labels[at] != labels[i]:
            raise ContradictoryOutcome(
                f"outcomes[{at}] and outcomes[{i}] are of the same row, and their values differ"
            )


def _label(read: Any, at: int, outcome: OutcomeIn) -> Any:
    try:
        return read(outcome.value)
    except BadLabel as error:
        raise BadOutcome(f"outcomes[{at}]: {error.message}", hint=error.advice or None) from error
