"""The rate judge as a timeline: (window, bad, good) -> what it says."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.verdict import Outcome, RateFacts, RatePolicy, RateState, judge_rate

POLICY = RatePolicy(allowed=0.02, alarm_at=1_000.0, code="CON", what="refused")
Row = tuple[int, int, Outcome, str]
P, H, F = Outcome.PASS, Outcome.HOLD, Outcome.FAIL


def play(rows: list[Row], policy: RatePolicy = POLICY) -> list[RateState]:
    state, states = RateState(), []
    for i, (bad, good, outcome, code) in enumerate(rows):
        facts = RateFacts("tenant AA", 60.0 * i, bad, good, state)
        verdict, state = judge_rate(facts, policy, 60.0 * (i + 1))
        assert (verdict.outcome, verdict.code) == (outcome, code), f"window {i}"
        assert (verdict.missing != "") == (outcome is H)
        states.append(state)
    return states


def test_quiet_breaks_sounds_and_heals() -> None:
    states = play(
        [
            (2, 98, P, "CON-200"),
            (1, 99, P, "CON-200"),
            (100, 0, F, "CON-203"),  # all of them: found in its first window
            (90, 10, F, "CON-203"),
            (0, 100, F, "CON-203"),  # one good one is no evidence yet
            (4, 96, F, "CON-203"),  # over the allowance
            (0, 100, P, "CON-200"),
        ]
    )
    assert [s.alarmed for s in states] == [False, False, *[True] * 4, False]
    assert {s.since for s in states[2:6]} == {120.0}
    assert (states[-1].value, states[-1].calm, states[-1].since) == (0.0, 0.0, 0.0)


def test_windows_of_a_fault_are_not_how_the_stream_varies() -> None:
    states = play([(2, 98, P, "CON-200")] * 30 + [(100, 0, F, "CON-203")] * 5)
    assert states[-1].dispersion == states[29].dispersion
    fault = [(4, 96)] * 60  # found by its sum only: no window of it is unlikely by itself
    state = RateState()
    for i, (bad, good) in enumerate([(1, 99)] * 200 + fault):
        _, state = judge_rate(RateFacts("t", 60.0 * i, bad, good, state), POLICY, 0.0)
    assert state.alarmed
    assert state.since == 60.0 * 200


def test_an_accident_of_one_window_that_comes_again_alarms_once() -> None:
    """Sixty requests of one client, half of a window's: nobody can tell that from an outage at
    first. It alarmed each time."""
    state, alarms = RateState(), 0
    for i in range(600):
        bad = 60 if i % 30 == 7 else 0
        before = state.alarmed
        _, state = judge_rate(RateFacts("t", 60.0 * i, bad, 120 - bad, state), POLICY, 0.0)
        alarms += state.alarmed and not before
    assert alarms == 1


def test_a_better_window_among_bad_ones_closes_nothing() -> None:
    play([(100, 0, F, "CON-203")] + [(5, 95, F, "CON-203"), (60, 40, F, "CON-203")] * 20)


def test_no_traffic_changes_nothing() -> None:
    states = play([(1, 99, P, "CON-200"), (0, 0, H, "CON-201"), (0, 0, H, "CON-201")])
    assert states[0] == states[1] == states[2]


def test_silence_while_alarmed_neither_heals_nor_acts_again() -> None:
    states = play([(100, 0, F, "CON-203"), (0, 0, H, "CON-201"), (60, 40, F, "CON-203")])
    assert [s.alarmed for s in states] == [True, True, True]


def test_a_few_requests_are_not_judged_but_remembered() -> None:
    few = [(4, 0, H, "CON-202")]
    states = play([*few, *few, *few, (50, 50, F, "CON-203")])
    assert states[2].value > states[1].value > states[0].value
    assert states[3].since == 0.0


def test_the_sentence_names_both_sides() -> None:
    facts = RateFacts("tenant AA", 0.0, 61, 939, RateState())
    verdict, _ = judge_rate(facts, POLICY, 0.0)
    assert verdict.sentence == "tenant AA: refused 6.1%, 2.0% allowed, n=1,000"
    facts = RateFacts("tenant AA", 0.0, 3, 4, RateState())
    assert judge_rate(facts, POLICY, 0.0)[0].missing == "3 requests"


def test_evidence_does_not_overflow() -> None:
    state = RateState()
    policy = RatePolicy(0.02, 1e308, "CON", "refused")
    for i in range(5):
        _, state = judge_rate(RateFacts("t", 60.0 * i, 100_000, 0, state), policy, 0.0)
    assert np.isfinite(state.value)


@pytest.mark.parametrize("allowed", [0.0, 1.0])
def test_a_share_that_the_file_allows_can_be_judged(allowed: float) -> None:
    policy = RatePolicy(allowed, 1_000.0, "SLO", "failed")
    verdict, _ = judge_rate(RateFacts("errors", 0.0, 1, 99, RateState()), policy, 0.0)
    assert verdict.outcome in (P, F)
