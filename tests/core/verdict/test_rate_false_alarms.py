"""How often the rate judge alarms where nothing is wrong, on streams whose rows do not come alone.

The budget is one false alarm in ``ALARM_AT`` windows. Each stream has as many windows as the budget
has ten alarms for, and a detector that took thrice its budget fails: of 30 alarms the lower 95%
bound of the rate is over 20.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

from windvane.core.verdict import RateFacts, RatePolicy, RateState, judge_rate

ALARM_AT = 1_000.0
STREAMS, WINDOWS = 10, 1_000
EXPECTED = STREAMS * WINDOWS / ALARM_AT
POLICY = RatePolicy(0.02, ALARM_AT, "CON", "refused")
INDEPENDENT = RatePolicy(0.02, ALARM_AT, "CON", "refused", clustered=1.0)

Rng = np.random.Generator
Stream = Callable[[Rng], Iterator[tuple[int, int]]]


def bursts(size: int, rows: int, share: float = 0.01) -> Stream:
    """Clients that send ``size`` requests each; all of one's are bad, or none."""

    def draw(rng: Rng) -> Iterator[tuple[int, int]]:
        for clients in rng.binomial(rows // size, share, WINDOWS):
            yield int(clients) * size, rows

    return draw


def wandering(sd: float, rows: int, size: int = 1) -> Stream:
    """A rate of 1% in the mean whose logarithm is AR(.9)."""

    def draw(rng: Rng) -> Iterator[tuple[int, int]]:
        at = rng.normal()
        for _ in range(WINDOWS):
            at = 0.9 * at + np.sqrt(1.0 - 0.81) * rng.normal()
            share = min(0.01 * np.exp(sd * at - sd * sd / 2.0), 1.0)
            yield int(rng.binomial(rows // size, share)) * size, rows

    return draw


def day_and_night(size: int) -> Stream:
    """Traffic that goes from 5 rows to 195 and back, a tenth of a day a window."""

    def draw(rng: Rng) -> Iterator[tuple[int, int]]:
        for i in range(WINDOWS):
            clients = max(1, int(100.0 + 95.0 * np.sin(0.2 * np.pi * i)) // size)
            yield int(rng.binomial(clients, 0.01)) * size, clients * size

    return draw


CASES: dict[str, Stream] = {
    "single rows": bursts(1, 100),
    "bursts of 5": bursts(5, 100),
    "bursts of 20": bursts(20, 100),
    "bursts of 20, busy": bursts(20, 2_000),
    "bursts of 20, few rows": bursts(20, 40),
    "at the limit": bursts(1, 100, 0.02),
    "bursts at the limit": bursts(20, 100, 0.02),
    "AR(.9), sd .5": wandering(0.5, 200),
    "AR(.9), busy": wandering(0.5, 2_000),
    "AR(.9) in bursts of 20": wandering(0.5, 200, 20),
    "day and night": day_and_night(1),
    "day and night in bursts of 20": day_and_night(20),
}


def false_alarms(stream: Stream, policy: RatePolicy = POLICY) -> tuple[int, float]:
    """How many there were, and how many the budget has for the windows without an alarm."""
    alarms = calm = 0
    for seed in range(STREAMS):
        state = RateState()
        for i, (bad, rows) in enumerate(stream(np.random.default_rng(seed))):
            facts = RateFacts("t", 60.0 * i, bad, rows - bad, state)
            _, after = judge_rate(facts, policy, 0.0)
            calm += not state.alarmed
            alarms += after.alarmed and not state.alarmed
            state = after
    return alarms, calm / ALARM_AT


def lower_bound(alarms: int) -> float:
    """Of the mean of a Poisson variable, with 95% confidence."""
    return float(stats.chi2.ppf(0.05, 2 * alarms) / 2.0) if alarms else 0.0


@pytest.mark.parametrize("name", CASES)
def test_false_alarms_are_within_the_budget(name: str) -> None:
    alarms, allowed = false_alarms(CASES[name])
    assert lower_bound(alarms) <= allowed


def test_a_detector_at_three_times_the_budget_would_fail() -> None:
    assert lower_bound(round(3 * EXPECTED)) > EXPECTED


def test_rows_taken_as_independent_would_fail() -> None:
    """What the judge did: each of the rows of a burst was evidence of its own."""
    alarms = 0
    for seed in range(STREAMS):
        for bad, rows in bursts(20, 100)(np.random.default_rng(seed)):
            facts = RateFacts("t", 0.0, bad, rows - bad, RateState())
            alarms += judge_rate(facts, INDEPENDENT, 0.0)[1].alarmed
    assert lower_bound(alarms) > EXPECTED


@pytest.mark.parametrize("name", CASES)
def test_nor_is_there_one_before_the_stream_is_known(name: str) -> None:
    """At a real budget no stream of these has one, from its first window on."""
    alarms, _ = false_alarms(CASES[name], RatePolicy(0.02, 2e4, "CON", "refused"))
    assert alarms == 0


@pytest.mark.parametrize(
    ("size", "rows", "share", "within"),
    [
        (1, 60, 1.0, 1),
        (5, 60, 1.0, 1),
        (20, 200, 1.0, 1),
        (20, 60, 1.0, 4),
        (1, 60, 0.3, 3),
        (1, 200, 0.1, 5),
        (1, 60, 0.05, 100),
        (20, 2_000, 0.05, 50),
    ],
)
def test_a_fault_is_found_and_closed_when_it_is_over_and_not_before(
    size: int, rows: int, share: float, within: int
) -> None:
    """With a threshold of half a million: a false page a week of 50 streams of minutes."""
    policy = RatePolicy(0.02, 5e5, "CON", "refused")
    for seed in range(10):
        rng = np.random.default_rng(seed)
        state, at = RateState(), 0

        def look(share: float, rng: Rng = rng) -> None:
            nonlocal state, at
            bad = int(rng.binomial(rows // size, share)) * size
            _, state = judge_rate(RateFacts("t", 60.0 * at, bad, rows - bad, state), policy, 0.0)
            at += 1

        for _ in range(1_000):
            look(0.002)
        assert not state.alarmed
        began = at
        while not state.alarmed:
            look(share)
        assert at - began <= within
        if size == 1:
            assert abs(state.since / 60.0 - began) <= 3
        for _ in range(100):
            look(share)
            assert state.alarmed
        ended = at
        while state.alarmed:
            look(0.002)
        assert at - ended <= (15 if size == 20 and rows == 60 else 10)
