"""Faults of everyone and of one tenant through the monitor: what is found, when, and as whose."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import Measure
from watch_worlds import ROWS, START, WINDOW_S, Bench, bench_of, new_replay

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_windows import Replay

Counts = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]
Spoil = Callable[[Columns, np.random.Generator], None]

FILE = """
model: bench
features:
  trip:
    distance: {type: number, nullable: true}
    speed: {type: number, nullable: true}
    carrier: {type: category}
    origin: {type: category}
  weather:
    temp: {type: number, nullable: true}
    dewp: {type: number, nullable: true}
    pressure: {type: number, nullable: true}
    wind: {type: number, nullable: true}
"""
CARRIERS = np.array(["AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN"], object)
CARRIER_SHARES = (0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.04)
ORIGINS = np.array(["EWR", "JFK", "LGA"], object)
TENANTS = {"t34": 0.34, "t24": 0.24, "t18": 0.18, "t14": 0.14, "t08": 0.08, "t02": 0.02}
TARGETS = {"everyone": "", "a tenant of 18%": "t18", "a tenant of 2%": "t02"}
PAST, WARM, CALM, FAULTY, AFTER = 1_440, 400, 10, 60, 20
CLOSED_WITHIN = 5


def columns(tenant: str, rows: int, rng: np.random.Generator) -> Columns:
    """Healthy rows of a tenant; tenants differ by up to a quarter of a deviation."""
    off = 0.25 * (list(TENANTS).index(tenant) / 2.5 - 1.0)
    out: Columns = {
        "distance": rng.gamma(3.0, 300.0, rows),
        "speed": rng.normal(10.0 + 3.0 * off, 3.0, rows),
        "temp": rng.normal(60.0 + 10.0 * off, 10.0, rows),
        "dewp": rng.normal(48.0, 11.0, rows),
        "pressure": rng.normal(1_015.0, 8.0, rows),
        "wind": rng.normal(0.0, 5.0, rows),
    }
    for name in ("distance", "speed", "temp", "dewp", "pressure", "wind"):
        out[name][rng.random(rows) < 0.02] = np.nan
    out["carrier"] = rng.choice(CARRIERS, rows, p=CARRIER_SHARES)
    out["origin"] = rng.choice(ORIGINS, rows, p=(0.4, 0.35, 0.25))
    return out


def _nulls(share: float) -> Spoil:
    def spoil(c: Columns, rng: np.random.Generator) -> None:
        c["temp"] = np.where(rng.random(len(c["temp"])) < share, np.nan, c["temp"])

    return spoil


def _temp(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Spoil:
    def spoil(c: Columns, _: np.random.Generator) -> None:
        c["temp"] = change(c["temp"])

    return spoil


def _rename(c: Columns, _: np.random.Generator) -> None:
    c["carrier"] = np.where(c["carrier"] == "B6", "JBU", c["carrier"])


def _casing(c: Columns, _: np.random.Generator) -> None:
    c["carrier"] = np.array([name.lower() for name in c["carrier"]], object)


def _swap(c: Columns, _: np.random.Generator) -> None:
    c["temp"], c["dewp"] = c["dewp"], c["temp"]


@dataclass(frozen=True, slots=True)
class Fault:
    """``guilty``: the features that it is in; ``total``: no row is as it should be, in a way that
    one window shows; ``dated``: a step of a deviation and more."""

    spoil: Spoil
    guilty: tuple[str, ...] = ("temp",)
    total: bool = False
    dated: bool = True


FAULTS = {
    "nulls 100%": Fault(_nulls(1.0), total=True),
    "nulls 10%": Fault(_nulls(0.1), dated=False),
    "constant": Fault(_temp(lambda x: np.full_like(x, 61.0)), total=True),
    "all zero": Fault(_temp(np.zeros_like), total=True),
    "unit change": Fault(_temp(lambda x: (x - 32.0) / 1.8)),
    "+0.5 deviations": Fault(_temp(lambda x: x + 5.0), dated=False),
    "+1 deviation": Fault(_temp(lambda x: x + 10.0)),
    "variance x4": Fault(_temp(lambda x: 60.0 + 2.0 * (x - 60.0)), dated=False),
    "category renamed": Fault(_rename, ("carrier",), dated=False),
    "category casing": Fault(_casing, ("carrier",), total=True),
    "two columns swapped": Fault(_swap, ("temp", "dewp"), dated=False),
}


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A model whose tenants were healthy for hours, at window ``at``."""

    bench: Bench
    replay: Replay
    at: int


