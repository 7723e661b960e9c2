"""From a budget to a threshold, and what scores look like when nothing is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from windvane.core.drift import (
    Baseline,
    alarm_threshold,
    baseline_readings,
    block_seconds,
    build_baseline,
    js_divergence,
    predictive_scores,
    rank_shift,
    recent_readings,
    recent_scores,
)
from windvane.core.drift.judge import Kind
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

WEEK = 7 * 86400.0
LAYOUT = Layout(
    (
        NumericAxis("x", (0.0, 1.0, 2.0, 3.0)),
        CategoryAxis("c", ("a", "b")),
        NumericAxis("out", (0.5,)),
    )
)
VIEWS = {"x": "weather", "c": "plan"}


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


def rows(rng: np.random.Generator, n: int, null: float = 0.02, shift: float = 0.0) -> np.ndarray:
    x = rng.normal(1.5 + shift, 1.0, n)
    x[rng.random(n) < null] = np.nan
    c = [
        None if u < 0.02 else "a" if u < 0.7 else "b" if u < 0.98 else "new" for u in rng.random(n)
    ]
    return LAYOUT.count({"x": x, "c": c, "out": rng.random(n)})[0]


def history(seed: int, windows: int, n: int = 300) -> dict[float, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {60.0 * i: rows(rng, n) for i in range(windows)}


def test_predictive_scores_widen_when_the_baseline_is_small() -> None:
    """The baseline is a sample too: with 500 rows behind it, windows of 5,000 lie further away."""
    share = np.array([0.02, 0.3, 0.4, 0.28])
    small, large = (np.round(share * n).astype(np.int64) for n in (500, 500_000))
    narrow = predictive_scores(large, 5_000, 2_000, 1)
    wide = predictive_scores(small, 5_000, 2_000, 1)
    assert np.median(wide) > 4 * np.median(narrow)
    assert np.quantile(wide, 0.99) > 4 * np.quantile(narrow, 0.99)


def test_predictive_scores_are_what_real_windows_score() -> None:
    """Undrifted windows against a sampled baseline: p-values over 400 repeats are not too small.
    At 5%, 20 expected; more than 36 has probability below .1%."""
    rng = np.random.default_rng(2)
    share = np.array([0.02, 0.3, 0.4, 0.28])
    small = 0
    for i in range(400):
        baseline = rng.multinomial(2_000, share)
        window = rng.multinomial(1_000, share)
        null = predictive_scores(baseline, 1_000, 200, i)
        score = float(js_divergence(window, baseline))
        small += (null >= score).mean() < 0.05
    assert small <= 36


def test_predictive_scores_repeat_by_their_seed() -> None:
    counts = np.array([1, 5, 0, 9])
    assert (predictive_scores(counts, 50, 20, 3) == predictive_scores(counts, 50, 20, 3)).all()
    assert (predictive_scores(counts, 50, 20, 3) != predictive_scores(counts, 50, 20, 4)).any()


def test_recent_scores_against_a_naive_oracle() -> None:
    rng = np.random.default_rng(4)
    windows = rng.integers(0, 40, (30, 6))
    windows[7] = 0  # a quiet hour
    found = recent_scores(windows, span=8, ordered=True, min_rows=20)
    for i in range(30):
        past = windows[max(0, i - 8) : i].sum(axis=0)
        if i < 4 or windows[i].sum() < 20 or past.sum() < 20:
            assert np.isnan(found[:, i]).all()
            continue
        assert found[0, i] == pytest.approx(rank_shift(windows[i], past, ordered=True))
        rise = windows[i][0] / windows[i].sum() - past[0] / past.sum()
        assert found[1, i] == pytest.approx(rise)


def test_a_baseline_round_trips() -> None:
    windows = history(1, 40)
    del windows[60.0 * 20]
    built = build_baseline(LAYOUT, windows, 60.0, 600.0, 50)
    again = Baseline.from_bytes(built.to_bytes())
    assert again.layout_id == built.layout_id == LAYOUT.id
    assert again.block_s == 60.0
    assert (again.counts == sum(windows.values())).all()
    assert again.counts.dtype == np.int64
    assert set(again.calibration) == {"x", "c", "out"}
    for name, scores in built.calibration.items():
        assert np.allclose(again.calibration[name], scores, atol=1e-6, equal_nan=True)
        assert again.calibration[name].shape == (2, 40)
    assert list(again.tail) == [60.0 * i for i in range(30, 40)]
    assert all((again.tail[start] == windows[start]).all() for start in again.tail)
    assert Baseline.from_bytes(again.to_bytes()).to_bytes() == again.to_bytes()


def readings(window: np.ndarray, past: np.ndarray, baseline: Baseline, seed: int = 1) -> dict:
    references = {name: LAYOUT.part(past, name) for name in VIEWS}
    healthy = {name: (both[0], both[1]) for name, both in baseline.calibration.items()}
    found = recent_readings(LAYOUT, VIEWS, window, references, healthy, min_rows=50, seed=seed)
    return {r.stream: r for r in found}


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    built = build_baseline(LAYOUT, history(1, 200), 60.0, 1800.0, 50)
    return Baseline.from_bytes(built.to_bytes())


def test_readings_of_a_healthy_window(baseline: Baseline) -> None:
    rng = np.random.default_rng(8)
    found = readings(rows(rng, 300), sum(history(3, 30).values()), baseline)
    assert set(found) == {"x/nulls", "x/values", "c/nulls", "c/values"}
    assert {r.view for r in found.values()} == {"weather", "plan"}
    assert all(r.p > 0.005 for r in found.values())
    assert all(abs(r.size) < 0.1 for r in found.values())


def test_readings_of_a_broken_feed(baseline: Baseline) -> None:
    past = sum(history(3, 30).values())
    rng = np.random.default_rng(8)
    nulls = readings(rows(rng, 300, null=0.8), past, baseline)
    assert nulls["x/nulls"].size > 0.7
    assert nulls["x/nulls"].p <= 1 / 150
    assert "x/values" in nulls  # some 60 values are left: enough at half of min_rows
    assert nulls["c/nulls"].p > 0.005
    gone = readings(rows(rng, 300, null=1.0), past, baseline)
    assert "x/values" not in gone
    moved = readings(rows(rng, 300, shift=3.0), past, baseline)
    assert moved["x/values"].size > 0.4
    assert moved["x/values"].p <= 1 / 150


def test_readings_repeat_by_their_seed_and_need_a_reference(baseline: Baseline) -> None:
    window = rows(np.random.default_rng(8), 300)
    past = sum(history(3, 30).values())
    assert readings(window, past, baseline) == readings(window, past, baseline)
    assert readings(window, np.zeros_like(past), baseline) == {}


def test_healthy_readings_are_no_smaller_than_uniform(baseline: Baseline) -> None:
    """300 healthy windows: the share of p below .1 is at most 4 sd (.07) above .1, and above 0."""
    rng = np.random.default_rng(9)
    past = sum(history(3, 30).values())
    low: dict[str, int] = {}
    for i in range(300):
        for stream, r in readings(rows(rng, 300), past, baseline, seed=i).items():
            low[stream] = low.get(stream, 0) + (r.p < 0.1)
    assert set(low) == {"x/nulls", "x/values", "c/nulls", "c/values"}
    assert all(0.0 < n / 300 < 0.17 for n in low.values())


def test_a_tenth_of_the_traffic_is_no_evidence(baseline: Baseline) -> None:
    """Training windows held 300 rows; 60 scatter more, which is not drift."""
    rng = np.random.default_rng(10)
    past = sum(history(3, 30).values())
    low = 0
    for i in range(300):
        low += readings(rows(rng, 60), past, baseline, seed=i)["x/values"].p < 0.02
    assert low <= 15


def test_a_reading_knows_what_is_usual(baseline: Baseline) -> None:
    found = readings(rows(np.random.default_rng(8), 300), sum(history(3, 30).values()), baseline)
    for stream, row in (("x/values", 0), ("x/nulls", 1)):
        scores = baseline.calibration["x"][row]
        assert found[stream].usual == np.nanmax(scores)
        assert found[stream].known == np.count_nonzero(~np.isnan(scores))


def test_a_feature_without_healthy_windows_says_so(baseline: Baseline) -> None:
    none = np.full((2, 3), np.nan)
    past = sum(history(3, 30).values())
    references = {"x": LAYOUT.part(past, "x")}
    window = rows(np.random.default_rng(8), 300)
    found = recent_readings(
        LAYOUT, VIEWS, window, references, {"x": (none[0], none[1])}, min_rows=50, seed=1
    )
    assert [(r.known, r.usual) for r in found] == [(0, 0.0), (0, 0.0)]


def test_blocks_hold_whole_windows() -> None:
    assert block_seconds(10_800.0, 14 * 86_400.0) == 10_800.0
    assert block_seconds(60.0, 14 * 86_400.0) == 180 * 60.0
    windows = history(1, 300)
    built = build_baseline(LAYOUT, windows, 60.0, 240 * 60.0, 50)
    assert built.block_s == 120.0
    assert len(built.tail) in (120, 121)
    total = sum(built.tail.values())
    assert total.sum() == sum(c.sum() for s, c in windows.items() if s > 60.0 * (299 - 240))


def test_only_the_end_of_long_training_data_calibrates() -> None:
    windows = history(1, 1_200)
    built = build_baseline(LAYOUT, windows, 60.0, 600.0, 50)
    assert built.calibration["x"].shape == (2, 1_010)
    assert built.counts.sum() == sum(c.sum() for c in windows.values())


def test_drift_readings_cover_the_output_too(baseline: Baseline) -> None:
    rng = np.random.default_rng(10)
    healthy = {
        r.stream: r for r in baseline_readings(LAYOUT, VIEWS, rows(rng, 3_000), baseline, seed=1)
    }
    assert set(healthy) == {"x/drift", "c/drift", "out/drift"}
    assert all(r.kind is Kind.DRIFT and r.p > 0.001 and r.size < 0.05 for r in healthy.values())
    shifted = rows(rng, 3_000, shift=1.0)
    moved = {r.stream: r for r in baseline_readings(LAYOUT, VIEWS, shifted, baseline, seed=1)}
    assert moved["x/drift"].p < 1 / 1_000
    assert moved["x/drift"].size > 0.2
    assert moved["c/drift"].size < 0.05
    none = baseline_readings(LAYOUT, VIEWS, np.zeros_like(shifted), baseline, seed=1)
    assert none == ()
    assert math.isfinite(moved["x/drift"].size)
