"""What a window costs, beside exact PSI and KS by numpy of the same rows in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import Measure
from watch_peers import exact_psi, ks_p
from watch_worlds import START, WINDOW_S, WORLDS, Rows, count, normal_layout

from windvane.core.drift import Cell, DriftPolicy, Watching, build_baseline, watch

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


def void(value: object) -> None:
    del value


def cost_measures(run: dict[str, Any]) -> list[Measure]:
    return [
        Measure("a window of 1,000 rows x 40 features, count and watch (us of one core)",
                run["count_and_watch_us"], at_most=20_000.0),
        Measure("the same, as a share of exact PSI and KS by numpy",
                run["count_and_watch_us"] / run["numpy_psi_ks_us"], at_most=1.0),
    ]  # fmt: skip
