"""Sources that repeat themselves or are stuck, on simulated streams of hours.

The streams are unkind: each hour of the day has a mix of rows of its own, and so has the number of
rows. Of each healthy one not a single alarm is allowed; of each fault the delay is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from windvane.core.freshness import (
    STUCK,
    RepeatFacts,
    RepeatHistory,
    RepeatPolicy,
    RepeatState,
    concentration,
    judge_repeats,
    learn_block,
    read_block,
    similarity,
)
from windvane.core.signature import FINGERPRINTS

Counts = NDArray[np.int64]
H = 3_600.0
POLICY = RepeatPolicy(2e4, 50)
FAULT = 500  # the hour in which a fault begins: the third week


def day_again(hour: int) -> int:
    """The day before the fault, from then on."""
    return hour if hour < FAULT else FAULT - 24 + (hour - FAULT) % 24


class Run:
    """Blocks through the judge: alarms as (hour, stream), hours that are alarmed, codes."""

    def __init__(self) -> None:
        self.history, self.states = RepeatHistory(), dict[str, RepeatState]()
        self.alarms: list[tuple[int, str]] = []
        self.codes: Counter[str] = Counter()
        self.alarmed: list[int] = []
        self.sentence = ""

    def play(self, blocks: list[Counts]) -> Run:
        for i, counts in enumerate(blocks):
            readings = read_block(self.history, i, counts, H, POLICY)
            facts = RepeatFacts("weather", i * H, (i + 1) * H, int(counts.sum()), readings,
                                self.states)  # fmt: skip
            verdict, after = judge_repeats(facts, POLICY, 0.0)
            self.history = learn_block(self.history, i, counts, H, facts, after)
            self.codes[verdict.code] += 1
            for stream, state in after.items():
                before = self.states.get(stream, RepeatState())
                if state.alarmed and not before.alarmed:
                    self.alarms.append((i, stream))
                    self.sentence = verdict.sentence
            self.states = after
            self.alarmed += [i] if any(s.alarmed for s in after.values()) else []
        return self


def hashed(of: NDArray[np.int64], at: NDArray[np.int64] | int) -> Counts:
    """The histogram of values that follow from two numbers."""
    mixed = (of.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (
        mixed ^ (np.asarray(at).astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9))
    ) * np.uint64(0x94D049BB133111EB)
    places = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(20)) % np.uint64(FINGERPRINTS)
    return np.bincount(places.astype(np.int64), minlength=FINGERPRINTS)


def weather(
    seed: int, hours: int, rows: int = 600, stations: int = 30,
    shown: Callable[[int], int] = lambda hour: hour,
) -> list[Counts]:  # fmt: skip
    """Each hour has the values of the hour that is ``shown``, one for each station; which stations
    rows are of differs from hour to hour of the day, as does their number."""
    rng = np.random.default_rng(seed)
    mix = rng.dirichlet(np.ones(stations), 24)
    out: list[Counts] = []
    for hour in range(hours):
        day = 0.3 + 0.7 * np.sin(np.pi * (hour % 24) / 24.0)
        mine = rng.choice(stations, rng.poisson(rows * day), p=mix[hour % 24])
        out.append(hashed(mine, shown(hour)))
    return out


def accounts(seed: int, hours: int, stops: int = 10**9) -> list[Counts]:
    """Two hundred accounts, each of which changes once a day at an hour of its own."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 24, 200)
    out: list[Counts] = []
    for hour in range(hours):
        mine = rng.integers(0, 200, rng.poisson(400))
        out.append(hashed(mine, (min(hour, stops) - at[mine]) // 24 + 1_000))
    return out


def unique(seed: int, hours: int, stuck: float = 0.0) -> list[Counts]:
    """Each row is its own; from the hour `FAULT` on this share of them is one row."""
    rng = np.random.default_rng(seed)
    out: list[Counts] = []
    for hour in range(hours):
        codes = rng.integers(0, FINGERPRINTS, 500)
        if hour >= FAULT:
            codes[rng.random(500) < stuck] = 5
        out.append(np.bincount(codes, minlength=FINGERPRINTS))
    return out


def exchange(seed: int, hours: int) -> list[Counts]:
    """Nothing changes at night or on a weekend."""
    rng = np.random.default_rng(seed)
    out: list[Counts] = []
    seen = 0
    for hour in range(hours):
        day, of_day = divmod(hour, 24)
        seen = hour if day % 7 < 5 and 8 <= of_day < 20 else seen
        out.append(hashed(rng.integers(0, 40, rng.poisson(400)), seen))
    return out


def flags(seed: int, hours: int) -> list[Counts]:
    rng = np.random.default_rng(seed)
    shares = np.zeros(FINGERPRINTS)
    shares[[7, 9, 200]] = 0.3, 0.35, 0.35
    return [rng.multinomial(400, shares) for _ in range(hours)]


HEALTHY: dict[str, Callable[[int, int], list[Counts]]] = {
    "weather": weather,
    "weather of few rows": lambda seed, hours: weather(seed, hours, rows=120),
    "weather of three stations": lambda seed, hours: weather(seed, hours, rows=200, stations=3),
    "thin traffic": lambda seed, hours: weather(seed, hours, rows=20),
    "accounts": accounts,
    "rows of their own": unique,
    "an exchange": exchange,
    "flags": flags,
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_streams_raise_no_alarm(name: str) -> None:
    assert Run().play(HEALTHY[name](1, 400)).alarms == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_streams_raise_no_alarm_in_twelve_weeks(name: str, seed: int) -> None:
    assert Run().play(HEALTHY[name](seed, 2_016)).alarms == []


def test_a_source_that_stopped_is_found_within_a_day_and_ends_with_it() -> None:
    blocks = weather(3, 620, shown=lambda h: FAULT if FAULT <= h < FAULT + 60 else h)
    run = Run().play(blocks)
    first, stream = run.alarms[0]
    assert (first - FAULT, stream) == (5, "3600")
    assert max(run.alarmed) - (FAULT + 60) <= 2


@pytest.mark.parametrize(("lag", "stream"), [(24, "86400"), (168, "604800")])
def test_a_source_that_is_a_day_or_a_week_old_is_found_in_five_hours(lag: int, stream: str) -> None:
    run = Run().play(weather(4, 560, shown=lambda h: h - lag if h >= FAULT else h))
    assert run.alarms[0] == (FAULT + 4, stream)
    assert f"as {'1d' if lag == 24 else '7d'} before (similarity 0." in run.sentence
    # Whoever stays as late has new values from then on.
    assert FAULT + lag - 1 <= run.alarmed[-1] + (lag > 60) * 168 <= FAULT + lag + 168 + 2


def test_a_day_that_is_served_again_and_again_stays_an_alarm() -> None:
    run = Run().play(weather(4, 620, shown=day_again))
    assert run.alarms[0][0] == FAULT + 4
    assert run.alarmed == list(range(FAULT + 4, 620))


def test_what_changes_once_a_day_is_found_a_day_after_it_stopped() -> None:
    run = Run().play(accounts(5, 560, stops=FAULT))
    first, stream = run.alarms[0]
    assert stream == "86400"
    assert 12 <= first - FAULT <= 26


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_view_that_is_stuck_at_one_row_is_found_in_five_hours(share: float) -> None:
    run = Run().play(unique(6, 560, stuck=share))
    assert (FAULT + 4, STUCK) in run.alarms
    assert "values, usually over 128" in run.sentence


@pytest.mark.parametrize(("name", "code"), [("flags", "FRE-212"), ("thin traffic", "FRE-211")])
def test_where_nothing_can_be_told_it_is_a_hold_and_no_pass(name: str, code: str) -> None:
    run = Run().play(HEALTHY[name](7, 400))
    assert run.codes["FRE-210"] == 0
    assert run.codes[code] > 200


def test_nothing_is_judged_before_a_week_is_known() -> None:
    run = Run().play(weather(8, 167, shown=lambda h: min(h, 60)))
    assert set(run.codes) == {"FRE-211"}


def test_what_came_in_an_alarm_does_not_become_usual() -> None:
    run = Run().play(weather(4, 700, shown=day_again))
    assert run.alarmed[-1] == 699
    assert max(run.history.past["86400"]) < 0.7


def test_similarity_and_concentration_say_what_they_are() -> None:
    one = np.zeros(FINGERPRINTS, np.int64)
    one[3] = 40
    other = np.roll(one, 5)
    assert similarity(one, 3 * one) == pytest.approx(1.0)
    assert similarity(one, other) == pytest.approx(-1.0 / 255.0)
    assert similarity(one, np.ones(FINGERPRINTS, np.int64)) is None
    assert concentration(one) == 1.0
    assert concentration(np.eye(1, FINGERPRINTS, 0, dtype=np.int64)[0]) is None
    rng = np.random.default_rng(1)
    for rows in (20, 2_000):  # unbiased, whatever the number of rows
        found = [
            concentration(rng.multinomial(rows, np.full(FINGERPRINTS, 1 / FINGERPRINTS))) or 0.0
            for _ in range(400)
        ]
        assert np.mean(found) == pytest.approx(1.0 / FINGERPRINTS, rel=0.2)
