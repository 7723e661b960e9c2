"""The plain rule of a sliding window, which the contract suite holds every limiter against."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windvane.core.admission import FREE, Limit, RateLimitDecision, admit_at

TICK = 1 / 64
windows = st.integers(1, 200).map(lambda n: n * TICK)
times = st.lists(st.integers(0, 1_000).map(lambda n: n * TICK), max_size=60).map(sorted)


@given(times, st.integers(1, 8), windows)
def test_no_window_anywhere_holds_more_than_the_rate(
    arrivals: list[float], rate: int, per_s: float
) -> None:
    limit = Limit("t", rate, per_s)
    admitted: list[float] = []
    for now in arrivals:
        if admit_at(admitted, limit, now) == 0:
            admitted.append(now)
    for end in admitted:
        assert sum(end - per_s < at <= end for at in admitted) <= rate


@given(times, st.integers(1, 8), windows)
def test_nobody_is_refused_while_there_is_room(
    arrivals: list[float], rate: int, per_s: float
) -> None:
    limit = Limit("t", rate, per_s)
    admitted: list[float] = []
    for now in arrivals:
        full = sum(now - per_s < at <= now for at in admitted) >= rate
        assert (admit_at(admitted, limit, now) > 0) == full
        if not full:
            admitted.append(now)


@given(times, st.integers(1, 8), windows)
def test_the_wait_is_exact(arrivals: list[float], rate: int, per_s: float) -> None:
    limit = Limit("t", rate, per_s)
    admitted: list[float] = []
    for now in arrivals:
        wait = admit_at(admitted, limit, now)
        if wait == 0:
            admitted.append(now)
            continue
        assert 0 < wait <= per_s
        assert admit_at(admitted, limit, now + wait) == 0
        assert admit_at(admitted, limit, now + wait - TICK) > 0


def test_no_rate_is_no_bound() -> None:
    assert admit_at([1.0] * 50, Limit("t"), 1.0) == 0


def test_an_answer_is_a_yes_unless_it_names_a_wait() -> None:
    assert FREE.admitted
    assert not RateLimitDecision(Limit("t"), retry_after_s=0.1).admitted
