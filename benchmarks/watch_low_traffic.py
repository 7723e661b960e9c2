"""Twenty rows an hour: total faults, and what a window of 200 rows would have told."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import Measure
from watch_peers import KS_AT, PSI_AT, ks_p, psi
from watch_worlds import START, WINDOW_S

from windvane.core.drift import Cell, DriftPolicy, Watching, build_baseline, watch
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis
from windvane.usecases.count_rows import views_of
from windvane.usecases.monitors import watch_policy
from windvane.usecases.monitors.sudden_shift import shift_policy
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.window_policy import WindowPolicy

Counts = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]
EVERY = 3  # windows of a minute from row to row
ROWS_AN_HOUR = 60 // EVERY
PAST, CALM, FAULTY = 28 * 480, 7 * 480, 400  # rows
WITHIN_ROWS = ROWS_AN_HOUR // 2
PEER_ROWS = 200
FILE = """
model: quiet
features:
  all:
    temp: {type: number, nullable: true}
    wind: {type: number, nullable: true}
    amount: {type: number, nullable: true}
    carrier: {type: category}
"""
NAMES = np.array(["AA", "B6", "DL", "UA"], object)
FAULTS = ("nulls 100%", "constant", "all zero", "category casing")


def columns(rows: int, rng: np.random.Generator) -> Columns:
    out: Columns = {
        "temp": rng.normal(60.0, 10.0, rows),
        "wind": rng.normal(0.0, 5.0, rows),
        "amount": rng.gamma(3.0, 300.0, rows),
    }
    for values in out.values():
        values[rng.random(rows) < 0.02] = np.nan
    out["carrier"] = rng.choice(NAMES, rows, p=(0.4, 0.3, 0.2, 0.1))
    return out


def spoil(given: Columns, fault: str) -> Columns:
    out = dict(given)
    rows = len(given["temp"])
    match fault:
        case "nulls 100%":
            out["temp"] = np.full(rows, np.nan)
        case "constant":
            out["temp"] = np.full(rows, 61.0)
        case "all zero":
            out["temp"] = np.zeros(rows)
        case _:
            out["carrier"] = np.array([name.lower() for name in given["carrier"]], object)
    return out


def _each(layout: Layout, given: Columns) -> list[Counts]:
    """The counts of each row."""
    rows = len(given["temp"])
    return [layout.count({n: v[i : i + 1] for n, v in given.items()})[0] for i in range(rows)]


class Quiet:
    """One cell of a model with few rows, from its training on."""

    def __init__(self, seed: int, past_rows: int = PAST) -> None:
        self.rng = np.random.default_rng([seed, 3])
        file = read_model_file(FILE)
        self.past = columns(past_rows, self.rng)
        self.layout = Layout((
            *(NumericAxis.fit(n, self.past[n]) for n in ("temp", "wind", "amount")),
            CategoryAxis("carrier", tuple(NAMES)),
        ))  # fmt: skip
        self.policy: WindowPolicy = watch_policy(file, models=1, tenants=1)
        judged: DriftPolicy = shift_policy(file, self.policy)
        views = views_of(file.schema, self.layout.names)
        counts = _each(self.layout, self.past)
        self.base = build_baseline(
            self.layout,
            {START + WINDOW_S * EVERY * i: one for i, one in enumerate(counts)},
            self.policy.window_s, self.policy.recent_s, self.policy.min_rows,
        )  # fmt: skip
        self.how = Watching(self.layout, views, judged, self.policy.min_rows, self.policy.recent_s)
        self.index = past_rows * EVERY

    def play(self, cell: Cell, given: Columns) -> tuple[Cell, int, int]:
        """(cell, alarms that opened, rows until the first; 0 if none did)."""
        found = first = 0
        for i, counts in enumerate(_each(self.layout, given)):
            start = START + WINDOW_S * self.index
            seen = watch(self.how, cell, counts, start, start + WINDOW_S, self.index)
            self.index += EVERY
            cell = seen.cell
            opened = sum(a.opened for a in seen.alarms)
            found += opened
            if opened and not first:
                first = i + 1
        return cell, found, first


def _psi_of(layout: Layout, name: str, counts: Counts, expected: Counts) -> float:
    now, before = (layout.part(c, name).astype(np.float64) for c in (counts, expected))
    return float(psi(now, before))


def _peer_flags(quiet: Quiet, given: Columns) -> list[tuple[bool, bool]]:
    """Of each window of 200 rows: whether PSI of any feature exceeds its limit, and KS's p."""
    layout, out = quiet.layout, []
    expected = quiet.base.counts
    numbers = ("temp", "wind", "amount")
    ordered = {n: np.sort(quiet.past[n][~np.isnan(quiet.past[n])]) for n in numbers}
    for at in range(0, len(given["temp"]) - PEER_ROWS + 1, PEER_ROWS):
        part = {n: v[at : at + PEER_ROWS] for n, v in given.items()}
        counts = layout.count(part)[0]
        by_psi = any(_psi_of(layout, n, counts, expected) > PSI_AT for n in layout.names)
        out.append((by_psi, any(ks_p(part[n], ordered[n]) < KS_AT for n in numbers)))
    return out


