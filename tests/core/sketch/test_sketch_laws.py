"""Summaries merge exactly: any cut of the stream gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.sketch import (
    LATENCY_EDGES_US,
    TRAFFIC,
    CategoryAxis,
    Layout,
    NumericAxis,
    Sketch,
    SketchError,
    merge,
    share_above,
)

LAYOUT = Layout(
    (
        NumericAxis("hour", (0.0, 6.0, 12.0)),
        CategoryAxis("carrier", ("AA", "UA")),
        NumericAxis("output", (0.25, 0.5, 0.75)),
    )
)
NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0.0, 6.0, 12.0, -1.0, 99.0]),
    st.floats(allow_nan=False),
)
ROWS = st.lists(
    st.tuples(
        NUMBERS, st.sampled_from([None, "AA", "UA", "new", ""]), st.floats(0, 1), st.integers(0, 2)
    ),
    max_size=60,
)
Row = tuple[float | None, str | None, float, int]


def sketches(rows: Sequence[Row], groups: int = 3) -> list[Sketch]:
    """One sketch a group, counted the way a recorder counts a batch."""
    columns: dict[str, list[Any]] = {
        "hour": [r[0] for r in rows],
        "carrier": [r[1] for r in rows],
        "output": [r[2] for r in rows],
    }
    of = np.array([r[3] for r in rows], np.int64)
    counts = LAYOUT.count(columns, of, groups)
    empty = Sketch.empty(LAYOUT.id, LAYOUT.size)
    traffic = np.zeros((groups, len(TRAFFIC)), np.int64)
    traffic[:, 0] = np.bincount(of, minlength=groups)
    return [Sketch(LAYOUT.id, c, t, empty.latency) for c, t in zip(counts, traffic, strict=True)]


def counts(values: Sequence[int]) -> Sketch:
    rng = np.random.default_rng(values)
    return Sketch(
        LAYOUT.id,
        rng.integers(0, 2**50, LAYOUT.size),
        rng.integers(0, 2**50, len(TRAFFIC)),
        rng.integers(0, 2**50, len(LATENCY_EDGES_US) + 1),
    )


SKETCHES = st.lists(st.integers(0, 2**31), min_size=1, max_size=2).map(counts)


@given(ROWS, st.lists(st.integers(0, 60), max_size=6), st.randoms(use_true_random=False))
def test_any_cut_of_the_stream_gives_the_same_bytes(
    rows: list[Row], cuts: list[int], random: Any
) -> None:
    edges = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    pieces = [rows[low:high] for low, high in pairwise(edges)]
    random.shuffle(pieces)
    whole = sketches(rows)
    for group in range(3):
        parts = [sketches(piece)[group] for piece in pieces]
        merged = merge(parts) or Sketch.empty(LAYOUT.id, LAYOUT.size)
        assert merged.to_bytes() == whole[group].to_bytes()
    assert merge(whole) == sketches([(*r[:3], 0) for r in rows], 1)[0]


@given(ROWS)
def test_counting_agrees_with_a_naive_oracle(rows: list[Row]) -> None:
    expected = np.zeros((3, LAYOUT.size), np.int64)
    for hour, carrier, output, group in rows:
        for number, edges, start in ((hour, (0, 6, 12), 0), (output, (0.25, 0.5, 0.75), 9)):
            place = 0 if number is None else 1 + sum(number > edge for edge in edges)
            expected[group, start + place] += 1
        expected[group, 5 + {None: 0, "AA": 1, "UA": 2}.get(carrier, 3)] += 1
    found = np.stack([s.features for s in sketches(rows)])
    assert found.tolist() == expected.tolist()


@given(SKETCHES, SKETCHES, SKETCHES)
def test_merging_is_associative_and_commutative(a: Sketch, b: Sketch, c: Sketch) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Sketch.empty(LAYOUT.id, LAYOUT.size) == a
    assert hash(a + b) == hash(b + a)


@given(SKETCHES)
def test_bytes_round_trip(sketch: Sketch) -> None:
    again = Sketch.from_bytes(sketch.to_bytes())
    assert again == sketch
    assert again.layout_id == LAYOUT.id
    assert (again.features == sketch.features).all()
    assert (again.traffic == sketch.traffic).all()
    assert (again.latency == sketch.latency).all()
    assert again + sketch == sketch + sketch  # and what was read may be added to


def test_merge_of_none_is_none_and_of_one_itself() -> None:
    assert merge([]) is None
    one = counts([1])
    assert merge([one]) is one
    assert merge([one] * 5) == reduce(add, [one] * 5)


def test_other_layouts_do_not_merge() -> None:
    other = Sketch.empty("f" * 16, LAYOUT.size)
    with pytest.raises(SketchError, match=f"layout {LAYOUT.id} cannot be merged with layout fff"):
        counts([1]) + other


def test_totals_by_name() -> None:
    sketch = counts([1])
    assert [sketch.total(name) for name in TRAFFIC] == sketch.traffic.tolist()


@pytest.mark.parametrize(
    ("limit_us", "slow"),
    [(1, 22), (100, 22), (101, 21), (200, 21), (1_000_000, 2), (1_000_001, 1), (5_000_000, 1),
     (5_000_001, 0)],
)  # fmt: skip
def test_slow_answers_are_counted_from_below(limit_us: float, slow: int) -> None:
    """One answer a bin: (0,100], (100,200], ..., (1s,5s], over 5s. A bin is slow as a whole."""
    one_each = np.ones(len(LATENCY_EDGES_US) + 1, np.int64)
    assert share_above(one_each, limit_us) == (slow, len(LATENCY_EDGES_US) + 1)
