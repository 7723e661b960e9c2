"""When a monitor that merges many windows into one look is due, and what it looks at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from windvane.ports.event_log import EventLog, ScoredRows
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.count_outcomes import arrive_within_s

BLOCKS = 7
"""In one ``drift_over``: of its default, a block is a day."""
LOOK_WITHIN_S = 60.0
_MOST_ROWS = 500_000
_ROUNDING = 1e-9  # of a block: seven sevenths are one


def due_since(window: ClosedWindow, held: float) -> tuple[float, bool]:
    """(start of the span, whether it is over) where the last look ended at ``held``, 0.0 for
    none."""
    start = held or window.watched_since
    return start, window.end - start >= window.policy.drift_over_s


def block_seconds(window: ClosedWindow) -> float:
    return window.policy.drift_over_s / BLOCKS


def rolling_due(window: ClosedWindow, held: float) -> bool:
    """Whether a look at the last ``drift_over`` is due where the last one ended at ``held``, 0.0
    for none: the first once so much was watched, then one with the end of each block. Blocks are
    counted from when the model was first watched, so that not all models are looked at at once."""
    ended = _blocks(window, window.end)
    return ended >= BLOCKS and (not held or ended > _blocks(window, held))


def _blocks(window: ClosedWindow, at: float) -> int:
    return math.floor((at - window.watched_since) / block_seconds(window) + _ROUNDING)


def rolling_alarm_at(window: ClosedWindow) -> float:
    """The threshold of a stream that is looked at with the end of each block.

    Rolling spans overlap, so their looks depend on each other; the bound needs nothing of that:
    whatever they share, the false alarms to be expected of ``BLOCKS`` looks are at most the sum of
    theirs (Boole's inequality), which is what the budget gives a stream for one span.
    """
    return window.policy.slow_alarm_at * BLOCKS


def scored_span(window: ClosedWindow) -> tuple[float, float]:
    """(start, end) in s of the predictions that a look at the end of ``window`` is at.

    Where outcomes may take longer than a span, it is the last one of which all are due: of a
    younger one hardly any have come, and of each prediction none ever would be looked at.
    """
    within, over_s = arrive_within_s(window.file) or 0.0, window.policy.drift_over_s
    until = window.end - within if within > over_s else window.end
    return until - over_s, until


def scored_rows(window: ClosedWindow, log: EventLog) -> Sequence[ScoredRows]:
    """Of the `scored_span`, the newest half million, with the values of features that make
    segments: read once a window, whoever asks. Raises LogTooSlow, for everyone who asks where it
    was so for the first."""
    began, until = scored_span(window)
    return window.once.read(
        "scored",
        lambda: log.scored(
            window.model, window.file.contract, began, until, arrive_within_s(window.file),
            limit=_MOST_ROWS, within_s=LOOK_WITHIN_S, features=window.file.segments,
        ),
    )  # fmt: skip