def _rows_of(tenant: str) -> int:
    return round(ROWS * TENANTS[tenant])


def _window(
    layout: Layout, rng: np.random.Generator, fault: Fault | None, target: str
) -> dict[str, Counts]:
    out: dict[str, Counts] = {}
    for tenant in TENANTS:
        given = columns(tenant, _rows_of(tenant), rng)
        if fault is not None and target in ("", tenant):
            fault.spoil(given, rng)
        out[tenant] = layout.count(given)[0]
    return out


def get_ready(seed: int) -> Ready:
    """Train on a day, and watch the healthy windows from which tenants are known."""
    rng = np.random.default_rng([seed, 1])
    file = read_model_file(FILE)
    sample = [columns(t, 50 * _rows_of(t), rng) for t in TENANTS]
    axes: list[NumericAxis | CategoryAxis] = []
    for name in [name for source in file.features.values() for name in source]:
        values = np.concatenate([one[name] for one in sample])
        if values.dtype == object:
            axes.append(CategoryAxis(name, tuple(sorted(set(values)))))
        else:
            axes.append(NumericAxis.fit(name, values.astype(np.float64)))
    layout = Layout(tuple(axes))
    past = {
        START + WINDOW_S * i: np.sum(list(_window(layout, rng, None, "").values()), axis=0)
        for i in range(PAST)
    }
    since = START + WINDOW_S * PAST
    bench = bench_of(file, layout, past, tenants=len(TENANTS), since=since)
    replay = new_replay()
    for i in range(PAST, PAST + WARM):
        replay.judge(bench.window(START + WINDOW_S * i, _window(layout, rng, None, "")))
    return Ready(bench, replay, PAST + WARM)


def rows_needed(
    layout: Layout, spoiled: Counts, healthy: Counts, guilty: Sequence[str], alarm_at: float
) -> float:
    """2 ln A / KL: rows of the affected cell from which evidence is expected to be enough."""
    most = 0.0
    for name in guilty:
        a = layout.part(spoiled, name).astype(float) + 0.5
        b = layout.part(healthy, name).astype(float) + 0.5
        a, b = a / a.sum(), b / b.sum()
        most = max(most, float((a * np.log(a / b)).sum()))
    return 2.0 * math.log(alarm_at) / most if most > 0.0 else math.inf


def _rows_needed(ready: Ready, fault: Fault, target: str) -> float:
    rng = np.random.default_rng(7)
    layout = ready.bench.layout
    whose = target or "t24"
    healthy = columns(whose, 100_000, rng)
    spoiled = {name: values.copy() for name, values in healthy.items()}
    fault.spoil(spoiled, rng)
    p, q = (layout.count(c)[0] for c in (spoiled, healthy))
    return rows_needed(layout, p, q, fault.guilty, ready.bench.policy.alarm_at)


def run_episode(ready: Ready, name: str, whose: str, seed: int) -> dict[str, Any]:
    """Healthy, then the fault, then healthy again; of one seed."""
    fault, target, bench = FAULTS[name], TARGETS[whose], ready.bench
    replay = new_replay()
    replay.states = copy.deepcopy(ready.replay.states)
    replay.learned = dict(ready.replay.learned)
    rng = np.random.default_rng([seed, 2, list(FAULTS).index(name), list(TARGETS).index(whose)])
    for i in range(CALM + FAULTY + AFTER):
        now = fault if CALM <= i < CALM + FAULTY else None
        start = START + WINDOW_S * (ready.at + i)
        replay.judge(bench.window(start, _window(bench.layout, rng, now, target)))
    began = START + WINDOW_S * (ready.at + CALM)
    ended = began + WINDOW_S * FAULTY
    source = "trip" if fault.guilty[0] == "carrier" else "weather"
    cause = f"tenant_feed:{target}" if target else f"feed:{source}"
    told = replay.alarms
    after = [a for a in told if a.opened > began]
    mine = [
        a for a in after if a.opened <= ended and set(fault.guilty) & {s for s, _ in a.suspects}
    ]
    one = mine[0] if mine else None
    rows = _rows_of(target) if target else ROWS
    windows = (one.opened - began) / WINDOW_S if one else math.inf
    named = [a for a in mine if a.cause == cause]
    closed = [a.closed for a in named]
    late = [math.inf if c is None else (c - ended) / WINDOW_S for c in closed]
    shown = one.evidence.get("suspects", []) if one else []
    return {
        "fault": name, "target": whose, "seed": seed, "total": fault.total, "dated": fault.dated,
        "found": one is not None, "windows": windows, "first": windows <= 1.0,
        "within": windows <= max(1.0, math.ceil(_rows_needed(ready, fault, target) / rows)) + 1.0,
        "guilty": bool(shown) and shown[0]["feature"] in fault.guilty,
        "named": bool(named), "incidents": len(told), "early": any(x <= 0.0 for x in late),
        "closed_after": max(late, default=math.inf),
        "since_error": abs(one.since - began) / WINDOW_S if one else math.inf,
        "causes": sorted({a.cause for a in told}),
    }  # fmt: skip


