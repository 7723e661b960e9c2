"""When a monitor that merges many windows into one look is due."""

from __future__ import annotations

from windvane.usecases.closed_window import ClosedWindow


def due_since(window: ClosedWindow, held: float) -> tuple[float, bool]:
    """(start of the span, whether it is over) where the last look ended at ``held``, 0.0 for
    none."""
    start = held or window.watched_since
    return start, window.end - start >= window.policy.drift_over_s
