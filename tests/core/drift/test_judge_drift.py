"""Tables: what one stream's readings make of its detector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.drift import DriftFacts, DriftPolicy, Kind, Reading, StreamState, judge_drift
from windvane.core.verdict import Outcome

POLICY = DriftPolicy(1_000.0)
STREAM = "temp/values"


def reading(log_e: float, size: float, now: float = 1.0, **more: Any) -> Reading:
    return Reading("temp", "weather", Kind.VALUES, log_e, size, now=now, **more)


def play(*windows: Reading, policy: DriftPolicy = POLICY, state: StreamState | None = None):
    """(verdicts, alarms, the last state) of one stream, window after window."""
    states = {STREAM: state} if state is not None else {}
    verdicts, alarms = [], []
    for i, one in enumerate(windows):
        facts = DriftFacts(float(i), 100, 50, (one,), states)
        verdict, states, found = judge_drift(facts, policy, 0.0)
        verdicts.append(verdict)
        alarms += [(i, a.opened, a.since, a.earliest) for a in found]
    return verdicts, alarms, states.get(STREAM, StreamState())


QUIET = reading(-0.5, 0.0, now=0.0)
LOUD = reading(3.0, 0.5)


def test_evidence_opens_an_alarm_that_began_where_it_did() -> None:
    verdicts, alarms, state = play(QUIET, QUIET, LOUD, LOUD, LOUD)
    assert alarms == [(4, True, 2.0, 2.0)]
    doubtful = [Outcome.HOLD]  # half of the evidence that an alarm asks for, and more
    assert [v.outcome for v in verdicts] == [Outcome.PASS] * 3 + doubtful + [Outcome.FAIL]
    assert verdicts[3].code == "DRI-205"
    assert state.alarmed
    assert state.size == 0.5


def test_an_early_odd_window_moves_the_interval_and_not_the_estimate() -> None:
    _, alarms, _ = play(reading(0.9, 0.0), reading(-0.5, 0.0), LOUD, LOUD, LOUD)
    assert alarms == [(4, True, 2.0, 0.0)]


def test_evidence_of_something_harmless_is_forgotten_as_soon_as_it_is_over() -> None:
    harmless = reading(3.0, 0.05)
    verdicts, alarms, _ = play(*[harmless] * 40, *[QUIET] * 3, reading(3.0, 9.0))
    assert alarms == []
    assert {v.outcome for v in verdicts[:-1]} == {Outcome.PASS}
    assert verdicts[-1].outcome is Outcome.HOLD
    _, alarms, _ = play(*[harmless] * 6, reading(3.0, 0.5), LOUD, LOUD)
    assert alarms[0][2] == 0.0  # it grew: it began when it began


def test_what_is_usual_of_a_feature_is_not_material() -> None:
    odd = reading(3.0, 0.5, usual=0.45)
    assert play(*[odd] * 9)[1] == []
    assert play(*[reading(3.0, 0.6, usual=0.45)] * 9)[1]


def test_a_stream_without_enough_healthy_windows_is_not_judged() -> None:
    verdicts, alarms, _ = play(*[reading(9.0, 9.0, known=49)] * 3)
    assert alarms == []
    assert verdicts[-1].outcome is Outcome.HOLD
    assert verdicts[-1].missing == "1 windows"


def test_an_alarm_ends_by_evidence_of_health_and_not_by_time() -> None:
    """A window that is hardly better than the fault says nothing, however many there are."""
    alarmed = StreamState(8.0, 0.0, 0.0, 8.0, alarmed=True, size=0.5)
    unsure = reading(-0.1, 0.4, now=0.2, noise=0.1)
    assert play(*[unsure] * 50, state=alarmed)[1] == []
    well = reading(-0.5, 0.0, now=0.0, noise=0.1)
    assert [i for i, opened, *_ in play(*[well] * 9, state=alarmed)[1] if not opened] == [2]


def test_a_window_with_the_fault_in_it_begins_the_evidence_of_health_anew() -> None:
    alarmed = StreamState(8.0, 0.0, 0.0, 8.0, alarmed=True, size=0.5)
    well = reading(-0.5, 0.0, now=0.0, noise=0.1)
    ill = reading(3.0, 0.5, now=0.7, noise=0.1)
    _, alarms, _ = play(well, well, ill, well, well, ill, well, well, well, state=alarmed)
    assert [i for i, *_ in alarms] == [8]


def test_a_window_that_is_odd_and_near_is_healthy() -> None:
    """A level that was learned a little off is odd in every window, and no reason to go on."""
    alarmed = StreamState(8.0, 0.0, 0.0, 8.0, alarmed=True, size=0.5)
    near = reading(1.5, 0.0, now=0.03, noise=0.1)
    assert [opened for _, opened, *_ in play(*[near] * 5, state=alarmed)[1]] == [False]


def test_an_outage_needs_no_window_but_its_own() -> None:
    gone = Reading("temp", "weather", Kind.OUTAGE, 30.0, 1.0, now=1.0, began=-60.0, what="no value")
    facts = DriftFacts(0.0, 12, 50, (gone,), {})
    verdict, states, (alarm,) = judge_drift(facts, POLICY, 0.0)
    assert verdict.outcome is Outcome.FAIL
    assert (alarm.since, alarm.what) == (-60.0, "no value")
    assert states["temp/outage"].alarmed


def test_a_thin_window_holds_and_says_how_much_is_missing() -> None:
    verdict, states, alarms = judge_drift(DriftFacts(0.0, 12, 50, (), {}), POLICY, 0.0)
    assert (verdict.outcome, verdict.code, verdict.missing) == (Outcome.HOLD, "DRI-202", "38 rows")
    assert (states, alarms) == ({}, ())


def test_what_is_open_and_was_not_read_is_no_pass() -> None:
    held = {"gone/nulls": StreamState(9.0, 1.0, 1.0, 9.0, alarmed=True, size=0.5)}
    verdict, states, _ = judge_drift(DriftFacts(0.0, 99, 50, (QUIET,), held), POLICY, 0.0)
    assert verdict.outcome is Outcome.FAIL
    assert states["gone/nulls"] == held["gone/nulls"]


@given(
    st.lists(
        st.builds(
            reading, st.floats(-0.7, 30.0), st.floats(-0.1, 5.0), st.floats(0.0, 5.0)
        ), max_size=30,
    )
)  # fmt: skip
def test_alarms_open_and_close_in_turn_and_evidence_is_bounded(windows: list[Reading]) -> None:
    _, alarms, state = play(*windows)
    assert [opened for _, opened, *_ in alarms] == [i % 2 == 0 for i in range(len(alarms))]
    assert all(earliest <= since for _, _, since, earliest in alarms)
    assert 0.0 <= state.log_evidence <= math.log(POLICY.alarm_at) + 30.0
    assert state.alarmed == (len(alarms) % 2 == 1)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_least_size_is_the_policys(kind: Kind) -> None:
    one = Reading("x", "v", kind, 0.0, 0.0, usual=0.0)
    assert POLICY.least(one) == POLICY.material[kind]


def test_a_run_has_the_evidence_of_its_best_part_less_their_number_once() -> None:
    """Of four parts one says something: averaged anew in each window it would be worth a quarter
    each time."""
    strong, none = 3.0, -0.5
    parts = (none, none, strong, none)
    mean = math.log(sum(map(math.exp, parts)) / 4.0)
    seen = reading(mean, 0.5, parts=parts)
    _, alarms, state = play(*[seen] * 5, policy=DriftPolicy(1e9))
    value = state.log_evidence
    assert value > 5 * strong - math.log(4.0) - 5 * 0.2
    assert value > 5 * mean + 4 * 0.9
    weights = state.weights
    assert sum(weights) == pytest.approx(1.0, abs=1e-3)
    assert weights[2] > 0.9
    assert alarms == []


def test_parts_without_evidence_give_none_together() -> None:
    """Weights follow from the past, so that the mean of e-values by them is at most one."""
    rng = np.random.default_rng(3)
    state, total, n = StreamState(), 0.0, 4_000
    for i in range(n):
        parts = tuple(float(x) for x in rng.normal(-0.5, 1.0, 4))  # log-normal e-values of mean 1
        before = state.weights or (0.25,) * 4
        total += sum(w * math.exp(p) for w, p in zip(before, parts, strict=True)) / sum(before)
        mean = math.log(sum(map(math.exp, parts)) / 4.0)
        facts = DriftFacts(60.0 * i, 200, 50, (reading(mean, 0.0, parts=parts),), {
            "temp/values": state
        })  # fmt: skip
        state = judge_drift(facts, POLICY, 0.0)[1].get("temp/values", StreamState())
    assert total / n == pytest.approx(1.0, abs=0.05)


def test_doubt_of_one_stream_is_not_hidden_by_more_of_a_harmless_one() -> None:
    """Nor by its not being read in this window."""
    harmless = Reading("temp", "weather", Kind.NULLS, 0.0, 0.01)
    held = {"temp/nulls": StreamState(6.5, 0.0, 0.0), STREAM: StreamState(6.0, 0.0, 0.0)}
    for found in ((harmless, reading(0.0, 0.5)), (harmless,)):
        verdict, _, _ = judge_drift(DriftFacts(1.0, 100, 50, found, held), POLICY, 0.0)
        assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "DRI-205")
        assert STREAM in verdict.sentence
