"""Whether rows are as fresh as declared, on streams with real clusters."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.freshness import (
    AgeHistogram,
    FreshnessFacts,
    FreshnessPolicy,
    age_axis,
    judge_freshness,
)
from windvane.core.verdict import Outcome, RateState

H = 3_600.0
ALARM_AT = 2e5
POLICY = FreshnessPolicy(2 * H, 0.05, ALARM_AT, "FRE")


def run(windows: list[np.ndarray], policy: FreshnessPolicy = POLICY) -> list[RateState]:
    """The detector after each window of ages (s)."""
    axis = age_axis("a", [policy.within_s])
    held, out = RateState(), []
    for i, ages in enumerate(windows):
        counts = np.bincount(axis.codes(ages), minlength=axis.bins)
        facts = FreshnessFacts.of(
            "weather", 60.0 * i, AgeHistogram(axis.edges, counts), policy.within_s, held
        )
        _, held = judge_freshness(facts, policy, 60.0 * (i + 1))
        out.append(held)
    return out


@pytest.mark.parametrize("rows", [5, 60, 400])
def test_stations_that_are_late_now_and_then_raise_no_alarm(rows: int) -> None:
    """Each row is of one of eight stations, which are observed each hour; one in fifty is late, and
    all of its rows with it, for an hour."""
    rng = np.random.default_rng(3)
    late = rng.random((8, 200)) < 0.02
    windows: list[np.ndarray] = []
    for i in range(2_000):
        hour, minute = divmod(6 * i, 60)
        stations = rng.integers(0, 8, rows)
        windows.append(60.0 * minute + np.where(late[stations, hour], 9 * H, 300.0))
    assert sum((ages > 2 * H).any() for ages in windows) > 100
    assert not any(state.alarmed for state in run(windows))


def test_an_outage_is_found_in_its_first_window_and_thin_traffic_takes_a_few() -> None:
    def found_after(rows: int) -> int:
        fresh, stale = np.full(rows, 900.0), np.full(rows, 26 * H)
        states = run([fresh] * 200 + [stale] * 60)
        return next(i for i, state in enumerate(states) if state.alarmed) - 199

    assert [found_after(rows) for rows in (60, 200, 20, 10)] == [1, 1, 3, 5]


def test_an_alarm_ends_by_evidence_and_not_by_a_lull() -> None:
    fresh, stale, none = np.full(60, 900.0), np.full(60, 26 * H), np.zeros(0)
    states = run([fresh] * 50 + [stale] * 10 + [none] * 100 + [fresh] * 3)
    assert states[159].alarmed
    assert not states[-1].alarmed


def test_the_verdict_names_both_sides_in_words() -> None:
    axis = age_axis("a", [2 * H])
    counts = np.bincount(axis.codes(np.full(60, 26 * H)), minlength=axis.bins)
    facts = FreshnessFacts.of("weather", 0.0, AgeHistogram(axis.edges, counts), 2 * H, RateState())
    verdict, _ = judge_freshness(facts, POLICY, 60.0)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.code == "FRE-203"
    assert verdict.sentence == (
        "weather: observed 1d 3h ago (median; the oldest 1d 4h), allowed 2h; "
        "100.0% of rows not fresh, 5.0% allowed, n=60"
    )
