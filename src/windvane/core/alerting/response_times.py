"""How long it took to detect, to acknowledge and to resolve incidents, over time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WEEK_S = 7 * 86_400.0
_MONDAY_S = 4 * 86_400.0  # the epoch began on a Thursday


@dataclass(frozen=True, slots=True)
class IncidentTimes:
    """When an incident began by the best estimate (``since``), opened, was first acknowledged and
    closed (s since the epoch); None for what has not happened."""

    model: str
    since: float
    opened_at: float
    acknowledged_at: float | None = None
    closed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """The median (s) of ``count`` delays, None of none."""

    median_s: float | None
    count: int


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """Of the incidents of one ``model`` that opened in the week from ``week`` on (s, a Monday
    00:00 UTC; None for all weeks): from onset to detection, from the opening to the first
    acknowledgement and to the end. Each counts what has happened: an open incident has no end."""

    model: str
    week: float | None
    incidents: int
    detect: Delay
    acknowledge: Delay
    resolve: Delay


def week_of(at: float) -> float:
    """The Monday 00:00 UTC at or before ``at`` (s since the epoch)."""
    return (at - _MONDAY_S) // WEEK_S * WEEK_S + _MONDAY_S


def measure_response(found: Iterable[IncidentTimes]) -> tuple[ResponseTimes, ...]:
    """Of each model, all weeks first and then week by week; models by name. Weeks without an
    incident are left out."""
    groups: dict[tuple[str, float | None], list[IncidentTimes]] = {}
    for one in found:
        for week in (None, week_of(one.opened_at)):
            groups.setdefault((one.model, week), []).append(one)
    order = sorted(groups, key=lambda key: (key[0], key[1] is not None, key[1] or 0.0))
    return tuple(_measure(*key, groups[key]) for key in order)


def _measure(model: str, week: float | None, found: Sequence[IncidentTimes]) -> ResponseTimes:
    return ResponseTimes(
        model,
        week,
        len(found),
        _delay([one.opened_at - one.since for one in found]),
        _delay(
            [
                one.acknowledged_at - one.opened_at
                for one in found
                if one.acknowledged_at is not None
            ]
        ),
        _delay([one.closed_at - one.opened_at for one in found if one.closed_at is not None]),
    )


def _delay(delays: Sequence[float]) -> Delay:
    held = [max(0.0, delay) for delay in delays]
    return Delay(statistics.median(held) if held else None, len(held))