def run_low_traffic(
    seed: int, past_rows: int = PAST, calm_rows: int = CALM, faults: Sequence[str] = FAULTS
) -> dict[str, Any]:
    quiet = Quiet(seed, past_rows)
    calm = columns(calm_rows, quiet.rng)
    cell, false, _ = quiet.play(quiet.base.cell, calm)
    flags = _peer_flags(quiet, calm)
    delays: dict[str, list[float]] = {"windvane": [], "psi": [], "ks": []}
    at = quiet.index
    for fault in faults:
        quiet.index = at
        # A fault begins anywhere in a window of the peers.
        phase = int(quiet.rng.integers(0, PEER_ROWS))
        before = columns(phase, quiet.rng)
        now, healthy, _ = quiet.play(cell, before)
        false += healthy
        spoiled = spoil(columns(FAULTY, quiet.rng), fault)
        _, _, first = quiet.play(now, spoiled)
        delays["windvane"].append(float(first) if first else math.inf)
        both = {n: np.concatenate([before[n], spoiled[n]]) for n in before}
        for k, peer in enumerate(("psi", "ks")):
            hits = [i for i, f in enumerate(_peer_flags(quiet, both)) if f[k]]
            rows = (hits[0] + 1) * PEER_ROWS - phase if hits else math.inf
            delays[peer].append(float(rows))
    return {
        "seed": seed, "false": false, "days": calm_rows / 24 / ROWS_AN_HOUR,
        "psi_false": sum(a for a, _ in flags), "ks_false": sum(b for _, b in flags),
        "delays": delays,
    }  # fmt: skip


def low_traffic_table(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    days = sum(r["days"] for r in runs)
    keys = {"windvane": "false", "psi": "psi_false", "ks": "ks_false"}
    names = {"windvane": "Windvane", "psi": "PSI > 0.2, 200 rows", "ks": "KS p < .05, 200 rows"}
    out: list[dict[str, Any]] = []
    for key, of in keys.items():
        rows = [d for r in runs for d in r["delays"][key]]
        worst = max(rows)
        out.append({
            "detector": names[key], "false_pages_a_week": sum(r[of] for r in runs) * 7.0 / days,
            "rows_median": statistics.median(rows),
            "rows_worst": worst if math.isfinite(worst) else None,
        })  # fmt: skip
    return out


def low_traffic_measures(runs: Sequence[dict[str, Any]]) -> list[Measure]:
    rows = [d for r in runs for d in r["delays"]["windvane"]]
    peer = [d for r in runs for d in r["delays"]["psi"]]
    psi_false, ours = sum(r["psi_false"] for r in runs), sum(r["false"] for r in runs)
    return [
        Measure("20 rows an hour: rows until a total fault is told, worst", max(rows),
                at_most=WITHIN_ROWS),
        Measure("20 rows an hour: median delay, as a share of that of PSI > 0.2",
                statistics.median(rows) / statistics.median(peer), at_most=0.5),
        Measure("20 rows an hour: false pages, less those that 0.4 of PSI > 0.2's would be",
                ours - 0.4 * psi_false, at_most=0.0),
    ]  # fmt: skip
