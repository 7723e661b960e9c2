"""Who called what, under which key, from when to when."""

from __future__ import annotations

from collections.abc import Iterable

from windvane.ports.control_store import Access
from windvane.ports.events import Denied, OutcomeSeen, Predicted, Refused, SpoolRecord

HOUR_S = 3600.0


def accesses(events: Iterable[SpoolRecord]) -> list[Access]:
    """One line for each tenant, key, model, action and hour. A request counts once, however
    many rows it has; of outcomes, each counts."""
    held: dict[tuple[str, str, str, str, float], Access] = {}
    for event in events:
        action = _action(event)
        key = (event.tenant, event.key, event.model, action, event.ts // HOUR_S * HOUR_S)
        seen = held.get(key)
        if seen is None:
            held[key] = Access(*key, calls=1, first=event.ts, last=event.ts)
        else:
            first, last = min(seen.first, event.ts), max(seen.last, event.ts)
            held[key] = Access(*key, calls=seen.calls + 1, first=first, last=last)
    return list(held.values())


def _action(event: SpoolRecord) -> str:
    match event:
        case Predicted():
            return "predict"
        case OutcomeSeen():
            return "outcomes"
        case Refused() | Denied():
            return f"refused {event.code}" if isinstance(event, Refused) else f"denied {event.code}"
