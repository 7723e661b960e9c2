"""A year of real flights in real order: what the monitor tells of it, and of faults put into it."""

from __future__ import annotations

import copy
import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flight_rows import VIEWS, FlightRows, fit_layout, read_flight_rows
from numpy.typing import NDArray
from results import Measure
from watch_worlds import Bench, bench_of, lower_95, new_replay

from windvane.core.sketch import Layout
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_windows import Replay, ToldAlarm

Counts = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]
WINDOW_S = 3 * 3_600.0
FEATURES = (
    "carrier", "origin", "dest", "hour", "weekday", "distance", "plane_year", "seats", "engines",
    "manufacturer", "temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure",
    "visib",
)  # fmt: skip
NAMES = {"carrier", "origin", "dest", "manufacturer"}
TRAINED_TO = dt.datetime(2013, 4, 1, tzinfo=dt.UTC).timestamp()
FAULT_AT = dt.datetime(2013, 9, 10, tzinfo=dt.UTC).timestamp()
UNTIL = dt.datetime(2014, 1, 1, tzinfo=dt.UTC).timestamp()
FAULTY_WINDOWS = 24
TENANT = "US"
"""A carrier with 6% of the flights; every carrier is a tenant."""
MONTH_S = 30 * 86_400.0


def _celsius(c: Columns) -> None:
    c["temp"] = (c["temp"] - 32.0) / 1.8


def _no_seats(c: Columns) -> None:
    c["seats"] = np.full(len(c["seats"]), np.nan)


def _clear(c: Columns) -> None:
    c["visib"] = np.full(len(c["visib"]), 10.0) * 0.0


def _lower(c: Columns) -> None:
    c["origin"] = np.array([None if v is None else v.lower() for v in c["origin"]], object)


def _hour_shift(c: Columns) -> None:
    c["hour"] = (c["hour"] + 5.0) % 24.0


FAULTS: dict[str, tuple[Callable[[Columns], None], str, bool]] = {
    "temperature in Celsius": (_celsius, "temp", False),
    "seats 100% null": (_no_seats, "seats", True),
    "visibility all zero": (_clear, "visib", True),
    "origin in lower case": (_lower, "origin", True),
    "hours in UTC": (_hour_shift, "hour", False),
}


def _file() -> str:
    lines = ["model: flights", "features:"]
    for view in dict.fromkeys(VIEWS.values()):
        lines.append(f"  {view}:")
        for name in FEATURES:
            if VIEWS[name] == view:
                kind = "category" if name in NAMES else "number"
                lines.append(f"    {name}: {{type: {kind}, nullable: true}}")
    lines.append(
        "watch: {window: 3h, min_rows: 50, recent: 14d, drift_over: 7d, false_alarms: 1 per month}"
    )
    return "\n".join(lines)


