"""Events whose window was judged before they were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from windvane.ports.control_store import Tx
from windvane.ports.quarantine import Counted, CountName


def judged_until(tx: Tx, model: str) -> float:
    """Business time in seconds up to which the model's windows are judged; 0 where none is."""
    held = tx.progress([model]).get(model)
    return held.until if held is not None else 0.0


def late_events(tx: Tx, times: Mapping[str, Sequence[float]]) -> dict[Counted, int]:
    """Of events by model and time, how many are late. Their sketches hold them, their window's
    verdict does not."""
    out: dict[Counted, int] = {}
    for model, found in times.items():
        until = judged_until(tx, model)
        if late := sum(ts < until for ts in found):
            out[Counted(CountName.LATE_EVENTS, model)] = late
    return out
