"""A change of values that stays is what the next change is seen against."""

from __future__ import annotations

import pytest
from usecases.harness import Harness
from usecases.timeline import only

from windvane.usecases.actions import About

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")

HEALTHY, RECENT = 70, 30


def play(harness: Harness, first: int, windows: int, **shape: float) -> int:
    for i in range(first, first + windows):
        harness.traffic(i, **shape)  # pyright: ignore[reportArgumentType]
        harness.judge()
    return first + windows


def open_causes(harness: Harness) -> list[str]:
    return sorted(i.cause for i in harness.incidents() if i.closed_at is None)


@pytest.fixture
def lasting(harness: Harness) -> tuple[Harness, int]:
    """Warmer by two deviations, for longer than the recent past is."""
    at = play(harness, 0, HEALTHY)
    assert harness.incidents() == []
    at = play(harness, at, RECENT + 12, warmer=20.0)
    assert open_causes(harness) == ["feed:weather"]
    return harness, at


def test_what_breaks_next_is_seen_while_the_first_is_open(lasting: tuple[Harness, int]) -> None:
    harness, at = lasting
    incident = only(harness, "feed:weather")
    before = len(harness.timeline(incident))
    at = play(harness, at, 20, warmer=20.0)
    assert len(harness.timeline(incident)) == before, "as it has been"
    at = play(harness, at, 10, warmer=45.0)
    assert open_causes(harness) == ["feed:weather"]
    assert len(harness.timeline(incident)) > before
    play(harness, at, 12, warmer=20.0)
    assert open_causes(harness) == ["feed:weather"], "nobody said yet what it was"


def test_what_comes_back_to_what_it_was_ends_it(lasting: tuple[Harness, int]) -> None:
    """Nobody has to say so, and the stand-in does not serve for ever."""
    harness, at = lasting
    at = play(harness, at, 20, warmer=20.0)
    assert harness.live.standing_in == "2"
    at = play(harness, at, 24)
    assert open_causes(harness) == []
    assert harness.live.standing_in is None
    at = play(harness, at, 20)
    assert len(harness.incidents()) == 1, "it is usual again"
    play(harness, at, 8, warmer=20.0)
    assert open_causes(harness) == ["feed:weather"]


def test_accepting_ends_it_and_nothing_begins_again(lasting: tuple[Harness, int]) -> None:
    harness, at = lasting
    harness.act("accept", About.INCIDENT, incident=only(harness, "feed:weather").id)
    at = play(harness, at, 20, warmer=20.0)
    assert open_causes(harness) == []
    play(harness, at, 4, warmer=20.0, nulls=1.0)
    assert open_causes(harness) == ["feed:weather"]


def test_a_total_fault_is_no_past_however_long_it_lasts(harness: Harness) -> None:
    at = play(harness, 0, HEALTHY)
    at = play(harness, at, RECENT + 12, nulls=1.0)
    assert open_causes(harness) == ["feed:weather"]
    play(harness, at, 8)
    assert open_causes(harness) == []
