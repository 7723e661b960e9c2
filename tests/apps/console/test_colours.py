"""One colour a version, and times that say their zone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windvane.apps.console import times
from windvane.apps.console.colours import COLOURS, colour_of


@given(st.text(max_size=60))
def test_every_name_has_a_colour_for_ever(name: str) -> None:
    assert 0 <= colour_of(name) < COLOURS
    assert colour_of(name) == colour_of(name)


@given(st.integers(1, 10**6))
def test_neighbours_differ(number: int) -> None:
    near = {colour_of(str(number + i)) for i in range(COLOURS)}
    assert len(near) == COLOURS
    assert colour_of(f"v{number}") == colour_of(str(number))


def test_times_say_their_zone() -> None:
    assert times.utc(1_361_923_200.0) == "2013-02-27 00:00 UTC"
    assert times.seconds(1_361_923_205.2504) == "2013-02-27 00:00:05.250 UTC"
    assert times.seconds(59.9999) == "1970-01-01 00:01:00.000 UTC"
    assert times.machine(0.0).endswith("Z")
