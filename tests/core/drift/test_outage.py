"""Total faults where healthy windows are total now and then: windows are counted too."""

from __future__ import annotations

import numpy as np
import pytest
from core.drift.streams import START, Rows, Watcher, layout_of, nulls, stuck, trained
from numpy.typing import NDArray

from windvane.core.drift import Cell, DriftPolicy, Watching, build_baseline, watch
from windvane.core.drift.axes import axis_index
from windvane.core.drift.deviation import Reference
from windvane.core.drift.outage import Runs, Total, extend_runs, log_chance
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

Counts = NDArray[np.int64]
ALONE = np.ones(1)
"""An overdispersion of rows that are independent."""
CALM, OPEN = np.zeros(1, bool), np.ones(1, bool)
SURE = np.log(1e-5)


def windows(layout: Layout, shares: NDArray[np.float64], seed: int, many: int) -> list[Counts]:
    """Each of 30 rows of one value, as of a day of one weather, by ``shares`` of the bins."""
    rng = np.random.default_rng(seed)
    out: list[Counts] = []
    for _ in range(many):
        counts = np.zeros(layout.size, np.int64)
        counts[rng.choice(layout.size, p=shares)] = 30
        out.append(counts)
    return out


def follow(
    runs: Runs, seen: list[Counts], layout: Layout, reference: Reference, open_now: bool = False
) -> Runs:
    for i, counts in enumerate(seen):
        alarmed = OPEN if open_now else CALM
        runs = extend_runs(runs, counts, axis_index(layout), reference.rare, float(i), alarmed)
    return runs


def past_of(layout: Layout, shares: NDArray[np.float64]) -> Reference:
    return Reference.of(axis_index(layout), np.round(shares * 100_000).astype(np.int64))


SKY = Layout((CategoryAxis("sky", ("dry", "wet")),))


def sky(dry: float, wet: float) -> NDArray[np.float64]:
    shares = np.zeros(SKY.size)
    shares[1], shares[2] = dry, wet
    return shares / shares.sum()


NUMBERS = layout_of(1)
EVEN = np.zeros(NUMBERS.size)
EVEN[2:-1] = 1.0
EVEN /= EVEN.sum()
OF_EVEN = past_of(NUMBERS, EVEN)


def mixed_windows(rows: int, seed: int) -> list[Counts]:
    """Fifty windows of independent rows."""
    rng = np.random.default_rng(seed)
    return [rng.multinomial(rows, EVEN).astype(np.int64) for _ in range(50)]


def all_in(bin_at: int, rows: int) -> Counts:
    counts = np.zeros(NUMBERS.size, np.int64)
    counts[bin_at] = rows
    return counts


def chance(runs: Runs, reference: Reference, kind: Total) -> float:
    return float(log_chance(runs, reference, reference.rare, ALONE)[0, kind])


def test_dry_spells_of_days_that_are_mostly_dry_are_hardly_ever_a_fault() -> None:
    """Though the rows of a day are one weather, and count as thirty: one spell in 9,000 days at
    most, of the 900 that there are."""
    shares = sky(0.9, 0.1)
    reference = past_of(SKY, shares)
    told = 0
    runs = Runs.empty(1)
    for seed in range(5):
        runs, before = Runs.empty(1), False
        for i, counts in enumerate(windows(SKY, shares, seed, 2_000)):
            runs = follow(runs, [counts], SKY, reference)
            now = i >= 200 and chance(runs, reference, Total.CONSTANT) < SURE
            told += now and not before
            before = now
    assert told <= 1
    none = np.zeros(SKY.size, np.int64)
    none[0] = 30
    assert chance(follow(runs, [none], SKY, reference), reference, Total.NULL) < SURE


