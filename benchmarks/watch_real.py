"""Real rows in real order: false pages where nothing drifts, and faults put into every table.

All monitors that sketches are enough for are replayed, with their share of the one budget.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import Measure
from watch_faults import fault_measures, rows_needed
from watch_peers import KS_AT, PSI_AT, TableReference
from watch_tables import DAY_S, TABLES, Table, TableFault, read_table
from watch_worlds import Bench, lower_95

from windvane.usecases.read_model_file import parse_budget
from windvane.usecases.replay_windows import Replay, ToldAlarm

WEEK_S = 7.0 * DAY_S
STEADY = ("retail", "employment")
PEER_ROWS = 200
TOO_MANY = 3.0
SCALES = (1e3, 1e5, 1e9)
"""By which ``alarm_at`` is divided, one after the other, for a detector at 3x the budget."""
ALL_WEEKS = 1e9
_BY_LOG = frozenset({"dependence"})
"""Monitors that judge by rows of the log, which sketches have none of."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """A table whose windows were judged up to some moment."""

    table: Table
    bench: Bench
    replay: Replay


def judge(
    watched: Watched, start: float, fault: TableFault | None = None, target: str = ""
) -> None:
    watched.replay.judge(watched.bench.window(start, watched.table.counts(start, fault, target)))
    failed = {n: why for n, why in watched.replay.left_out.items() if n not in _BY_LOG}
    if failed:
        raise SystemExit(f"a monitor failed: {failed}")


def forked(watched: Watched) -> Watched:
    """What goes on from here by itself, with what is open."""
    held, replay = watched.replay, Replay()
    replay.states, replay.learned = copy.deepcopy(held.states), dict(held.learned)
    replay.alarms, replay._open = copy.deepcopy((held.alarms, held._open))
    return Watched(watched.table, watched.bench, replay)


def pages(alarms: Sequence[ToldAlarm]) -> int:
    """Those that people are told of at once, not in the digest."""
    return sum(alarm.told == "notify" for alarm in alarms)


def scaled(bench: Bench, by: float) -> Bench:
    """The same model, with every threshold of evidence divided."""
    policy = replace(
        bench.policy,
        alarm_at=max(1.0, bench.policy.alarm_at / by),
        slow_alarm_at=max(1.0, bench.policy.slow_alarm_at / by),
    )
    return replace(bench, policy=policy)


def budget_of(bench: Bench) -> float:
    """False alarms a week that the model's file allows."""
    allowed, per_s = parse_budget(bench.file.watch.false_alarms)
    return allowed * WEEK_S / per_s


def _judged(table: Table, weeks: float) -> list[float]:
    until = table.trained_to + weeks * WEEK_S
    return [s for s in table.windows if table.trained_to <= s < until]


def _replayed(bench: Bench, table: Table, starts: Sequence[float]) -> Replay:
    watched = Watched(table, bench, Replay())
    for start in starts:
        judge(watched, start)
    return watched.replay


def run_steady(name: str, weeks: float, loosened_weeks: float) -> dict[str, Any]:
    """Windows in real order for ``weeks`` at most, where each alarm is a false one; and for
    ``loosened_weeks`` by a detector whose thresholds are lowered until it tells three times too
    often."""
    table = read_table(name)
    bench = table.trained()
    starts = _judged(table, weeks)
    replay = _replayed(bench, table, starts)
    found = (starts[-1] + table.window_s - starts[0]) / WEEK_S
    reference = TableReference.of(
        table.take(np.flatnonzero(np.arange(len(table.tenant_of)) < _first_row(table, starts[0])))
    )
    rows = np.concatenate([table.windows[s] for s in starts])
    looks = psi = ks = 0
    for at in range(0, len(rows) - PEER_ROWS + 1, PEER_ROWS):
        looks += 1
        given = table.take(rows[at : at + PEER_ROWS])
        psi += max(reference.psi(given).values()) > PSI_AT
        ks += min(reference.ks_p(given).values()) < KS_AT
    return {
        "table": name, "windows": len(starts), "weeks": found,
        "allowed": budget_of(bench) * found, "pages": pages(replay.alarms),
        "alarms": len(replay.alarms),
        "by_cause": _by_cause(replay.alarms, "notify"),
        "in_digest": _by_cause(replay.alarms, "digest"),
        "psi_pages": psi, "ks_pages": ks, "peer_windows": looks,
        "titles": [a.title for a in replay.alarms if a.told == "notify"][:20],
        "loosened": _loosened(bench, table, _judged(table, min(weeks, loosened_weeks))),
    }  # fmt: skip


def _by_cause(alarms: Sequence[ToldAlarm], told: str) -> dict[str, int]:
    return dict(Counter(a.kind for a in alarms if a.told == told))


