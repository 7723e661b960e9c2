"""What a cell finds, when, and what it leaves alone: by simulation, with fixed seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from core.drift.streams import (
    DAY,
    START,
    Counts,
    Rows,
    Watcher,
    bare,
    count_alarms,
    layout_of,
    nulls,
    plus,
    stuck,
    times,
    trained,
    views_of,
)
from scipy.special import chdtri, pdtrc

from windvane.core.drift import (
    Cell,
    DriftPolicy,
    Kind,
    Measure,
    Reference,
    Watching,
    accept_change,
    axis_index,
    build_baseline,
    measure_deviations,
    pack_learned,
    pack_pending,
    unpack_learned,
    unpack_pending,
    watch,
)
from windvane.core.sketch import Layout, NumericAxis
from windvane.core.verdict import Outcome

A = 500_000.0
WORLDS = {
    "independent": {},
    "rows follow each other, 0.5": {"follows": 0.5},
    "rows follow each other, 0.9": {"follows": 0.9},
    "rows follow each other, 0.98": {"follows": 0.98},
    "day and night": {"cycle": 1.0, "night": True},
    "bursts of 20": {"burst": 20},
    "days of dependent rows": {"cycle": 1.0, "follows": 0.9},
}


def within(found: int, allowed: float) -> bool:
    """Whether so many alarms may be of a detector that keeps its budget: the lower 95% bound of
    their rate lies within it."""
    return float(pdtrc(found - 1, allowed)) >= 0.05 if found else True


def watcher(rows: Rows, days: int = 3, policy: DriftPolicy | None = None, **given) -> Watcher:
    base = trained(rows, days * DAY, **given)
    return Watcher(rows, base.cell, policy or DriftPolicy(A), days * DAY)


@pytest.mark.parametrize("world", WORLDS)
def test_false_alarms_keep_the_budget_before_any_size_is_looked_at(world: str) -> None:
    rows = Rows(layout_of(4), seed=7, **WORLDS[world])
    one = watcher(rows, policy=bare(1_000.0))
    windows = DAY
    found = count_alarms(one, windows)
    assert within(found, windows * 4 * 2 / 1_000.0)


def test_the_bound_is_one_that_a_detector_fails_that_takes_rows_as_independent() -> None:
    """And one at three times the budget."""
    rows = Rows(layout_of(5), seed=7, follows=0.9)
    reference = Reference.of(
        axis_index(rows.layout), np.sum([rows.window(i) for i in range(500)], axis=0)
    )
    found = 0
    for i in range(200):
        deviations = measure_deviations(rows.window(i), reference)
        z = deviations.value[:, 0] / np.sqrt(deviations.chance[:, 0])
        found += int((np.abs(z) > chdtri(1, 1e-3) ** 0.5).sum())
    assert not within(found, 200 * 5 / 1_000.0)
    assert not within(3 * 29, 29.0)


@pytest.fixture(scope="module")
def calm() -> Watcher:
    return watcher(Rows(layout_of(3), seed=3))


@pytest.fixture
def fresh(calm: Watcher) -> Watcher:
    rows = replace(calm.rows, seed=11)
    return Watcher(rows, calm.cell, calm.policy, calm.at)


@pytest.mark.parametrize(
    ("fault", "kind", "within_windows"),
    [
        (nulls(1.0), Kind.OUTAGE, 1), (stuck(0.05), Kind.OUTAGE, 1), (stuck(9.0), Kind.OUTAGE, 1),
        (nulls(0.5), Kind.NULLS, 2), (nulls(0.1), Kind.NULLS, 6),
        (plus(1.0), Kind.VALUES, 5), (plus(0.5), Kind.VALUES, 6), (times(2.0), Kind.VALUES, 6),
    ],
)  # fmt: skip
def test_faults_are_found_dated_and_ended(
    fresh: Watcher, fault, kind: Kind, within_windows: int
) -> None:
    assert fresh.play(30) == []
    began = fresh.at
    opened = [(i, a) for i, a in fresh.play(40, fault) if a.opened and a.kind is kind]
    assert {a.feature for _, a in opened} == set(fresh.rows.layout.names)
    assert max(i - began + 1 for i, _ in opened) <= within_windows
    assert all(abs(a.since - (START + 60.0 * began)) <= 120.0 for _, a in opened)
    assert not [a for _, a in fresh.alarms if not a.opened], "none ends while the fault lasts"
    over = fresh.at
    closed = [i for i, a in fresh.play(12) if not a.opened]
    assert len(closed) == len([a for _, a in fresh.alarms if a.opened])
    assert max(closed) - over < 7
    assert not fresh.cell.alarmed


def test_a_day_of_outage_in_training_is_no_way_to_be() -> None:
    gone = {i: nulls(1.0) for i in range(DAY, DAY + 300)}
    rows = Rows(layout_of(2), seed=5)
    base = trained(rows, 3 * DAY, fault=gone)
    assert set(base.left_out) == {"x0", "x1"}
    one = Watcher(rows, base.cell, DriftPolicy(A), 3 * DAY)
    assert one.play(20) == []
    assert {a.kind for _, a in one.play(3, nulls(1.0))} >= {Kind.OUTAGE}
    again = Watcher(replace(rows, seed=6), base.cell, DriftPolicy(A), 3 * DAY)
    assert {a.kind for _, a in again.play(4, nulls(0.6))} == {Kind.NULLS}


def test_the_same_shift_is_found_at_every_hour() -> None:
    """The reference is of the whole day; the hour is forecast."""
    rows = Rows(layout_of(2), seed=8, cycle=1.0)
    base = trained(rows, 7 * DAY)
    for hour in (0, 6, 12, 18):
        one = Watcher(replace(rows, seed=hour), base.cell, DriftPolicy(A), 7 * DAY + hour * 60)
        assert one.play(10) == []
        began = one.at
        found = [i for i, a in one.play(12, plus(1.0)) if a.opened]
        assert found, f"at {hour}"
        assert min(found) - began < 8


def test_a_low_traffic_model_is_watched_slower_and_says_so() -> None:
    """One row in three minutes: looked at when there are fifty, a total fault after ten."""
    rows = Rows(layout_of(2), seed=9, rows=200)
    base = trained(rows, 2 * DAY)
    one = Watcher(rows, base.cell, DriftPolicy(A), 2 * DAY)
    sparse = replace(rows, seed=10, rows=1)
    empty = np.zeros(rows.layout.size, np.int64)
    codes = []
    for i in range(600):
        one.see(sparse.window(i) if i % 3 == 0 else empty)
        codes.append(one.verdict.code)
    assert {"DRI-202", "DRI-200"} == set(codes)
    assert one.alarms == []
    for i in range(31):
        one.see(sparse.window(i, nulls(1.0)) if i % 3 == 0 else empty)
    assert one.alarms[0][1].kind is Kind.OUTAGE
    assert {a.kind for _, a in one.alarms} <= {Kind.OUTAGE, Kind.NULLS}


@pytest.mark.parametrize("seed", range(6))
def test_an_alarm_of_few_rows_ends_soon_after_the_fault_and_not_before(seed: int) -> None:
    """Twenty rows a window, which is looked at when there are fifty: not while an alarm is open."""
    rows = Rows(layout_of(2), seed=20 + seed, rows=200)
    thin = replace(rows, seed=40 + seed, rows=20)
    one = Watcher(thin, trained(rows, DAY).cell, DriftPolicy(A), DAY)
    assert one.play(60) == []
    began = one.at
    one.play(120, nulls(0.2))
    assert {(a.feature, a.kind) for _, a in one.alarms} == {
        ("x0", Kind.NULLS), ("x1", Kind.NULLS)
    }  # fmt: skip
    assert [a.opened for _, a in one.alarms] == [True, True]
    assert one.alarms[0][0] - began < 15
    ended = one.at
    one.play(20)
    assert [a.opened for _, a in one.alarms] == [True, True, False, False]
    assert one.alarms[-1][0] - ended < 12


def test_one_row_without_a_value_is_no_outage_of_the_past() -> None:
    """Where a window has one row, that is how nulls come: they belong to what is usual."""
    rows = Rows(layout_of(2), seed=9, rows=1)
    base = trained(rows, 4_000)
    share = Reference.of(axis_index(rows.layout), base.cell.past).nulls
    assert share == pytest.approx([0.02, 0.02], abs=0.008)
    assert base.left_out == {}


def test_nothing_is_remembered_but_what_is_stored(fresh: Watcher) -> None:
    """A steward that is restarted after every window says what one says that never was."""
    other = Watcher(replace(fresh.rows, seed=11), fresh.cell, fresh.policy, fresh.at)
    for i in range(60):
        fault = plus(1.0) if 20 <= i < 40 else None
        first, second = fresh.step(fault), other.step(fault)
        assert [(a.feature, a.kind, a.opened, a.since) for a in first] == [
            (a.feature, a.kind, a.opened, a.since) for a in second
        ]
        held = other.cell
        pending = unpack_pending(pack_pending(held.pending))
        other.cell = unpack_learned(pack_learned(held), pending, held.streams)
    assert any(a.opened for _, a in fresh.alarms)
    assert any(not a.opened for _, a in fresh.alarms)


def test_a_constant_feature_is_no_fault_until_it_always_varied() -> None:
    rows = Rows(layout_of(2), seed=4)
    base = trained(rows, 400, fault={i: stuck(0.5) for i in range(400)})
    one = Watcher(rows, base.cell, DriftPolicy(A), 400)
    assert one.play(60, stuck(0.5)) == []


def test_a_thin_window_says_how_many_rows_are_missing(fresh: Watcher) -> None:
    fresh.see(replace(fresh.rows, rows=20).window(0))
    assert fresh.verdict.outcome is Outcome.HOLD
    assert fresh.verdict.missing == "30 rows"
    fresh.see(replace(fresh.rows, rows=31).window(0))
    assert fresh.verdict.outcome is Outcome.PASS


def test_evidence_is_no_larger_than_it_may_be(fresh: Watcher) -> None:
    fresh.play(200, plus(0.2))
    for held in fresh.cell.streams.values():
        assert held.log_evidence <= math.log(A) + 3.0


def test_a_feature_that_is_held_back_keeps_its_past(fresh: Watcher) -> None:
    """A fault that lasts longer than two generations of the past: there is still something to
    compare with, and its end is seen."""
    one = Watcher(fresh.rows, fresh.cell, fresh.policy, fresh.at, recent_s=1_800.0)
    one.play(5, plus(np.array([2.0] + [0.0] * (len(fresh.rows.layout.axes) - 1))))
    assert [a.opened for _, a in one.alarms] == [True]
    one.play(100, plus(np.array([2.0] + [0.0] * (len(fresh.rows.layout.axes) - 1))))
    past = axis_index(fresh.rows.layout).sum(one.cell.past.astype(float))
    assert past[0] > 0.5 * past[1:].min() > 0.0
    one.play(15)
    assert [a.opened for _, a in one.alarms] == [True, False]


def test_what_follows_the_hour_is_no_change_after_a_gap_and_in_fuller_windows() -> None:
    """Trained on 80 rows an hour, deployed eleven days later in the middle of a night, with 500."""
    hour_s, began = 3_600.0, 1_761_955_200.0
    rng = np.random.default_rng(3)
    layout = Layout((NumericAxis.fit("hour", np.repeat(np.arange(24.0), 100)),))

    def window(hour: int, rows: int) -> np.ndarray:
        return layout.count({"hour": np.full(rng.poisson(rows), hour % 24, float)})[0]

    past = {began + hour_s * h: window(h, 83) for h in range(24 * 15)}
    recent_s = 14 * 86_400.0
    cell = build_baseline(layout, past, hour_s, recent_s, 50).cell
    how = Watching(layout, {"hour": "v"}, DriftPolicy(2e5), 50, recent_s)
    alarms = []
    for h in range(24 * 26 + 4, 24 * 27 + 4):
        at = began + hour_s * h
        seen = watch(how, cell, window(h, 500), at, at + hour_s, h)
        cell, alarms = seen.cell, [*alarms, *seen.alarms]
    assert alarms == []


@pytest.mark.parametrize("seed", [0, 1])
def test_a_shift_is_found_where_each_day_of_the_week_is_another(seed: int) -> None:
    """Days that differ by half a standard deviation are no change, and hide none of 0.8."""
    span_s, a_week, rng = 3 * 3_600.0, 56, np.random.default_rng(seed)
    layout, recent_s = layout_of(4), 14 * 86_400.0
    of_day = rng.normal(0.0, 0.5, 7)

    def window(i: int, shift: float = 0.0) -> np.ndarray:
        wave = 0.6 * np.sin(2.0 * np.pi * (i % 8 + 0.5) / 8.0)
        usual = of_day[i // 8 % 7] + shift
        x = rng.standard_normal((200, 4)) + usual * np.array([1.0, 0.5, -1.0, 0.0]) + wave
        return layout.count({name: x[:, j] for j, name in enumerate(layout.names)})[0]

    past = {START + span_s * i: window(i) for i in range(3 * a_week)}
    cell = build_baseline(layout, past, span_s, recent_s, 50).cell
    how = Watching(layout, views_of(layout), DriftPolicy(24_000.0), 50, recent_s)
    began, opened = 4 * a_week + 16, []
    for i in range(3 * a_week, began + 8):
        at = START + span_s * i
        seen = watch(how, cell, window(i, 0.8 if i >= began else 0.0), at, at + span_s, i)
        cell = seen.cell
        opened += [i - began for a in seen.alarms if a.opened]
    assert opened
    assert min(opened) >= 0


def test_no_nulls_now_and_none_before_is_no_deviation(fresh: Watcher) -> None:
    layout = fresh.rows.layout
    some = np.zeros(layout.size, np.int64)
    some[np.arange(layout.size) % 5 == 2] = 40
    index = axis_index(layout)
    some[index.first] = 0
    for times_more in (1, 30):
        reference = Reference.of(index, some * times_more)
        found = measure_deviations(some, reference)
        assert (found.value[:, Measure.NULLS] == 0.0).all()


def test_what_all_rows_are_as_it_is_accepted_is_found_no_more(fresh: Watcher) -> None:
    fresh.play(3, stuck(0.5))
    assert any(a.opened and a.kind is Kind.OUTAGE for _, a in fresh.alarms)
    layout = fresh.rows.layout
    fresh.cell = accept_change(fresh.cell, layout, layout.names)
    fresh.alarms.clear()
    fresh.play(40, stuck(0.5))
    assert fresh.alarms == []


HOUR = 3_600.0


def sunshine(rng: np.random.Generator, hour: int, stuck: bool) -> Counts:
    """Two hundred rows of an hour: positive by day, none by night, and none while it is stuck."""
    by_day = hour % 24 in range(7, 19) and not stuck
    values = np.abs(rng.standard_normal(200)) * by_day
    return SUN.count({"sun": values})[0]


SUN = Layout((NumericAxis("sun", (-1e-9, 0.0, *np.linspace(0.2, 3.0, 15).tolist())),))


def test_a_fault_that_nights_hide_is_one_alarm_and_ends_in_the_hours_that_show_it() -> None:
    rng = np.random.default_rng(5)
    weeks, stuck_days = 4 * 7 * 24, 6
    past = {START + i * HOUR: sunshine(rng, i, False) for i in range(weeks)}
    cell = build_baseline(SUN, past, HOUR, 14 * 86_400.0, 50).cell
    how = Watching(SUN, views_of(SUN), DriftPolicy(A), 50, 14 * 86_400.0)
    found: list[tuple[int, bool]] = []
    ends = weeks + 24 * stuck_days + 15  # in the afternoon
    for i in range(weeks, ends + 3 * 24):
        counts = sunshine(rng, i, weeks + 10 <= i < ends)
        seen = watch(how, cell, counts, START + i * HOUR, START + (i + 1) * HOUR, i)
        cell = seen.cell
        found += [(i, alarm.opened) for alarm in seen.alarms if alarm.kind is Kind.VALUES]
    (opened, is_open), (closed, is_closed) = found
    assert (is_open, is_closed) == (True, False)
    assert opened - (weeks + 10) < 5
    assert 0 <= closed - ends < 5


def test_a_total_fault_of_a_cell_too_young_to_tell_of_it_does_not_become_usual() -> None:
    rows = Rows(layout_of(1), seed=9, rows=80)
    past = np.sum([rows.window(i) for i in range(8)], axis=0)
    cell = Cell.of_past(rows.layout, START, past)
    how = Watching(
        rows.layout, views_of(rows.layout), DriftPolicy(A), 50, 14 * 86_400.0, outages=False
    )
    for i in range(8, 12):
        counts = rows.window(i, stuck(9.0))
        cell = watch(how, cell, counts, START + 60.0 * i, START + 60.0 * (i + 1), i).cell
    assert np.array_equal(cell.past, past)
    assert not cell.held.any()
