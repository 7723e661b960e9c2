"""From a false-alarm budget to an e-detector's threshold."""

from __future__ import annotations


def alarm_threshold(
    streams: int, window_seconds: float, allowed: float, per_seconds: float
) -> float:
    """The threshold A that keeps all streams together within the budget.

    An e-detector that alarms at ``R >= A`` has an average run length of at least A windows,
    so ``streams`` of them raise at most ``streams / A`` false alarms a window. With
    ``per_seconds / window_seconds`` windows a period, ``A = streams * windows / allowed``.
    """
    windows = per_seconds / window_seconds
    return max(1.0, streams * windows / allowed)
