"""Counts over a span that moves: bounded, and the same however the windows were cut."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.slo import (
    UNKNOWN_AS_ONE,
    Ring,
    Tally,
    add_window,
    burn_rules,
    empty_rings,
    ring_of,
    rows_as_one,
    sum_of,
    under_other_widths,
)

DAY = 86_400.0
WINDOWS_S = (10.0, 60.0, 300.0, 3_600.0, 21_600.0)
windows = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 20), st.integers(0, 20)), max_size=60
)


def filled(ring: Ring, window_s: float, found: list[tuple[int, int, int]]) -> Ring:
    for number, bad, good in found:
        ring = add_window(ring, number * window_s, Tally(bad, bad + good))
    return ring


@given(windows, st.sampled_from(WINDOWS_S), st.floats(60.0, 30 * DAY), st.data())
def test_any_cut_and_any_order_gives_the_same_ring(
    found: list[tuple[int, int, int]], window_s: float, span_s: float, data: st.DataObject
) -> None:
    once = filled(ring_of(span_s, window_s), window_s, found)
    cut = [
        part
        for number, bad, good in found
        for part in ((number, bad // 2, good), (number, bad - bad // 2, 0))
    ]
    again = filled(ring_of(span_s, window_s), window_s, data.draw(st.permutations(cut)))
    assert again == once
    assert len(once.buckets) <= once.most
    assert all(a[0] < b[0] for a, b in pairwise(once.buckets))


@given(windows, st.sampled_from(WINDOWS_S), st.floats(60.0, 30 * DAY))
def test_it_holds_its_span_and_little_more(
    found: list[tuple[int, int, int]], window_s: float, span_s: float
) -> None:
    found = sorted(found)
    if not found:
        return
    ring = filled(ring_of(span_s, window_s), window_s, found)
    end = (found[-1][0] + 1) * window_s
    # A part of a window is the whole of it.
    least = [(b, b + g) for n, b, g in found if n * window_s >= end - max(span_s, window_s)]
    reach = max(math.ceil(span_s / window_s) * window_s, span_s * 13.0 / 12.0 + ring.width_s)
    most = [(b, b + g) for n, b, g in found if n * window_s >= end - reach - 1e-6]
    held = sum_of(ring, found[-1][0] * window_s)
    assert sum(b for b, _ in least) <= held.bad <= sum(b for b, _ in most)
    assert sum(t for _, t in least) <= held.total <= sum(t for _, t in most)


@given(windows, st.sampled_from(WINDOWS_S), st.integers(0, 500))
def test_what_is_out_of_the_span_counts_no_more(
    found: list[tuple[int, int, int]], window_s: float, later: int
) -> None:
    ring = filled(ring_of(3_600.0, window_s), window_s, sorted(found))
    at = (400 + later) * window_s
    assert sum_of(ring, at) == sum_of(add_window(ring, at, Tally()), at)
    assert sum_of(ring, at + 8_000.0 + 2 * window_s) == Tally()


@given(windows, st.sampled_from(WINDOWS_S), st.sampled_from(WINDOWS_S))
def test_another_length_of_windows_loses_nothing_that_is_in_the_span(
    found: list[tuple[int, int, int]], one_s: float, other_s: float
) -> None:
    """The rings of a file that was applied with another window, for a budget that is as long."""

    def empty(window_s: float) -> tuple[Ring, ...]:
        spans = [s for rule in burn_rules(30 * DAY) for s in (rule.long_s, rule.short_s)]
        return empty_rings(spans, window_s, 30 * DAY)

    held = tuple(filled(ring, one_s, sorted(found)) for ring in empty(one_s))
    assert under_other_widths(held, empty(one_s)) == held
    moved = under_other_widths(held, empty(other_s))
    assert [(r.width_s, r.most) for r in moved] == [(r.width_s, r.most) for r in empty(other_s)]
    start = max((n for n, _, _ in found), default=0) * one_s
    if one_s * 400 < 29 * DAY:
        assert sum_of(moved[-1], start) == sum_of(held[-1], start)
    for was, now in zip(held, moved, strict=True):
        assert len(now.buckets) <= now.most
        assert sum_of(now, start).total <= max(sum_of(r, start).total for r in held)
        assert was.buckets or not sum_of(now, start).total


def test_a_shorter_ring_is_made_of_a_longer_one() -> None:
    day = filled(ring_of(DAY, 60.0), 60.0, [(i, 1, 9) for i in range(1_440)])
    (half,) = under_other_widths([day], [ring_of(DAY / 2, 60.0)])
    assert sum_of(half, 1_439 * 60.0) == Tally(720, 7_200)
    assert under_other_widths([], [ring_of(DAY, 60.0)]) == (ring_of(DAY, 60.0),)


def test_rows_that_are_bad_together_count_as_few() -> None:
    """Forty days of 200 rows: as a binomial law has them, and in lots of twenty."""
    ring = Ring(DAY, 60)
    rng = np.random.default_rng(5)
    alone = together = ring
    for day in range(40):
        alone = add_window(alone, day * DAY, Tally(int(rng.binomial(200, 0.1)), 200))
        together = add_window(together, day * DAY, Tally(20 * int(rng.binomial(10, 0.1)), 200))
    assert 1.0 <= rows_as_one(alone, 40 * DAY) < 3.0
    assert 15.0 < rows_as_one(together, 40 * DAY) < 45.0
    assert rows_as_one(alone, 9 * DAY) == UNKNOWN_AS_ONE, "nine days say little"
    burst = add_window(alone, 40 * DAY, Tally(200, 200))
    assert rows_as_one(burst, 40 * DAY) == rows_as_one(alone, 40 * DAY), "not by what burns now"
    assert rows_as_one(add_window(ring, 0.0, Tally(0, 9)), DAY) == UNKNOWN_AS_ONE
