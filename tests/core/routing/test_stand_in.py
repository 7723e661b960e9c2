"""Which version answers while sources are broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.routing import choose_stand_in

SOURCES = {"1": ("plan", "weather", "dispatch"), "2": ("plan", "dispatch"), "3": ("plan",)}


@pytest.mark.parametrize(
    ("champion", "broken", "barred", "expected"),
    [
        ("1", {"weather"}, (), "3"),  # the newest of those without
        ("1", {"weather"}, ("3",), "2"),
        ("1", {"weather", "dispatch"}, ("3",), "2"),  # none without both: the one that needs less
        ("1", {"plan"}, (), None),  # all need it
        ("3", {"weather"}, (), None),  # the champion does not need it
        ("1", set(), (), None),
        ("9", {"plan"}, (), None),  # a version that is gone
    ],
)
def test_stand_in(
    champion: str, broken: set[str], barred: tuple[str, ...], expected: str | None
) -> None:
    assert choose_stand_in(champion, SOURCES, broken, barred) == expected


@given(
    st.dictionaries(st.sampled_from("12345"), st.sets(st.sampled_from("abc")), min_size=1),
    st.sets(st.sampled_from("abc")),
    st.sets(st.sampled_from("12345")),
)
def test_it_needs_fewer_of_the_broken_sources_than_the_champion(
    sources: dict[str, set[str]], broken: set[str], barred: set[str]
) -> None:
    champion = next(iter(sources))
    chosen = choose_stand_in(champion, sources, broken, barred)
    if chosen is not None:
        assert chosen not in barred
        assert len(sources[chosen] & broken) < len(sources[champion] & broken)
    else:
        usable = [v for v in sources if v not in barred]
        assert all(len(sources[v] & broken) >= len(sources[champion] & broken) for v in usable)
