"""What a window and a report cost, beside exact PSI and KS by numpy and beside the libraries that
people use, on the same rows in the same run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from results import Measure
from watch_libraries import LIBRARIES, ask, installed
from watch_peers import TableReference, exact_psi, ks_p
from watch_worlds import START, WINDOW_S, WORLDS, Rows, count, normal_layout

from windvane.adapters.arrow.frame import ArrowFrame
from windvane.core.drift import Cell, DriftPolicy, Watching, build_baseline, watch
from windvane.usecases.check_frames import CheckOptions, check_frames

FEATURES, ROWS, REFERENCE_ROWS = 40, 1_000, 10_000


def _middle_us(turn: Callable[[int], None], turns: int) -> float:
    taken: list[float] = []
    for i in range(turns):
        began = time.process_time_ns()
        turn(i)
        taken.append((time.process_time_ns() - began) / 1_000.0)
    return statistics.median(taken)


def run_cost(turns: int = 100, past: int = 600) -> dict[str, Any]:
    """Processor time (microseconds, the median) of a window of 1,000 rows and 40 features."""
    layout = normal_layout(FEATURES)
    rows = Rows(WORLDS["independent rows"], FEATURES, ROWS, (5,))
    trained = {START + WINDOW_S * i: count(layout, rows.window(i)) for i in range(past)}
    base = build_baseline(layout, trained, WINDOW_S, 14 * 86_400.0, 50)
    windows = [rows.window(past + i) for i in range(turns)]
    how = Watching(
        layout, dict.fromkeys(layout.names, "source"), DriftPolicy(1e6), 50, 14 * 86_400.0
    )
    held: list[Cell] = [base.cell]
    counted = [count(layout, values) for values in windows]

    def ours(i: int) -> None:
        start = START + WINDOW_S * (past + i)
        counts = count(layout, windows[i])
        held[0] = watch(how, held[0], counts, start, start + WINDOW_S, i).cell

    sample = np.concatenate([rows.window(0) for _ in range(REFERENCE_ROWS // ROWS)])
    edges = np.linspace(-3.0, 3.0, 21)
    ordered = [np.sort(c[~np.isnan(c)]) for c in sample.T]
    expected = [
        np.append(np.bincount(np.searchsorted(edges, c, side="right"), minlength=22),
                  REFERENCE_ROWS - len(c)).astype(float)
        for c in ordered
    ]  # fmt: skip

    def numpys(i: int) -> None:
        for k, column in enumerate(windows[i].T):
            exact_psi(column, edges, expected[k])
            ks_p(column, ordered[k])

    return {
        "count_and_watch_us": _middle_us(ours, turns),
        "count_us": _middle_us(lambda i: void(count(layout, windows[i])), turns),
        "numpy_psi_ks_us": _middle_us(numpys, turns),
        "alarms": any(h.alarmed for h in held[0].streams.values()),
        "windows": len(counted),
    }


def run_libraries_cost(reference_rows: int, turns: int) -> dict[str, float]:
    """Processor time (microseconds, the median) that each library takes for a window of 1,000
    rows and 40 features beside a reference of so many rows."""
    reference = _columns(reference_rows, 11)
    windows = [_columns(ROWS, 12 + i) for i in range(turns)]
    return {
        name: 1e6 * statistics.median(ask(name, reference, windows).cpu_s)
        for name in LIBRARIES
        if installed(name)
    }


def run_report(rows: int, *, libraries: bool = True) -> dict[str, float]:
    """Processor seconds for a report on two tables of so many rows and 40 features, once each."""
    reference, current = _columns(rows, 21), _columns(rows, 22)

    def frame(place: str, columns: dict[str, NDArray[Any]]) -> ArrowFrame:
        table = pa.table(columns)
        return ArrowFrame(place, table.schema, rows, lambda names: table.select(list(names)))

    tables = frame("reference", reference), frame("current", current)
    out = {
        "Windvane": _seconds(lambda: void(check_frames(*tables, CheckOptions()))),
        "exact numpy": _seconds(lambda: _exact(reference, current)),
    }
    for name in LIBRARIES:
        if libraries and installed(name):
            said = ask(name, reference, [current])
            out[name] = said.cpu_s[0] + said.ready_s
    return out


def _columns(rows: int, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {f"x{i}": rng.standard_normal(rows) for i in range(FEATURES)}


def _exact(reference: dict[str, NDArray[Any]], current: dict[str, NDArray[Any]]) -> None:
    held = TableReference.of(reference)
    held.psi(current)
    held.ks_p(current)


def _seconds(turn: Callable[[], None]) -> float:
    began = time.process_time_ns()
    turn()
    return (time.process_time_ns() - began) / 1e9


def void(value: object) -> None:
    del value


def cost_measures(run: dict[str, Any]) -> list[Measure]:
    window, report = run["window"], run["report"]
    ours, libraries = window["count_and_watch_us"], run["libraries"]
    nan = math.nan

    def report_ratio(name: str) -> float:
        return report.get(name, nan) / report["Windvane"]

    return [
        Measure("a window of 1,000 rows x 40 features, count and watch (us of one core)",
                ours, at_most=20_000.0),
        Measure("the same, as a share of exact PSI and KS by numpy",
                ours / window["numpy_psi_ks_us"], at_most=1.0),
        Measure("the same, times faster than Evidently", libraries.get("Evidently", nan) / ours,
                at_least=1_000.0),
        Measure("the same, times faster than NannyML", libraries.get("NannyML", nan) / ours,
                at_least=10.0),
        Measure(f"a report on {run['report_rows']:,} rows x 40 features, times faster than"
                " Evidently", report_ratio("Evidently"), at_least=100.0),
        Measure("the same, times faster than exact PSI and KS by numpy",
                report_ratio("exact numpy"), at_least=1.0),
    ]  # fmt: skip


def cost_table(run: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each who was asked: a window (ms) and a report (s), of one core."""
    window = {"Windvane": run["window"]["count_and_watch_us"],
              "exact numpy": run["window"]["numpy_psi_ks_us"], **run["libraries"]}  # fmt: skip
    return [
        {"who": name, "a window, ms": us / 1e3, "a report, s": run["report"].get(name, math.nan)}
        for name, us in window.items()
    ]
