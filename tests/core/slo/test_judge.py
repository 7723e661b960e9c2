"""Error budgets: what pages, what is a ticket, what tells nobody, and how it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.slo import (
    Burning,
    BurnRule,
    Ring,
    SloFacts,
    SloPolicy,
    SpanTally,
    Tally,
    add_window,
    budget_left,
    burn_rate,
    burn_rules,
    empty_rings,
    judge_slo,
    projected,
    sum_of,
)
from windvane.core.verdict import Outcome, Verdict

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
A_WEEK_OF_MINUTES = 6 * 7 * 1_440.0
Seen = tuple[Verdict, tuple[bool, ...]]


@dataclass
class Service:
    """One objective, window by window."""

    allowed: float = 0.001
    over_s: float = 30 * DAY
    window_s: float = MINUTE
    alarm_at: float = A_WEEK_OF_MINUTES
    at: float = 1_700_006_400.0
    began: float | None = None
    rules: tuple[Burning, ...] = (Burning(),) * 3
    rings: tuple[Ring, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.policy = SloPolicy(self.allowed, self.over_s, burn_rules(self.over_s), self.alarm_at)
        spans = [s for rule in self.policy.rules for s in (rule.long_s, rule.short_s)]
        self.rings = empty_rings(spans, self.window_s, self.over_s)
        self.began = self.at if self.began is None else self.began

    def window(self, bad: int, total: int) -> Seen:
        seen = Tally(bad, total)
        self.rings = tuple(add_window(ring, self.at, seen) for ring in self.rings)
        sums = [sum_of(ring, self.at) for ring in self.rings]
        spans = tuple(SpanTally(sums[i], sums[i + 1]) for i in (0, 2, 4))
        assert self.began is not None
        facts = SloFacts(
            "availability", self.at, self.at + self.window_s, self.began, seen, sums[-1], spans,
            self.rules,
        )  # fmt: skip
        verdict, self.rules = judge_slo(facts, self.policy, facts.end)
        self.at += self.window_s
        return verdict, tuple(rule.since is not None for rule in self.rules)

    def run(self, found: Iterable[tuple[int, int]]) -> Iterator[Seen]:
        for bad, total in found:
            yield self.window(bad, total)

    def until(self, found: Iterable[tuple[int, int]], rule: int, on: bool = True) -> int:
        """After how many windows the rule sounds (or no more)."""
        for i, (_, sounding) in enumerate(self.run(found)):
            if sounding[rule] is on:
                return i + 1
        return -1


def steady(bad: int, total: int, windows: int) -> list[tuple[int, int]]:
    return [(bad, total)] * windows


def aged(**given: object) -> Service:
    """One that was well for longer than any span of it."""
    service = Service(**given)  # type: ignore[arg-type]
    for _ in service.run(steady(0, 1_000, 4_400)):
        pass
    assert service.began is not None
    service.began -= 30 * DAY
    return service


def test_the_rules_are_the_workbooks_and_scale_with_the_span() -> None:
    assert [(r.page, r.long_s, r.short_s, r.factor) for r in burn_rules(30 * DAY)] == [
        (True, HOUR, 5 * MINUTE, 14.4),
        (True, 6 * HOUR, 30 * MINUTE, 6.0),
        (False, 3 * DAY, 6 * HOUR, 1.0),
    ]
    for over_s in (DAY, 7 * DAY, 90 * DAY):
        shares = [r.factor * r.long_s / over_s for r in burn_rules(over_s)]
        assert shares == pytest.approx([0.02, 0.05, 0.1])
        assert all(r.long_s == 12.0 * r.short_s for r in burn_rules(over_s))


@pytest.mark.parametrize(
    ("tally", "part", "rate", "left"),
    [
        (Tally(0, 0), 1.0, 0.0, 1.0),
        (Tally(0, 1_000), 1.0, 0.0, 1.0),
        (Tally(1, 1_000), 1.0, 1.0, 0.0),
        (Tally(3, 1_000), 1.0, 3.0, -2.0),
        (Tally(5, 10_000), 1.0, 0.5, 0.5),
        (Tally(1, 100), 1 / 720, 10 / 720, 1 - 10 / 720),  # the first hour of 30 days
    ],
)
def test_a_budget(tally: Tally, part: float, rate: float, left: float) -> None:
    assert burn_rate(tally, 0.001, part) == pytest.approx(rate)
    assert budget_left(tally, 0.001, part) == pytest.approx(left)
    assert projected(-5.0, HOUR) == 0.0
    assert projected(2 * HOUR, HOUR) == 1.0


@pytest.mark.parametrize(
    ("share", "first"),
    [
        # (bad of 1,000 a minute, the rule that sounds first)
        (1_000, 0),
        (100, 0),
        (20, 0),
        (10, 1),  # 10x: less than 14.4x, more than 6x
        (7, 1),
        (3, 2),
        (2, 2),
        (1, None),  # what the objective allows
        (0, None),
    ],
)
def test_how_fast_it_burns_decides_whom_it_wakes(share: int, first: int | None) -> None:
    service = aged()
    sounded: list[int] = []
    for _, sounding in service.run(steady(share, 1_000, 3 * 1_440 + 400)):
        sounded += [i for i, on in enumerate(sounding) if on and i not in sounded]
        if sounded:
            break
    assert sounded[:1] == ([] if first is None else [first])


@pytest.mark.parametrize(("share", "within"), [(1_000, 2), (100, 10), (20, 48)])
def test_it_pages_once_two_percent_of_the_budget_are_gone(share: int, within: int) -> None:
    """14.4x for an hour: a total outage in a minute, 100x in 8.6 of them; the hour's buckets may
    reach a twelfth further."""
    assert 0 < aged().until(steady(share, 1_000, 60), 0) <= within
    assert 0 < Service().until(steady(share, 1_000, 60), 0) <= within + 1  # a model of today, too


def test_the_short_span_keeps_what_is_over_from_waking_anybody() -> None:
    service = aged()
    burst = [s for _, s in service.run(steady(100, 1_000, 8))]
    assert not any(s[0] for s in burst)
    later = [s for _, s in service.run(steady(0, 1_000, 30))]
    assert not any(s[0] for s in later)


@pytest.mark.parametrize("windows", [[(1, 3)], [(2, 3)], [(3, 3), (1, 1)], [(1, 1)] * 4])
def test_few_failures_at_night_page_nobody(windows: list[tuple[int, int]]) -> None:
    for service in (Service(), Service(allowed=0.00001), aged()):
        for verdict, sounding in service.run(windows):
            assert not any(sounding)
            assert verdict.outcome is not Outcome.FAIL
    verdict, _ = Service(began=1_700_006_400.0 - DAY).window(2, 3)
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "SLO-212")
    assert "3 more failures" in verdict.missing
    assert "2 of 3" in verdict.sentence


def test_a_total_outage_of_a_quiet_model_pages_after_a_handful() -> None:
    assert Service().until([(1, 1)] * 10, 0) == 5


def test_more_failures_than_the_least_need_evidence_too() -> None:
    """Of 6 requests 5 failed: once in 50,000 windows where 8% may fail."""
    for allowed, sounds in ((0.01, True), (0.08, False)):
        service = Service(allowed=allowed, began=1_700_006_400.0 - DAY)
        verdict, sounding = service.window(5, 6)
        assert any(sounding) is sounds
        assert verdict.outcome is (Outcome.FAIL if sounds else Outcome.HOLD)


def test_chance_at_the_objective_itself_pages_no_more_often_than_the_budget() -> None:
    """Events at exactly the rate that is allowed, few and many: 20 weeks of windows each."""
    rng = np.random.default_rng(5)
    for total in (3, 40, 400):
        service = Service(alarm_at=10_080.0 * 3)
        bad = rng.binomial(total, 0.001, 2 * 10_080)
        began, before = 0, (False,) * 3
        for _, sounding in service.run((int(b), total) for b in bad):
            began += sum(now and not was for now, was in zip(sounding, before, strict=True))
            before = sounding
        assert began <= 1


def test_it_ends_once_it_is_well_for_as_long_as_the_short_span() -> None:
    service = aged()
    assert service.until(steady(500, 1_000, 10), 0) > 0
    list(service.run(steady(500, 1_000, 10)))
    quiet = service.until(steady(0, 1_000, 60), 0, on=False)
    assert 5 <= quiet <= 12


@pytest.mark.parametrize(("rule", "hours"), [(0, 1.25), (1, 7.0), (2, 80.0)])
def test_an_alert_of_few_requests_ends_once_both_its_spans_are_calm(
    rule: int, hours: float
) -> None:
    """12 rows an hour: it would take days of them to prove that 1.44% fail no more."""
    service = Service(window_s=5 * MINUTE, began=1_700_006_400.0 - 30 * DAY)
    assert service.until(steady(0, 1, 9 * 288), 0) == -1
    list(service.run(steady(1, 1, 24)))
    assert service.rules[rule].since is not None
    ended = service.until(steady(0, 1, 4 * 288), rule, on=False)
    assert 0 < ended * 5 * MINUTE <= hours * HOUR
    again = [s[rule] for _, s in service.run(steady(0, 1, 288))]
    assert not any(again)


def test_an_alarm_at_its_own_limit_does_not_flutter() -> None:
    """A rate that swings around 14.4x begins one alarm, not one each time."""
    service = aged()
    list(service.run(steady(40, 1_000, 30)))
    swing = [(13 + (i % 3), 1_000) for i in range(240)]
    sounding = [s[0] for _, s in service.run(swing)]
    assert all(sounding)


def test_silence_neither_begins_nor_ends_an_alarm() -> None:
    service = aged()
    assert service.until(steady(1_000, 1_000, 5), 0) > 0
    for verdict, sounding in service.run(steady(0, 0, 2_000)):
        assert sounding[0]
        assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "SLO-211")
    # Three good answers in five minutes do not show that 1.44% fail no more.
    for _, sounding in service.run([(0, 3), (0, 0), (0, 0), (0, 0), (0, 0), (0, 1)]):
        assert sounding[0]
    assert service.until(steady(0, 100, 30), 0, on=False) > 0


def test_since_is_when_it_began_to_burn() -> None:
    service = aged()
    began = service.at
    assert service.until(steady(30, 1_000, 60), 0) > 5
    assert service.rules[0].since == pytest.approx(began, abs=3 * MINUTE)


@pytest.mark.parametrize(
    ("allowed", "reach"),
    [(0.001, (True, True, True)), (0.1, (False, True, True)), (0.5, (False, False, True))],
)
def test_what_no_failure_could_reach_never_sounds(allowed: float, reach: tuple[bool, ...]) -> None:
    assert tuple(r.within_reach(allowed) for r in burn_rules(30 * DAY)) == reach
    service = aged(allowed=allowed)
    heard = [False] * 3
    for _, sounding in service.run(steady(1_000, 1_000, 3_000)):
        heard = [was or now for was, now in zip(heard, sounding, strict=True)]
    assert tuple(heard) == reach


def test_a_budget_that_is_spent_is_said_and_tells_nobody() -> None:
    service = Service(began=1_700_006_400.0 - 30 * DAY)
    list(service.run(steady(1_000, 1_000, 60)))
    list(service.run(steady(0, 1_000, 3 * 1_440 + 400)))
    verdict, sounding = service.window(0, 1_000)
    assert not any(sounding)
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "SLO-214")
    assert "-1" in verdict.sentence
    assert "99.9% wanted" in verdict.sentence


def test_too_few_to_tell_is_held() -> None:
    verdict, _ = Service().window(0, 20)
    assert (verdict.outcome, verdict.code, verdict.missing) == (
        Outcome.HOLD, "SLO-212", "980 requests",
    )  # fmt: skip
    verdict, _ = Service().window(0, 1_000)
    assert (verdict.outcome, verdict.code) == (Outcome.PASS, "SLO-210")


@pytest.mark.parametrize("wrong", [Tally(5, 3), Tally(-1, 3)])
def test_counts_that_cannot_be_are_an_error_and_no_failure(wrong: Tally) -> None:
    rule = BurnRule("fast", True, HOUR, 300.0, 14.4)
    policy = SloPolicy(0.001, 30 * DAY, (rule,), 1e4)
    spans = (SpanTally(wrong, wrong),)
    before = (Burning(since=1.0, onset=1.0),)
    facts = SloFacts("availability", 0.0, 60.0, 0.0, Tally(0, 10), Tally(), spans, before)
    verdict, after = judge_slo(facts, policy, 60.0)
    assert (verdict.outcome, verdict.code) == (Outcome.ERROR, "SLO-215")
    assert after == before


@pytest.mark.parametrize("window_s", [10.0, 60.0, 900.0, HOUR, 6 * HOUR])
@pytest.mark.parametrize("over_s", [DAY, 7 * DAY, 30 * DAY, 90 * DAY])
def test_windows_of_any_length_find_an_outage_and_its_end(window_s: float, over_s: float) -> None:
    service = Service(window_s=window_s, over_s=over_s, alarm_at=1e5)
    assert service.began is not None
    service.began -= 90 * DAY
    healthy = int(min(5_000, over_s / window_s + 2))
    assert service.until(steady(0, 500, healthy), 0) == -1
    out = service.until(steady(500, 500, 3_000), 0)
    # 2% of the budget at 1,000x is over_s / 50,000; whole windows are the grain.
    assert out > 0
    assert (out - 1) * window_s <= max(window_s, over_s / 50_000 * 1.2)
    end = service.until(steady(0, 500, 20_000), 0, on=False)
    short_s = service.policy.rules[0].short_s
    assert 0 < end * window_s <= 3 * max(short_s, window_s) + 2 * window_s


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300)), min_size=1, max_size=80),
    st.floats(0.00001, 0.4),
)
def test_what_the_judge_says_is_what_it_carries(
    found: list[tuple[int, int]], allowed: float
) -> None:
    service = Service(allowed=allowed)
    for bad, more in found:
        before = service.rules
        verdict, sounding = service.window(bad, bad + more)
        if bad + more == 0:
            assert (verdict.outcome, service.rules) == (Outcome.HOLD, before)
        else:
            assert (verdict.code == "SLO-213") == any(sounding)
            assert verdict.outcome is not Outcome.ERROR
        for rule in service.rules:
            assert rule.since is None or rule.since <= service.at
