"""`POST /v1/models/{model}/events`: predictions that were made elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from windvane.apps.gateway.protocols.base import Hinting
from windvane.apps.gateway.typed_bodies import TypedBody
from windvane.core.routing import Scope
from windvane.inference.engine import Engine
from windvane.inference.errors import Rejection
from windvane.inference.imported import Imported, imported_events
from windvane.inference.request import InferenceRequest

_HINT = (
    'send {"events": [{"id": "order-17", "features": {...}, "outputs": {...}, '
    '"time": "2026-11-28T17:45:00Z"}]}'
)
Output = float | str | list[Any] | dict[str, Any]


class EventIn(msgspec.Struct, forbid_unknown_fields=True):
    """One prediction: what the maker calls it, what it was made of, what it said, and of which
    version, for which unit, when and in how long."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    features: dict[str, Any]
    outputs: Output
    version: Annotated[str, msgspec.Meta(max_length=128)] = ""
    unit: Annotated[str, msgspec.Meta(max_length=256)] = ""
    time: float | str | None = None
    latency_ms: float = 0.0


class EventsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Predictions of one model."""

    events: list[EventIn]


_TOLD = Hinting(_HINT)
_BODY = TypedBody(EventsBody, _HINT)


async def keep_events(
    engine: Engine, request: InferenceRequest, body: bytes, max_age_s: float
) -> list[str]:
    """Check, and put every event on the spool; their ids. Raises Rejection."""
    services = engine.services
    principal = engine.authenticate(request, Scope.EVENTS)
    access = request.access = principal.access(request.model)
    request.body = body
    async with engine.limit(request):
        given = _BODY.decode(body).events
        try:
            with _TOLD:
                made = await imported_events(
                    access,
                    [
                        Imported(
                            e.id, e.features, e.outputs, e.version, e.unit, e.time, e.latency_ms
                        )
                        for e in given
                    ],
                    key=principal.key_id,
                    now=services.events.now(),
                    max_age_s=max_age_s,
                    max_rows=services.max_rows,
                )  # fmt: skip
        except Rejection as error:
            error.counts = max(1, len(given))
            raise
        services.events.keep_imported(made)
    services.instrumentation.imported(access, len(made))
    return [event.event_id for event in made]