def steady_table(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each detector of each table; of windows of 200 rows of peers, a page each."""
    out: list[dict[str, Any]] = []
    for run in runs:
        told = {"Windvane": run["pages"], "PSI > 0.2": run["psi_pages"],
                "KS p < .05": run["ks_pages"]}  # fmt: skip
        for name, found in told.items():
            ours = name == "Windvane"
            out.append({
                "table": run["table"], "detector": name, "weeks": run["weeks"],
                "false pages": found, "allowed": run["allowed"] if ours else "",
                "in the digest": run["alarms"] - found if ours else "",
                "pages by cause": run["by_cause"] if ours else "",
                "digest by cause": run["in_digest"] if ours else "",
            })  # fmt: skip
        loose = run["loosened"]
        out.append({
            "table": run["table"], "detector": f"alarm_at / {loose['divided_by']:g}",
            "weeks": loose["weeks"], "false pages": loose["pages"], "allowed": loose["allowed"],
            "in the digest": "", "pages by cause": "", "digest by cause": "",
        })  # fmt: skip
    return out


def _first_row(table: Table, start: float) -> int:
    return int(table.windows[start][0])


def _loosened(bench: Bench, table: Table, starts: Sequence[float]) -> dict[str, Any]:
    weeks = (starts[-1] + table.window_s - starts[0]) / WEEK_S
    allowed = budget_of(bench) * weeks
    out: dict[str, Any] = {}
    for by in SCALES:
        found = pages(_replayed(scaled(bench, by), table, starts).alarms)
        out = {"divided_by": by, "weeks": weeks, "pages": found, "allowed": allowed}
        if found >= TOO_MANY * allowed:
            break
    return out


def steady_measures(runs: Sequence[Mapping[str, Any]]) -> list[Measure]:
    out: list[Measure] = []
    for run in runs:
        name, loose = run["table"], run["loosened"]
        out += [
            Measure(f"{name} in real order: false pages, lower 95% bound over what is allowed",
                    lower_95(run["pages"]) / run["allowed"], at_most=1.0),
            Measure(f"{name} in real order: alarms with those of the digest, the same bound",
                    lower_95(run["alarms"]) / run["allowed"], at_most=1.0),
            Measure(f"{name}: the same bound of a detector with alarm_at scaled to 3x the budget",
                    lower_95(loose["pages"]) / loose["allowed"], at_least=1.01),
            Measure(f"{name}: false pages, as a share of those of PSI > 0.2 with 200 rows a window",
                    run["pages"] / run["psi_pages"] if run["psi_pages"] else math.nan,
                    at_most=0.4),
        ]  # fmt: skip
    return out


@cache
def get_ready(name: str, weeks: float = ALL_WEEKS) -> Watched:
    """Trained, and watched until faults begin, for ``weeks`` at most."""
    table = read_table(name)
    watched = Watched(table, table.trained(), Replay())
    begins = max(table.trained_to, table.fault_at - weeks * WEEK_S)
    for start in table.windows:
        if begins <= start < table.fault_at:
            judge(watched, start)
    return watched


def _span(table: Table) -> tuple[list[float], list[float]]:
    starts = [s for s in table.windows if s >= table.fault_at]
    return starts[: table.faulty], starts[table.faulty : table.faulty + table.after]


def _needed(watched: Watched, fault: TableFault, target: str, starts: Sequence[float]) -> float:
    layout, table = watched.bench.layout, watched.table

    def total(fault: TableFault | None) -> NDArray[np.int64]:
        counts = [table.counts(s, fault, target) for s in starts]
        sent = [n for c in counts for t, n in c.items() if target in ("", t)]
        return np.sum([*sent, np.zeros(layout.size, np.int64)], axis=0)

    return rows_needed(
        layout, total(fault), total(None), fault.guilty, watched.bench.policy.alarm_at
    )


def run_episodes(
    name: str, whose: Sequence[str], faults: Sequence[str] = (), weeks: float = ALL_WEEKS
) -> list[dict[str, Any]]:
    """Each fault of each of ``whose``, after the same past of ``weeks`` at most; and the same span
    without a fault, for what the table itself does then is nobody's fault. A fault that only makes
    an incident grow that is open already has ``joined`` it."""
    ready = get_ready(name, weeks)
    calm = forked(ready)
    for start in [s for part in _span(ready.table) for s in part]:
        judge(calm, start)
    return [
        _episode(ready, calm.replay.alarms, fault, one)
        for fault in faults or ready.table.faults
        if fault in ready.table.faults
        for one in whose
    ]


def _episode(ready: Watched, calm: Sequence[ToldAlarm], name: str, whose: str) -> dict[str, Any]:
    table = ready.table
    fault, target = table.faults[name], table.targets[whose]
    watched = forked(ready)
    faulty, after = _span(table)
    held = _suspects(watched.replay.alarms)
    most = {(a.cause, a.opened): dict(a.suspects) for a in calm}
    joined: tuple[float, ToldAlarm] | None = None
    for start in faulty:
        judge(watched, start, fault, target)
        grown = [
            a for a in watched.replay.alarms
            if (key := (a.cause, a.opened)) in held and a.closed is None and any(
                size > max(held[key].get(name, 0.0), most.get(key, {}).get(name, 0.0))
                for name, size in a.suspects if name in fault.guilty
            )
        ]  # fmt: skip
        if joined is None and grown:
            joined = (start + table.window_s, grown[0])
    for start in after:
        judge(watched, start)
    began, ended = faulty[0], faulty[-1] + table.window_s
    anyway = Counter((a.cause, a.opened) for a in calm)
    told = [
        a for a in watched.replay.alarms
        if a.opened > began and (a.cause, a.opened) not in anyway
    ]  # fmt: skip
    mine = [
        a for a in told
        if a.opened <= ended and set(fault.guilty) & {s for s, _ in a.suspects}
    ]  # fmt: skip
    one, opened = (mine[0], mine[0].opened) if mine else (None, math.inf)
    if joined is not None and joined[0] < opened:
        opened, one = joined
        mine = [one]
    else:
        joined = None
    causes = (
        {f"tenant_feed:{target}"}
        if target
        else {f"feed:{table.views[feature]}" for feature in fault.guilty}
    )
    rows = [len(table.rows_of(start, target)) for start in faulty]
    seen = math.inf if one is None else sum(s + table.window_s <= opened for s in faulty)
    needed = _needed(ready, fault, target, faulty)
    least = ready.bench.policy.min_rows
    named = [a for a in mine if a.cause in causes]
    late = [math.inf if a.closed is None else _windows_after(after, ended, a.closed) for a in mine]
    shown = [s for s, _ in one.suspects] if one else []
    return {
        "table": table.name, "fault": name, "target": whose, "total": fault.total,
        "dated": fault.dated and joined is None, "joined": joined is not None,
        "found": one is not None, "windows": seen,
        "rows": math.inf if one is None else sum(rows[: int(seen)]),
        "first": seen <= _windows_with(rows, least),
        "within": seen <= _windows_with(rows, max(needed, least)) + 1.0,
        "guilty": bool(shown) and shown[0] in fault.guilty, "named": bool(named),
        "incidents": max(len(told), int(one is not None)),
        "early": any(a.closed is not None and a.closed <= ended for a in mine),
        "closed_after": max(late, default=math.inf),
        "since_error": abs(one.since - began) / table.window_s if one else math.inf,
        "needed": needed, "causes": sorted({a.cause for a in told}),
    }  # fmt: skip


def _suspects(alarms: Sequence[ToldAlarm]) -> dict[tuple[str, float], dict[str, float]]:
    """Of each that is open: the sizes of the effects by feature."""
    return {(a.cause, a.opened): dict(a.suspects) for a in alarms if a.closed is None}


def _windows_with(rows: Sequence[int], needed: float) -> float:
    """The windows after which the cell has so many rows; at least one, all of them where it never
    does."""
    enough = np.flatnonzero(np.cumsum(rows) >= needed)
    return float(enough[0] + 1) if len(enough) else float(len(rows))


def _windows_after(after: Sequence[float], ended: float, closed: float) -> float:
    return float(sum(ended <= start < closed for start in after))


def episode_measures(episodes: Sequence[Mapping[str, Any]]) -> list[Measure]:
    out: list[Measure] = []
    for name in TABLES:
        mine = [e for e in episodes if e["table"] == name]
        if mine:
            out += fault_measures(mine, f" in {name}")
    return out


def episode_table(episodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each; the windows and the rows of the affected cell until it was told."""
    return [
        {
            "table": e["table"], "fault": e["fault"], "of": e["target"], "found": e["found"],
            "joined an open incident": e["joined"],
            "windows": _shown(e["windows"]), "rows": _shown(e["rows"]),
            "rows needed": _shown(e["needed"]), "guilty first": e["guilty"],
            "told as theirs": e["named"], "incidents": e["incidents"],
            "closed after": _shown(e["closed_after"]), "closed early": e["early"],
            "since error": _shown(e["since_error"]), "causes": ", ".join(e["causes"]),
        }
        for e in episodes
    ]  # fmt: skip


def _shown(value: float) -> float | str:
    return value if math.isfinite(value) else "never"
