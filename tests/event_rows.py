"""Events as a gateway writes them, for tests that begin behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from windvane.ports.events import Predicted, RouteTaken, as_column, as_columns


def predicted_event(
    event_id: str,
    ts: float,
    model: str,
    tenant: str,
    contract: str,
    *,
    values: Sequence[Any],
    outputs: Sequence[Any],
    rows: int = 1,
    unit: str = "u1",
    routed: str = "1",
    answered: str = "1",
    arm: str = "champion",
    flags: Sequence[str] = (),
    rollout: str = "",
    latency_us: int = 900,
    request_id: str = "",
    key: str = "",
    explanation: str = "",
) -> Predicted:
    """``rows`` equal rows that took one route."""
    route = RouteTaken(routed, answered, arm, list(flags))
    return Predicted(
        event_id, ts, model, tenant, contract, rollout, latency_us, rows,
        as_column([unit] * rows), [route], as_columns([tuple(values)] * rows),
        as_columns([tuple(outputs)] * rows), request_id, key,
        as_column([explanation] * rows) if explanation else "",
    )  # fmt: skip
