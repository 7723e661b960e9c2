"""A model's objectives on its page: what is left of each budget, and how fast it burns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from windvane.apps.console import times
from windvane.apps.console.csv_files import Sheet, moment
from windvane.apps.console.views import Chart
from windvane.usecases.read_objectives import ObjectiveReading

# Of more objectives the colours come again; each line is named.
_COLOURS = ("ink", "soft", "warn", "busy", "good")


def burn_down(readings: Sequence[ObjectiveReading]) -> Chart | None:
    """What was left of each budget over its span; None before a window was judged."""
    drawn = [one for one in readings if one.points]
    if not drawn:
        return None
    at = sorted({t for one in drawn for t, _ in one.points})
    series: list[dict[str, Any]] = []
    words: list[str] = []
    for one, colour in zip(drawn, cycle(_COLOURS), strict=False):
        left = dict(one.points)
        values = [None if t not in left else round(100.0 * left[t], 2) for t in at]
        series.append({"label": one.objective.name, "colour": colour, "values": values})
        words.append(f"{one.objective.name}: {one.left:.1%} of the budget left")
    data = {
        "t": at, "unit": "%", "series": series, "marks": [], "floor": 0.0, "free": True,
    }  # fmt: skip
    over = times.about(readings[0].over_s)
    return Chart("slo", "Error budget left", f"% of the budget of {over}", "; ".join(words), data)


def objectives_sheet(readings: Sequence[ObjectiveReading]) -> Sheet:
    columns = (
        "objective", "wanted", "over_s", "until", "counted_since", "bad", "events", "budget_left",
        "rule", "severity", "long_s", "short_s", "burns_at", "long_rate", "short_rate",
        "sounds_since",
    )  # fmt: skip
    rows = [
        (
            one.objective.title, one.wanted, one.over_s, moment(one.until),
            moment(one.counted_since), one.seen.bad, one.seen.total, one.left,
            burn.reading.rule.name, "page" if burn.reading.rule.page else "ticket",
            burn.reading.rule.long_s, burn.reading.rule.short_s, burn.reading.rule.factor,
            burn.reading.long, burn.reading.short, moment(burn.since),
        )
        for one in readings
        for burn in one.burns
    ]  # fmt: skip
    return Sheet("objectives", columns, rows)


def budget_sheet(readings: Sequence[ObjectiveReading]) -> Sheet:
    rows = [(one.objective.name, moment(t), left) for one in readings for t, left in one.points]
    return Sheet("budget", ("objective", "until", "budget_left"), rows)
