"""Silence against the usual, simulated: what is found how soon, and what is no silence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from windvane.core.absence import (
    AbsenceFacts,
    AbsencePolicy,
    AbsenceState,
    HourProfile,
    LastDay,
    OpenHour,
    judge_absence,
)
from windvane.core.verdict import Outcome

START = 1_700_006_400.0
WEEK_S = 604_800.0
WINDOW_S = 300.0
ALARM_AT = 1_000.0
Rate = Callable[[float], float]


def flat(rate: float) -> Rate:
    return lambda at: rate


def day_and_night(rate: float) -> Rate:
    return lambda at: rate * (1.0 + 0.9 * math.sin(2.0 * math.pi * at / 86_400.0))


def office(rate: float) -> Rate:
    return lambda at: rate if 8 <= at / 3_600 % 24 < 18 and (at // 86_400 + 3) % 7 < 5 else 0.0


@dataclass
class Stream:
    """Poisson clusters of ``size`` at a rate an hour, that wanders by exp(AR(.9))."""

    rate: Rate
    size: int = 1
    sd: float = 0.0
    seed: int = 0
    alarm_at: float = ALARM_AT
    at: float = START
    state: AbsenceState = field(default_factory=AbsenceState)
    profile: HourProfile = field(default_factory=HourProfile)
    hour: OpenHour = field(default_factory=OpenHour)
    alarms: int = 0
    calm: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.wander = 0.0

    def window(self, factor: float = 1.0) -> Outcome:
        self.wander = 0.9 * self.wander + math.sqrt(0.19) * self.rng.normal()
        mean = self.rate(self.at) * WINDOW_S / 3_600.0 * factor
        mean *= math.exp(self.sd * self.wander - self.sd**2 / 2.0)
        seen = int(self.rng.poisson(mean / self.size)) * self.size
        end = self.at + WINDOW_S
        facts = AbsenceFacts("t", self.at, self.profile.expected(self.at, end), seen, self.state)
        verdict, after = judge_absence(facts, AbsencePolicy(self.alarm_at), end)
        self.calm += not self.state.alarmed
        self.alarms += after.alarmed and not self.state.alarmed
        self.state = after
        self.hour, self.profile = self.hour.after(self.profile, self.at, end, seen)
        self.at = end
        return verdict.outcome

    def weeks(self, weeks: float) -> None:
        for _ in range(int(weeks * WEEK_S / WINDOW_S)):
            self.window()

    def until(self, alarmed: bool, factor: float) -> float:
        """Hours until it is so."""
        for i in range(4_000):
            self.window(factor)
            if self.state.alarmed == alarmed:
                return (i + 1) * WINDOW_S / 3_600.0
        raise AssertionError("never")


CASES: dict[str, Callable[[int], Stream]] = {
    "20 an hour": lambda seed: Stream(flat(20), seed=seed),
    "busy": lambda seed: Stream(flat(6_000), seed=seed),
    "bursts of 20": lambda seed: Stream(flat(600), 20, seed=seed),
    "bursts of 20, 20 an hour": lambda seed: Stream(flat(20), 20, seed=seed),
    "day and night": lambda seed: Stream(day_and_night(600), seed=seed),
    "day and night in bursts": lambda seed: Stream(day_and_night(600), 20, seed=seed),
    "office hours": lambda seed: Stream(office(600), seed=seed),
    "office hours in bursts": lambda seed: Stream(office(6_000), 20, seed=seed),
    "AR(.9)": lambda seed: Stream(day_and_night(600), sd=0.5, seed=seed),
    "AR(.9) that falls to a tenth": lambda seed: Stream(flat(6_000), sd=1.0, seed=seed),
}


@pytest.mark.parametrize("name", CASES)
def test_false_alarms_are_within_the_budget(name: str) -> None:
    """Of four weeks of three streams; a detector at thrice the budget would fail."""
    streams = [CASES[name](seed) for seed in range(3)]
    for stream in streams:
        stream.weeks(4)
    allowed = sum(s.calm for s in streams) / ALARM_AT
    alarms = sum(s.alarms for s in streams)
    assert lower_bound(alarms) <= allowed
    assert lower_bound(round(3 * allowed)) > allowed


def test_windows_taken_as_poisson_would_fail() -> None:
    alarms = windows = 0
    policy = AbsencePolicy(ALARM_AT, clustered=1.0, known=1e9)
    rng, state = np.random.default_rng(1), AbsenceState()
    for i in range(5_000):
        seen = int(rng.poisson(2.5)) * 20
        _, state = judge_absence(AbsenceFacts("t", 300.0 * i, 50.0, seen, state), policy, 0.0)
        alarms += state.alarmed
        windows += 1
        state = AbsenceState() if state.alarmed else state
    assert lower_bound(alarms) > windows / ALARM_AT


def lower_bound(alarms: int) -> float:
    """Of the mean of a Poisson variable, with 95% confidence."""
    return float(stats.chi2.ppf(0.05, 2 * alarms) / 2.0) if alarms else 0.0


@pytest.mark.parametrize(
    ("rate", "size", "factor", "hours"),
    [
        (60_000, 1, 0.0, 0.1),  # one window
        (60_000, 1, 0.001, 0.1),
        (6_000, 1, 0.001, 0.6),
        (20, 1, 0.0, 5.0),
        (20, 1, 0.001, 5.0),
        (600, 20, 0.0, 3.0),
        (6_000, 1, 0.1, 1.0),
    ],
)
def test_silence_is_found_and_ends_when_traffic_is_back(
    rate: float, size: int, factor: float, hours: float
) -> None:
    """At the threshold of one false page a week of 250 streams of five minutes."""
    for seed in range(3):
        stream = Stream(flat(rate), size, seed=seed, alarm_at=5e5)
        stream.weeks(2.3)
        assert stream.alarms == 0
        began = stream.at
        assert stream.until(True, factor) <= hours
        assert abs(stream.state.since - began) <= 3_600.0 * (2.0 if rate <= 20 else 0.2)
        for _ in range(200):
            assert stream.window(factor) is Outcome.FAIL  # nothing closes it but traffic
        assert stream.until(False, 1.0) <= max(0.1, 4.0 * size * 10 / rate)


def test_an_alarm_that_ended_makes_the_next_one_later_and_not_for_ever() -> None:
    policy = AbsencePolicy(ALARM_AT)
    held = AbsenceState().recovered(0.0)
    assert held.clustered(policy, 0.0) > AbsenceState().clustered(policy, 0.0)
    assert held.clustered(policy, 40 * WEEK_S) == pytest.approx(10.0, rel=0.01)
    for _ in range(50):
        held = held.recovered(0.0)
    assert held.clustered(policy, 0.0) <= 80.0


def test_what_is_part_of_a_larger_silence_holds() -> None:
    facts = AbsenceFacts("tenant AA", 0.0, 5_000.0, 0, AbsenceState(), covered=True)
    verdict, after = judge_absence(facts, AbsencePolicy(ALARM_AT), 0.0)
    assert (verdict.code, after.alarmed) == ("ABS-202", False)
    verdict, after = judge_absence(
        AbsenceFacts("tenant AA", 60.0, 5_000.0, 0, after), AbsencePolicy(ALARM_AT), 0.0
    )
    assert verdict.code == "ABS-203"
    assert verdict.sentence == "tenant AA: 0 requests where 10,000 are usual"


POLICY = AbsencePolicy(ALARM_AT)


def day(seen: int, before: AbsenceState, usual: float = 10_000.0) -> AbsenceFacts:
    return AbsenceFacts("traffic", START, 0.0, 0, before, day=LastDay(START - 1.0, usual, seen))


def test_a_day_without_what_every_earlier_one_had_ends_by_what_comes_again() -> None:
    verdict, held = judge_absence(day(0, AbsenceState()), POLICY, 0.0)
    assert (verdict.code, held.since) == ("ABS-203", START - 1.0)
    assert verdict.sentence == "traffic: 0 requests in a day where at least 10,000 are usual"
    for seen in (0, 30, 1_000):  # a test call, and a tenth, are no return; silent days are no usual
        verdict, held = judge_absence(day(seen, held, 0.0), POLICY, 0.0)
        assert (verdict.code, held.alarmed) == ("ABS-203", True)
    verdict, after = judge_absence(day(9_000, held, 0.0), POLICY, 0.0)
    assert (verdict.code, after.alarmed, after.day) == ("ABS-200", False, 0.0)
    _, after = judge_absence(day(1_000, held, 900.0), POLICY, 0.0)  # smaller is usual by now
    assert not after.alarmed


def test_a_day_with_a_little_more_than_nothing_or_too_few_to_tell_is_none() -> None:
    for facts in (day(101, AbsenceState()), day(0, AbsenceState(), 60.0)):
        assert not judge_absence(facts, POLICY, 0.0)[1].alarmed
    covered = AbsenceFacts("t", START, 0.0, 0, AbsenceState(), True, LastDay(0.0, 1e4, 0))
    verdict, after = judge_absence(covered, POLICY, 0.0)
    assert (verdict.code, after) == ("ABS-202", AbsenceState())


@pytest.mark.parametrize(("watched", "words"), [(True, "nothing is usual"), (False, "not watched")])
def test_what_is_not_watched_says_so(watched: bool, words: str) -> None:
    facts = AbsenceFacts("traffic", START, 0.0, 0, AbsenceState(), watched=watched)
    verdict, _ = judge_absence(facts, POLICY, 0.0)
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ABS-201")
    assert words in verdict.sentence


@pytest.mark.parametrize(
    ("per_day", "size", "sd"),
    [(24.0, 1, 0.0), (240.0, 20, 0.0), (480.0, 20, 0.5), (10_000.0, 10_000, 0.0)],
)
def test_days_of_rare_bursts_that_may_be_empty_are_within_the_budget(
    per_day: float, size: int, sd: float
) -> None:
    """Twenty weeks of three streams, a day judged each hour, at half of the budget; bursts come
    at random hours, so that some days have none."""
    alarms = calm = 0
    for seed in range(3):
        rng, wander = np.random.default_rng(seed), 0.0
        profile, state = HourProfile(), AbsenceState()
        for hour in range(20 * 168):
            wander = 0.9 * wander + math.sqrt(0.19) * rng.normal()
            mean = per_day / 24.0 / size * math.exp(sd * wander - sd**2 / 2.0)
            at = START + 3_600.0 * hour
            profile = profile.with_hour(at, float(rng.poisson(mean)) * size)
            seen = round(profile.last_day)
            usual = profile.expected_in_last_day(0.0 if state.alarmed else 100.0 * seen)
            facts = AbsenceFacts("t", at, 0.0, 0, state, day=LastDay(at, usual, seen))
            after = judge_absence(facts, AbsencePolicy(2.0 * ALARM_AT), at)[1]
            calm += not state.alarmed
            alarms += after.alarmed and not state.alarmed
            state = after
    assert lower_bound(alarms) <= calm / (2.0 * ALARM_AT)


def test_nothing_where_something_is_usual_is_no_pass() -> None:
    facts = AbsenceFacts("traffic", START, 20.0, 0, AbsenceState())
    verdict, after = judge_absence(facts, POLICY, 0.0)
    assert (verdict.outcome, verdict.code, after.alarmed) == (Outcome.HOLD, "ABS-205", False)
    assert verdict.sentence.startswith("traffic: 0 requests where 20 are usual")
    assert verdict.missing.endswith("usual requests")
    verdict, _ = judge_absence(AbsenceFacts("traffic", START, 20.0, 15, after), POLICY, 0.0)
    assert verdict.outcome is Outcome.PASS
