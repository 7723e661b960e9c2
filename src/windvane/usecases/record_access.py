"""Who called what, under which key, from when to when."""

from __future__ import annotations

from collections.abc import Iterable

from windvane.inference.imported import IMPORTED
from windvane.ports.control_store import Access
from windvane.ports.events import Compared, Denied, OutcomeSeen, Predicted, Refused, SpoolRecord

HOUR_S = 3600.0


def accesses(events: Iterable[SpoolRecord]) -> list[Access]:
    """One line for each tenant, key, model, action and hour. A request counts once, however
    many rows it has; of outcomes, and of predictions made elsewhere, each counts."""
    held: dict[tuple[str, str, str, str, float], list[float]] = {}
    for event in events:
        if isinstance(event, Compared):  # nobody called
            continue
        ts = event.ts
        if isinstance(event, Predicted):
            flags = event.routes[0].flags
            action = "events" if flags and IMPORTED in flags else "predict"
        else:
            action = _action(event)
        key = (event.tenant, event.key, event.model, action, ts // HOUR_S * HOUR_S)
        times = held.get(key)
        if times is None:
            held[key] = [ts]
        else:
            times.append(ts)
    return [
        Access(*key, calls=len(times), first=min(times), last=max(times))
        for key, times in held.items()
    ]


def _action(event: Refused | OutcomeSeen | Denied) -> str:
    match event:
        case OutcomeSeen():
            return "outcomes"
        case Refused():
            return f"refused {event.code}"
        case Denied():
            return f"denied {event.code}"
