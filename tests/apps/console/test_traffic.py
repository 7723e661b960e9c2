"""Charts of windows that are kept as sums of hours or days show no outage that never was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.memory import Memory
from windvane.apps.console.traffic import by_tenant, grid, series, summed_until, windows_of
from windvane.core.sketch import LATENCY_EDGES_US, TRAFFIC, Layout, NumericAxis, Sketch
from windvane.ports.control_store import WindowKey, rolled_up_to

LAYOUT = Layout((NumericAxis("x", (0.0, 1.0)),))
MIDNIGHT = 1_700_006_400.0
HOUR, DAY = 3_600.0, 86_400.0


def sketch(rows: int) -> Sketch:
    traffic = np.array([rows if n in ("rows", "requests") else 0 for n in TRAFFIC], np.int64)
    latency = np.zeros(len(LATENCY_EDGES_US) + 1, np.int64)
    latency[3] = rows
    return Sketch(LAYOUT.id, np.zeros(LAYOUT.size, np.int64), traffic, latency)


@pytest.mark.parametrize("window_s", [60.0, 600.0, 1_800.0, 7_200.0])
@pytest.mark.parametrize("offset", [0, 1, 5])
def test_even_traffic_is_drawn_even(
    migrated_file: Path, tmp_path: Path, window_s: float, offset: int
) -> None:
    """Windows of three days, of which two are rolled up to days or hours; the page begins amid
    one of those."""
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    n = round(3 * DAY / window_s)
    found = {
        WindowKey("late", MIDNIGHT + i * window_s, "1", "champion", "acme", "r"): sketch(100)
        for i in range(n)
    }
    now = MIDNIGHT + n * window_s
    with store.begin(["late"]) as tx:
        tx.put_layout(LAYOUT)
        tx.add_sketches(found)
        if window_s < HOUR:
            while tx.roll_up_sketches("late", MIDNIGHT + 2 * DAY, HOUR, 500):
                pass
        while tx.roll_up_sketches("late", MIDNIGHT + DAY, DAY, 500):
            pass
    given_grid = grid(now, window_s, n - offset, now)
    with store.read() as tx:
        read = list(tx.sketches("late", given_grid.read_from, now))
        again = Memory().series(tx, {"late": given_grid}, 0.0)["late"]
    for drawn in (series(read, given_grid), again):
        assert {one.rows for one in drawn.windows} == {100}
        assert {one.latency_ms(0.5) for one in drawn.windows} == {drawn.windows[-1].latency_ms(0.5)}
        assert drawn.all.rows == 100 * (n - offset)
    (tenant,) = by_tenant(read, given_grid)
    assert (set(tenant.requests), tenant.tally.rows) == ({100}, 100 * (n - offset))
    rolled = DAY if window_s > HOUR else 2 * DAY
    assert summed_until(read, given_grid) == MIDNIGHT + rolled
    assert summed_until(read, grid(now, window_s, 4, now)) is None
    store.close()


@given(
    st.integers(0, 10**9), st.sampled_from([HOUR, DAY]),
    st.sampled_from([60.0, 420.0, 600.0, 1_500.0, 1_800.0]), st.integers(0, 1_000),
)  # fmt: skip
def test_the_parts_of_a_sum_are_even_and_add_up_to_it(
    rows: int, span_s: float, window_s: float, place: int
) -> None:
    start = MIDNIGHT + place * span_s
    key = WindowKey("late", start, "1", "champion", "acme", rolled_up_to(span_s))
    parts = list(windows_of(key, sketch(rows), window_s))
    held = [part.rows for _, part in parts]
    assert sum(held) == rows
    assert max(held) - min(held) <= 1
    assert sum(int(part.latency.sum()) for _, part in parts) == rows
    starts = [at for at, _ in parts]
    assert all(start <= at < start + span_s and at % window_s == 0 for at in starts)
    assert len(starts) == len(set(starts))
