"""Spans hold what is passed over, and nothing that is logged."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from windvane.usecases.passed_over import from_on, holds, joined, size_within, spans_of

END = 60
POSITIONS = st.dictionaries(st.integers(0, END - 1), st.booleans())
SPANS = st.lists(st.tuples(st.integers(0, END), st.integers(1, 9))).map(
    lambda found: joined((), tuple((first, first + size) for first, size in found))
)


@given(POSITIONS)
def test_spans_hold_what_is_passed_and_nothing_that_is_logged(found: dict[int, bool]) -> None:
    passed = [at for at, aside in found.items() if aside]
    logged = sorted(at for at, aside in found.items() if not aside)
    spans = spans_of(passed, logged, END)
    assert all(holds(spans, at) for at in passed)
    assert not any(holds(spans, at) for at in logged)
    assert len(spans) <= len(logged) + 1, "neighbours share a span"
    assert all(first < end <= END for first, end in spans)


@given(SPANS, SPANS, st.integers(0, END), st.integers(0, END))
def test_joining_and_cutting_are_those_of_sets(
    one: tuple[tuple[int, int], ...], other: tuple[tuple[int, int], ...], start: int, end: int
) -> None:
    def positions(spans: tuple[tuple[int, int], ...]) -> set[int]:
        return {at for first, last in spans for at in range(first, last)}

    both = joined(one, other)
    assert positions(both) == positions(one) | positions(other)
    assert all(last < first for (_, last), (first, _) in pairwise(both))
    assert {at for at in range(2 * END) if holds(both, at)} == positions(both)
    assert positions(from_on(both, start)) == {at for at in positions(both) if at >= start}
    assert size_within(both, start, end) == len(positions(both) & set(range(start, end)))
