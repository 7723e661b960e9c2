"""Outcomes: the truth about earlier predictions, sent by the tenant that asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from windvane.apps.gateway.answers import to_json
from windvane.apps.gateway.bodies import Receive
from windvane.apps.gateway.refusals import BadBody, BodyTooLarge
from windvane.apps.gateway.steps import Context, Parts, authenticate, limit
from windvane.core.admission import FREE
from windvane.core.routing import Scope
from windvane.ports.events import OutcomeSeen

if TYPE_CHECKING:
    from windvane.apps.gateway.records import Records


class OutcomeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one row: the request that predicted it, the row, the value."""

    request_id: Annotated[str, msgspec.Meta(max_length=256)]
    value: float
    row: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class OutcomesBody(msgspec.Struct, forbid_unknown_fields=True):
    """Outcomes of one model."""

    model: str
    outcomes: list[OutcomeIn]


_BODY = msgspec.json.Decoder(OutcomesBody)


async def keep_outcomes(
    context: Context, parts: Parts, records: Records, receive: Receive, wall: float
) -> bytes:
    """Check, and put every outcome on the spool; the answer's body."""
    authenticate(context, parts, Scope.OUTCOMES, wall)
    try:
        given = _BODY.decode(await parts.bodies.read(receive))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = 'send {"model": "...", "outcomes": [{"request_id": "...", "value": 1}]}'
        raise BadBody(f"outcomes: {error}", hint=hint) from error
    if len(given.outcomes) > parts.max_rows:
        raise BodyTooLarge(f"{len(given.outcomes):,} outcomes, {parts.max_rows:,} allowed")
    context.name = given.model
    context.way = context.caller.way(given.model)
    if context.way.limits:
        await limit(context, parts)
    try:
        records.keep_outcomes(
            OutcomeSeen(
                f"{outcome.request_id}/{outcome.row}",
                records.now(),
                given.model,
                context.way.tenant,
                context.way.model.route.layout_id,
                outcome.request_id,
                outcome.row,
                outcome.value,
                context.caller.key_id,
            )
            for outcome in given.outcomes
        )
    finally:
        if context.taken is not FREE:
            parts.limiter.release(context.taken)
    return to_json({"accepted": len(given.outcomes)})