def test_what_healthy_windows_were_for_once_is_no_fault_in_one_window() -> None:
    """And what training had may have been a fault: there it takes four times."""
    mixed, none = mixed_windows(30, 4), all_in(0, 30)
    index, rare = axis_index(NUMBERS), OF_EVEN.rare
    for in_training, expected in ((False, [True, False, False]), (True, [True] * 4 + [False])):
        runs, told = Runs.empty(1), []
        for counts in [*mixed, none] * len(expected):
            runs = extend_runs(
                runs, counts, index, rare, float(len(told)), CALM, may_be_faults=in_training
            )
            if counts is none:
                told.append(chance(runs, OF_EVEN, Total.NULL) < SURE)
        assert told == expected


def test_a_null_run_that_was_told_teaches_nothing_and_the_next_is_told_in_one_window() -> None:
    mixed, none = mixed_windows(30, 5), all_in(0, 30)
    held = follow(Runs.empty(1), mixed, NUMBERS, OF_EVEN)
    told = follow(held, [none] * 40, NUMBERS, OF_EVEN, open_now=True)
    ended = follow(told, mixed[:1], NUMBERS, OF_EVEN, open_now=True)
    assert ended.ended[0, Total.NULL] == 0
    again = follow(ended, [*mixed, none], NUMBERS, OF_EVEN)
    assert chance(again, OF_EVEN, Total.NULL) < SURE


WET, DRY = np.zeros(SKY.size, np.int64), np.zeros(SKY.size, np.int64)
WET[2], DRY[1] = 30, 30
OF_SKY = past_of(SKY, sky(0.95, 0.05))


@pytest.mark.parametrize(("lasted", "taught"), [(1, 1), (2, 1), (3, 0), (40, 0)])
def test_of_what_was_told_only_what_is_over_soon_teaches(lasted: int, taught: int) -> None:
    told = follow(Runs.empty(1), [WET] * lasted + [DRY] * 3, SKY, OF_SKY, open_now=True)
    closed = follow(told, [DRY], SKY, OF_SKY)
    assert told.ended[0, Total.CONSTANT] == 0, "it may not be over"
    assert closed.ended[0, Total.CONSTANT] == taught / 4.0


def test_a_fault_with_an_ordinary_row_now_and_then_teaches_nothing() -> None:
    """Each such row ends a run, and the fault goes on."""
    told = follow(Runs.empty(1), [WET, DRY] * 6, SKY, OF_SKY, open_now=True)
    closed = follow(told, [DRY] * 5, SKY, OF_SKY)
    assert closed.ended[0, Total.CONSTANT] == 0


def test_a_flag_that_is_stuck_at_no_is_a_total_fault() -> None:
    flag = Layout((NumericAxis("flag", (0.0, 1.0)),))
    shares = np.array([0.0, 0.8, 0.2, 0.0])
    stuck = np.array([0, 60, 0, 0], np.int64)
    runs = follow(Runs.empty(1), [stuck], flag, past_of(flag, shares))
    assert chance(runs, past_of(flag, shares), Total.CONSTANT) < SURE


def test_a_second_stuck_run_of_thin_windows_is_told_by_its_rows() -> None:
    mixed = mixed_windows(5, 8)
    told = [*mixed, *[all_in(5, 15)] * 2]
    first = follow(Runs.empty(1), told, NUMBERS, OF_EVEN, open_now=True)
    again = follow(first, [*mixed, *[all_in(5, 5)] * 4], NUMBERS, OF_EVEN)
    assert chance(again, OF_EVEN, Total.CONSTANT) < SURE


def test_windows_of_few_rows_teach_nothing() -> None:
    reference = past_of(SKY, sky(0.9, 0.1))
    few = np.zeros(SKY.size, np.int64)
    few[2] = 3
    runs = follow(Runs.empty(1), [few] * 20, SKY, reference)
    assert runs.lasts[0, Total.CONSTANT] == 0
    assert runs.rows[0, Total.CONSTANT] == 60


DAY_S = 86_400.0


