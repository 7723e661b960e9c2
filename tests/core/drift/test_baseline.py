"""What a version's record keeps, and what an earlier release left in it."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from core.drift.streams import START, Rows, layout_of, plus, trained, views_of

from windvane.core.drift import (
    Baseline,
    Kind,
    alarm_threshold,
    baseline_readings,
    block_seconds,
    build_baseline,
)

WEEK = 7 * 86_400.0


@pytest.mark.parametrize(
    ("streams", "window_s", "allowed", "per_s", "threshold"),
    [
        (1, 60.0, 1.0, WEEK, 10_080.0),
        (30, 60.0, 1.0, WEEK, 302_400.0),
        (30, 60.0, 2.0, WEEK, 151_200.0),
        (1, WEEK, 1.0, WEEK, 1.0),
        (1, WEEK, 100.0, WEEK, 1.0),  # never below one
    ],
)
def test_alarm_threshold(
    streams: int, window_s: float, allowed: float, per_s: float, threshold: float
) -> None:
    assert alarm_threshold(streams, window_s, allowed, per_s) == pytest.approx(threshold)


def test_blocks_are_whole_windows() -> None:
    assert block_seconds(60.0, 14 * 86_400.0) == 180 * 60.0
    assert block_seconds(3_600.0, 1_800.0) == 3_600.0


def test_it_comes_back_from_its_bytes() -> None:
    base = trained(Rows(layout_of(3), seed=2), 400)
    again = Baseline.from_bytes(base.to_bytes())
    assert np.array_equal(again.counts, base.counts)
    assert np.array_equal(again.cell.past, base.cell.past)
    assert np.allclose(again.cell.forecast.level, base.cell.forecast.level, rtol=1e-6)
    assert again.cell.began == base.cell.began
    assert len(base.to_bytes()) < 60_000


def test_one_of_an_earlier_release_knows_its_counts_and_nothing_else() -> None:
    layout = layout_of(2)
    counts = Rows(layout, seed=2).window(0)
    old = {"layout_id": layout.id, "block_s": 60.0, "counts": counts.tolist(),
           "calibration": {}, "tail": []}  # fmt: skip
    held = Baseline.from_bytes(zlib.compress(json.dumps(old).encode()))
    assert np.array_equal(held.counts, counts)
    assert baseline_readings(layout, views_of(layout), counts, held, WEEK) == ()


def spans(follows: float, weeks: int, seed: int = 1) -> tuple[Rows, dict[float, np.ndarray]]:
    """Weeks whose level wanders, as worlds do: 40 windows each."""
    rows = Rows(layout_of(6), seed=seed, follows=follows)
    rng = np.random.default_rng(seed)
    found = {}
    for week in range(weeks):
        level = plus(rng.normal(0.0, 0.15, 6))
        found[START + week * WEEK] = np.sum(
            [rows.window(40 * week + i, level) for i in range(40)], axis=0
        )
    return rows, found


def test_a_week_that_is_as_weeks_are_is_no_drift_and_a_large_one_is() -> None:
    """Rows taken as independent would call four of five such weeks a drift at p < 0.01."""
    rows, weeks = spans(0.9, 40)
    layout = rows.layout
    past = dict(list(weeks.items())[:20])
    base = build_baseline(layout, past, WEEK, 4 * WEEK, 50, spans=past)
    loud = [
        r.log_e
        for counts in list(weeks.values())[20:]
        for r in baseline_readings(layout, views_of(layout), counts, base, WEEK)
    ]
    assert len(loud) == 20 * 6
    # An e-value reaches 20 in at most one of twenty healthy looks.
    assert np.mean([one >= np.log(20.0) for one in loud]) <= 0.05
    moved = np.sum([rows.window(i, plus(1.5)) for i in range(40)], axis=0)
    found = baseline_readings(layout, views_of(layout), moved, base, WEEK)
    assert all(r.kind is Kind.DRIFT and r.log_e > np.log(100.0) for r in found)
    assert all(r.size > 0.2 for r in found)