def run_faults(seed: int, names: Sequence[str] = tuple(FAULTS)) -> list[dict[str, Any]]:
    ready = get_ready(seed)
    return [run_episode(ready, name, whose, seed) for name in names for whose in TARGETS]


def _share(of: Sequence[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], bool]) -> float:
    return sum(map(key, of)) / len(of) if of else math.nan


def fault_measures(episodes: Sequence[Mapping[str, Any]], where: str = "") -> list[Measure]:
    """``where``: words that say into what the faults were put. ``first`` of a total fault: it is
    told by the first window that has rows enough to be judged. One that has ``joined`` an incident
    that was open is not asked when it closed."""
    out: list[Measure] = []
    for whose in TARGETS:
        mine = [e for e in episodes if e["target"] == whose]
        if not mine:
            continue
        found = [e for e in mine if e["found"]]
        dated = [e for e in found if e["dated"]]
        total = [e for e in mine if e["total"]]

        def at_least(what: str, value: float, bound: float, *, whose: str = whose) -> None:
            out.append(Measure(f"faults{where} of {whose}: {what}", value, at_least=bound))

        at_least("found (share)", _share(mine, lambda e: e["found"]), 1.0)
        at_least("total ones in their first window", _share(total, lambda e: e["first"]), 1.0)
        at_least("found within 2 ln A / KL rows", _share(mine, lambda e: e["within"]), 1.0)
        at_least("guilty feature first", _share(found, lambda e: e["guilty"]), 0.95)
        at_least("told as theirs", _share(found, lambda e: e["named"]), 0.95)
        at_least("one incident each", _share(mine, lambda e: e["incidents"] == 1), 1.0)
        own = [e for e in found if not e.get("joined")]
        at_least("closed within 5 windows of the end",
                 _share(own, lambda e: e["closed_after"] <= CLOSED_WITHIN), 1.0)  # fmt: skip
        at_least("open as long as the fault", _share(own, lambda e: not e["early"]), 1.0)
        if any(e["dated"] for e in mine):
            at_least("dated within 2 windows, of one deviation and more",
                     _share(dated, lambda e: e["since_error"] <= 2.0), 1.0)  # fmt: skip
    return out


def fault_table(episodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each fault and target, over its seeds."""
    out: list[dict[str, Any]] = []
    for name in FAULTS:
        for whose in TARGETS:
            mine = [e for e in episodes if (e["fault"], e["target"]) == (name, whose)]
            if not mine:
                continue
            windows = [e["windows"] for e in mine]
            closed = [e["closed_after"] for e in mine]
            out.append({
                "fault": name, "of": whose, "episodes": len(mine),
                "found": sum(e["found"] for e in mine),
                "windows": _finite(statistics.median(windows)), "worst": _finite(max(windows)),
                "guilty_first": sum(e["guilty"] for e in mine),
                "told_as_theirs": sum(e["named"] for e in mine),
                "incidents": sum(e["incidents"] for e in mine),
                "closed_after": _finite(max(closed)), "closed_early": sum(e["early"] for e in mine),
                "since_error": _finite(max(e["since_error"] for e in mine)),
            })  # fmt: skip
    return out


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