def weather(seed: int, days: int) -> list[Counts]:
    """A hundred rows a day of one weather: rain comes in one of ten dry days, and stays for two."""
    rng, wet, out = np.random.default_rng(seed), False, []
    for _ in range(days):
        wet = bool(rng.random() < (0.5 if wet else 0.1))
        counts = np.zeros(SKY.size, np.int64)
        counts[2 if wet else 1] = 100
        out.append(counts)
    return out


def watched_days(cell: Cell, days: list[Counts], began: int) -> int:
    """How many alarms opened."""
    how = Watching(SKY, {"sky": "weather"}, DriftPolicy(2_000.0), 50, 14 * DAY_S)
    opened = 0
    for i, counts in enumerate(days, start=began):
        seen = watch(how, cell, counts, START + i * DAY_S, START + (i + 1) * DAY_S, i)
        cell = seen.cell
        opened += sum(alarm.opened for alarm in seen.alarms)
    return opened


def test_rain_that_training_had_is_no_fault_after_a_dry_month() -> None:
    """Of 24 summers whose law is that of training; and snow, which it never had, is one."""
    opened = 0
    for seed in range(24):
        days = weather(seed, 180)
        past = {START + i * DAY_S: counts for i, counts in enumerate(days[:120])}
        cell = build_baseline(SKY, past, DAY_S, 14 * DAY_S, 50).cell
        opened += watched_days(cell, days[120:], 120)
    assert opened == 0
    snow = np.zeros(SKY.size, np.int64)
    snow[-1] = 100
    assert watched_days(cell, [snow], 120) >= 1


@pytest.mark.parametrize("kind", ["null", "unseen", "stuck"])
@pytest.mark.parametrize(("times", "lasts"), [(3, 1), (3, 5), (3, 10), (1, 30)])
def test_faults_that_training_had_are_no_less_faults(kind: str, times: int, lasts: int) -> None:
    """Told within four windows; of an hour whole, of which no other was seen, they may be."""
    fault = {"null": nulls(1.0), "unseen": stuck(1e6), "stuck": stuck(0.05)}[kind]
    rows = Rows(layout_of(1), seed=5, rows=100)
    broken = {200 + 150 * k + i: fault for k in range(times) for i in range(lasts)}
    watcher = Watcher(rows, trained(rows, 1_000, fault=broken).cell, DriftPolicy(500_000.0), 1_000)
    watcher.play(10)
    assert any(alarm.opened for _, alarm in watcher.play(4, fault))


def thin_rows(rng: np.random.Generator, kind: str) -> Counts:
    """A window of one row, of four features with 2% nulls; the first is broken."""
    layout = layout_of(4)
    values = rng.standard_normal((1, 4))
    values[rng.random(values.shape) < 0.02] = np.nan
    if kind:
        values[:, 0] = np.nan if kind == "null" else 2.0
    return layout.count({n: values[:, i] for i, n in enumerate(layout.names)})[0]


@pytest.fixture(scope="module")
def thin() -> tuple[Layout, Cell]:
    """Four weeks of a row in three minutes, which have no cycle."""
    rng = np.random.default_rng(12)
    layout = layout_of(4)
    past = {START + 180.0 * i: thin_rows(rng, "") for i in range(28 * 480)}
    return layout, build_baseline(layout, past, 60.0, 14 * 86_400.0, 50).cell


@pytest.mark.parametrize("kind", ["null", "stuck"])
def test_a_total_fault_at_twenty_rows_an_hour_is_told_after_ten_rows(
    thin: tuple[Layout, Cell], kind: str
) -> None:
    layout, cell = thin
    views = dict.fromkeys(layout.names, "source")
    how = Watching(layout, views, DriftPolicy(866_880.0), 50, 14 * 86_400.0)
    for seed in range(5):
        rng, now, found = np.random.default_rng([13, seed]), cell, 0
        for i in range(60):
            start = START + 180.0 * (28 * 480 + i)
            seen = watch(how, now, thin_rows(rng, kind if i >= 50 else ""), start, start + 60.0, i)
            now = seen.cell
            found += sum(a.opened for a in seen.alarms)
            assert i >= 50 or not found
        assert found == 1
