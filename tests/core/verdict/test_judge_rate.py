"""The rate judge as a timeline: (window, bad, good) -> what it says."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.verdict import Outcome, RateFacts, RatePolicy, RateState, judge_rate

POLICY = RatePolicy(allowed=0.02, alarm_at=1_000.0, code="CON", what="refused", calm_windows=3)
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
            (100, 0, F, "CON-203"),
            (90, 10, F, "CON-203"),
            (0, 100, F, "CON-203"),  # calm 1
            (5, 95, F, "CON-203"),  # over the allowance: calm 0
            (0, 100, F, "CON-203"),
            (2, 98, F, "CON-203"),
            (0, 100, P, "CON-200"),  # the third calm window heals
        ]
    )
    assert [s.alarmed for s in states] == [False, False, *[True] * 6, False]
    assert states[2].since == 120.0
    assert {s.since for s in states[2:8]} == {120.0}
    assert states[-1] == RateState()


def test_no_traffic_changes_nothing() -> None:
    states = play([(1, 99, P, "CON-200"), (0, 0, H, "CON-201"), (0, 0, H, "CON-201")])
    assert states[0] == states[1] == states[2]


def test_silence_while_alarmed_neither_heals_nor_acts_again() -> None:
    states = play([(100, 0, F, "CON-203"), (0, 0, H, "CON-201"), (0, 100, F, "CON-203")])
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


def test_it_keeps_its_run_length_at_the_boundary() -> None:
    """40 streams of 250 windows at exactly the allowed rate with A = 2,000: 5 false alarms are
    the budget of 10,000 windows; more than 12 would have probability below 1%."""
    rng = np.random.default_rng(3)
    policy = RatePolicy(0.02, 2_000.0, "CON", "refused")
    alarms = 0
    for _ in range(40):
        state = RateState()
        for i, bad in enumerate(rng.binomial(100, 0.02, 250)):
            facts = RateFacts("t", 60.0 * i, int(bad), 100 - int(bad), state)
            _, after = judge_rate(facts, policy, 0.0)
            alarms += after.alarmed and not state.alarmed
            state = after
    assert alarms <= 12


@pytest.mark.parametrize("allowed", [0.0, 1.0])
def test_a_share_that_the_file_allows_can_be_judged(allowed: float) -> None:
    policy = RatePolicy(allowed, 1_000.0, "SLO", "failed")
    verdict, _ = judge_rate(RateFacts("errors", 0.0, 1, 99, RateState()), policy, 0.0)
    assert verdict.outcome in (P, F)
