"""A year of real flights in real order: what the monitor of sudden shifts tells of it.

Faults that are put into it are those of every table: `watch_real.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from results import Measure
from watch_tables import read_table
from watch_worlds import lower_95, new_replay

from windvane.usecases.replay_windows import ToldAlarm

UNTIL = dt.datetime(2014, 1, 1, tzinfo=dt.UTC).timestamp()
MONTH_S = 30 * 86_400.0


def run_flights(days: float) -> dict[str, Any]:
    """Trained on January to March; judged for ``days`` from April on, to the end of the year at
    most, with each carrier as a tenant."""
    table = read_table("flights")
    bench, replay = table.trained(), new_replay()
    last = min(UNTIL, table.trained_to + days * 86_400.0)
    for start in table.windows:
        if not table.trained_to <= start < last:
            continue
        replay.judge(bench.window(start, table.counts(start)))
        if replay.left_out:
            raise SystemExit(f"the monitor failed: {replay.left_out}")
    months: dict[str, int] = {}
    for alarm in replay.alarms:
        month = dt.datetime.fromtimestamp(alarm.opened, dt.UTC).strftime("%Y-%m")
        months[month] = months.get(month, 0) + 1
    return {
        "windows": replay.windows, "months": (last - table.trained_to) / MONTH_S,
        "by_month": months, "by_kind": _by(replay.alarms, lambda a: a.kind),
        "told": _by(replay.alarms, lambda a: a.told),
        "incidents": len(replay.alarms),
        "feeds": sum(a.kind != "input_shift" for a in replay.alarms),
        "titles": [a.title for a in replay.alarms][:20],
    }  # fmt: skip


def _by(alarms: list[ToldAlarm], key: Callable[[ToldAlarm], str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for alarm in alarms:
        out[key(alarm)] = out.get(key(alarm), 0) + 1
    return out


def flight_measures(run: Mapping[str, Any]) -> list[Measure]:
    return [
        Measure("flights in real order: broken sources told, lower 95% bound over 1 a month",
                lower_95(run["feeds"]) / run["months"], at_most=1.0)
    ]  # fmt: skip
