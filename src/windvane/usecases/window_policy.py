"""What a model's file means for the monitors of its windows."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.drift import alarm_threshold, block_seconds
from windvane.usecases.read_model_file import ModelFile, parse_budget, parse_duration

_OF_SLOW = 0.5
"""The part of the budget that is for what is looked at once in a while."""


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """Spans in seconds, and the thresholds that follow from the one budget of false alarms:
    ``alarm_at`` for streams that are looked at in every window, ``slow_alarm_at`` for those that
    are looked at once in ``drift_over_s``."""

    window_s: float
    grace_s: float
    recent_s: float
    block_s: float
    drift_over_s: float
    min_rows: int
    alarm_at: float
    slow_alarm_at: float


def window_policy(file: ModelFile, *, streams: int, slow_streams: int) -> WindowPolicy:
    """The budget is the installation's: every stream of every model shares it.

    ``streams`` are looked at in each window, ``slow_streams`` once in ``drift_over``: these have
    half of it, over their own windows.
    """
    watch = file.watch
    allowed, per_s = parse_budget(watch.false_alarms)
    window_s, over_s = parse_duration(watch.window), parse_duration(watch.drift_over)
    recent_s = parse_duration(watch.recent)
    return WindowPolicy(
        window_s=window_s,
        grace_s=parse_duration(watch.grace),
        recent_s=recent_s,
        block_s=block_seconds(window_s, recent_s),
        drift_over_s=over_s,
        min_rows=watch.min_rows,
        alarm_at=alarm_threshold(streams, window_s, allowed * (1.0 - _OF_SLOW), per_s),
        slow_alarm_at=alarm_threshold(slow_streams, over_s, allowed * _OF_SLOW, per_s),
    )
