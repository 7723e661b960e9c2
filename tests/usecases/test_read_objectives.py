"""How a model stands by its objectives, from the rows that their monitor carries alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from usecases.harness import FILE, MODEL, START, WINDOW_S, Harness

from windvane.apps.cli.show import objectives_json, objectives_table
from windvane.ports.judging import MonitorState
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_objectives import ObjectiveReading, read_objectives

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")
SLO = "slo: {availability: 99%, latency: {p99: 50ms}, over: 1d}\n"


def reading(harness: Harness, text: str = FILE + SLO) -> tuple[ObjectiveReading, ...]:
    with harness.store.read() as tx:
        return read_objectives(read_model_file(text), tx.monitor_states([MODEL]))


def test_nothing_is_said_before_a_window_was_judged(harness: Harness) -> None:
    harness.apply(FILE + SLO)
    found = reading(harness)
    assert [(one.objective.name, one.until, one.points) for one in found] == [
        ("availability", None, ()),
        ("latency p99", None, ()),
    ]
    _, rows = objectives_table(found)
    assert rows[0] == ["availability", "99%", "", "", "1d", "not judged yet"]
    assert objectives_json(found)[0]["budget_left"] is None
    assert reading(harness, FILE) == ()


def test_the_burn_down_ends_with_what_is_left(harness: Harness) -> None:
    harness.apply(FILE + SLO)
    for i in range(60):
        harness.traffic(i, rows=100, failed=4 if 20 <= i < 30 else 0)
        assert harness.judge()
    availability, latency = reading(harness)
    assert availability.until == START + 60 * WINDOW_S
    assert (availability.seen.bad, availability.seen.total) == (40, 6_000)
    assert availability.left == pytest.approx(1.0 - 40 / (6_000 * 24 * 0.01))
    times = [t for t, _ in availability.points]
    left = [share for _, share in availability.points]
    assert (times[0], left[0]) == (START, 1.0)
    assert (times[-1], left[-1]) == (availability.until, pytest.approx(availability.left))
    assert all(a < b for a, b in pairwise(times))
    assert all(a >= b for a, b in pairwise(left))
    assert [burn.reading.rule.name for burn in availability.burns] == ["fast", "slow", "ticket"]
    assert latency.left == 1.0
    _, rows = objectives_table((availability, latency))
    assert rows[0] == ["availability", "99%", "99.333%", "97.2%", "1d", "no"]
    assert rows[1][:3] == ["latency p99 within 50 ms", "99%", ""]
    told = objectives_json((availability,))[0]
    assert (told["bad"], told["events"], told["counted_since"]) == (40, 6_000, START)
    assert len(told["burn"]) == 3


def test_what_was_counted_by_another_limit_is_not_shown(harness: Harness) -> None:
    harness.apply(FILE + SLO)
    harness.traffic(0)
    assert harness.judge()
    other = FILE + "slo: {latency: {p99: 100ms}, over: 1d}\n"
    assert [one.until for one in reading(harness, other)] == [None]


def test_the_rows_of_other_monitors_are_not_read(harness: Harness) -> None:
    with harness.store.begin() as tx:
        body = {"limit_us": 0, "began": 1.0}
        tx.put_monitor_states([MonitorState(MODEL, "refusals", "availability", START, False, body)])
    assert all(one.until is None for one in reading(harness))