class Year:
    """The flights by window of three hours and carrier."""

    def __init__(self, rows: FlightRows) -> None:
        self.rows = rows
        trained = np.flatnonzero(rows.times < TRAINED_TO)
        self.layout: Layout = fit_layout(rows, trained, FEATURES)
        slots = (rows.times // WINDOW_S).astype(np.int64)
        bounds = np.flatnonzero(np.diff(slots)) + 1
        self.parts = {
            float(slots[part[0]]) * WINDOW_S: part
            for part in np.split(np.arange(len(rows)), bounds)
        }
        self.carriers = rows.columns["carrier"]

    def counts(
        self, start: float, spoil: Callable[[Columns], None] | None = None, target: str = ""
    ) -> Mapping[str, Counts]:
        part = self.parts[start]
        out: dict[str, Counts] = {}
        for carrier in sorted(set(self.carriers[part])):
            mine = part[self.carriers[part] == carrier]
            given = {name: self.rows.columns[name][mine] for name in FEATURES}
            if spoil is not None and target in ("", carrier):
                spoil(given)
            out[str(carrier)] = self.layout.count(given)[0]
        return out


def _judge(bench: Bench, replay: Replay, start: float, counts: Mapping[str, Counts]) -> None:
    replay.judge(bench.window(start, counts))
    if replay.left_out:
        raise SystemExit(f"the monitor failed: {replay.left_out}")


def _episode(year: Year, bench: Bench, ready: Replay, name: str, target: str) -> dict[str, Any]:
    spoil, guilty, total = FAULTS[name]
    replay = new_replay()
    replay.states = copy.deepcopy(ready.states)
    replay.learned = dict(ready.learned)
    starts = [s for s in sorted(year.parts) if s >= FAULT_AT][:FAULTY_WINDOWS]
    for start in starts:
        _judge(bench, replay, start, year.counts(start, spoil, target))
    mine = [a for a in replay.alarms if guilty in {s for s, _ in a.suspects}]
    one: ToldAlarm | None = mine[0] if mine else None
    cause = f"tenant_feed:{target}" if target else f"feed:{VIEWS[guilty]}"
    return {
        "fault": name, "of": target or "everyone", "total": total, "found": one is not None,
        "windows": math.inf if one is None else round((one.opened - starts[0]) / WINDOW_S),
        "told_as_theirs": any(a.cause == cause for a in mine), "incidents": len(replay.alarms),
    }  # fmt: skip


def run_flights(last: float = UNTIL, *, faults: bool = True) -> dict[str, Any]:
    """Trained on January to March; judged from April on, with each carrier as a tenant."""
    year = Year(read_flight_rows())
    starts = sorted(year.parts)
    past = {s: np.sum(list(year.counts(s).values()), axis=0) for s in starts if s < TRAINED_TO}
    tenants = len(set(year.carriers))
    bench = bench_of(read_model_file(_file()), year.layout, past, tenants=tenants, since=TRAINED_TO)
    replay, episodes = new_replay(), []
    for start in starts:
        if not TRAINED_TO <= start < last:
            continue
        if faults and start >= FAULT_AT and not episodes:
            episodes = [
                _episode(year, bench, replay, name, target)
                for name in FAULTS
                for target in ("", TENANT)
            ]
        _judge(bench, replay, start, year.counts(start))
    months: dict[str, int] = {}
    for alarm in replay.alarms:
        month = dt.datetime.fromtimestamp(alarm.opened, dt.UTC).strftime("%Y-%m")
        months[month] = months.get(month, 0) + 1
    return {
        "windows": replay.windows, "months": (last - TRAINED_TO) / MONTH_S,
        "by_month": months, "by_kind": _by(replay.alarms, lambda a: a.kind),
        "told": _by(replay.alarms, lambda a: a.told),
        "incidents": len(replay.alarms),
        "feeds": sum(a.kind != "input_shift" for a in replay.alarms),
        "episodes": episodes,
        "titles": [a.title for a in replay.alarms][:20],
    }  # fmt: skip


def _by(alarms: list[ToldAlarm], key: Callable[[ToldAlarm], str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for alarm in alarms:
        out[key(alarm)] = out.get(key(alarm), 0) + 1
    return out


def flight_measures(run: Mapping[str, Any]) -> list[Measure]:
    out = [
        Measure("flights in real order: broken sources told, lower 95% bound over 1 a month",
                lower_95(run["feeds"]) / run["months"], at_most=1.0)
    ]  # fmt: skip
    for whose, mine in (
        ("everyone", [e for e in run["episodes"] if e["of"] == "everyone"]),
        (f"carrier {TENANT}", [e for e in run["episodes"] if e["of"] != "everyone"]),
    ):
        if mine:
            total = [e for e in mine if e["total"]]
            share = sum(e["found"] for e in mine) / len(mine)
            first = sum(e["windows"] <= 1 for e in total) / len(total)
            theirs = sum(e["told_as_theirs"] for e in mine) / len(mine)
            out += [
                Measure(f"faults in flights of {whose}: found (share)", share, at_least=1.0),
                Measure(f"faults in flights of {whose}: total ones in one window", first,
                        at_least=1.0),
                Measure(f"faults in flights of {whose}: told as theirs", theirs, at_least=0.95),
            ]  # fmt: skip
    return out
