"""How values fall into bins, and a layout's identity."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("value", "bin_"),
    [
        (None, 0), (float("nan"), 0), (-1e308, 1), (0.0, 1), (0.1, 2), (1.0, 2), (1.5, 3),
        (2.0, 3), (2.1, 4), (float("inf"), 4), (float("-inf"), 1),
    ],
)  # fmt: skip
def test_a_number_falls_into_the_bin_below_its_edge(value: float | None, bin_: int) -> None:
    axis = NumericAxis("x", (0.0, 1.0, 2.0))
    assert axis.codes([value]).tolist() == [bin_]
    assert axis.bins == 5
    assert len(axis.labels()) == axis.bins
    assert axis.labels()[bin_] == ["null", "up to 0", "0 to 1", "1 to 2", "over 2"][bin_]


@pytest.mark.parametrize(
    ("value", "bin_"), [(None, 0), ("AA", 1), ("UA", 2), ("ZZ", 3), ("", 3), ("aa", 3)]
)
def test_a_name_falls_into_its_bin_or_unseen(value: str | None, bin_: int) -> None:
    axis = CategoryAxis("carrier", ("AA", "UA"))
    assert axis.codes([value]).tolist() == [bin_]
    assert axis.labels()[bin_] == ["null", "AA", "UA", "unseen"][bin_]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=200))
def test_few_distinct_values_keep_one_bin_each(values: list[int]) -> None:
    distinct = sorted(set(values))
    axis = NumericAxis.fit("x", np.array(values, float), bins=(len(distinct) + 1) // 2)
    assert axis.edges == tuple(map(float, distinct))
    codes = axis.codes(np.array(distinct, float))
    assert len(set(codes.tolist())) == len(distinct)
    assert axis.codes([distinct[-1] + 1.0]).tolist() == [axis.bins - 1]


@given(st.lists(NUMBERS, min_size=1, max_size=300), st.integers(1, 20))
def test_edges_are_values_and_rise(values: list[float], bins: int) -> None:
    axis = NumericAxis.fit("x", np.array(values), bins=bins)
    assert set(axis.edges) <= set(values)
    assert all(low < high for low, high in zip(axis.edges, axis.edges[1:], strict=False))
    assert len(axis.edges) <= max(2 * bins, bins + 1)
    codes = axis.codes(np.array(values))
    assert (codes >= 1).all()
    assert (codes < axis.bins - 1).all()  # training data is never out of range


def test_many_values_spread_evenly() -> None:
    values = np.random.default_rng(1).normal(size=10_000)
    axis = NumericAxis.fit("x", values, bins=20)
    counts = np.bincount(axis.codes(values), minlength=axis.bins)
    assert counts[0] == 0
    assert counts[1] == 1  # the minimum is an edge
    assert (abs(counts[2:-1] - 500) <= 1).all()


def test_fit_ignores_nulls_and_takes_nothing_at_all() -> None:
    assert NumericAxis.fit("x", np.array([np.nan, 1.0, np.nan])).edges == (1.0,)
    assert NumericAxis.fit("x", np.array([np.nan])).edges == (0.0,)
    assert NumericAxis.fit("x", np.array([])).edges == (0.0,)


LAYOUTS = st.builds(
    lambda edges, names: Layout(
        (NumericAxis("x", tuple(sorted(edges))), CategoryAxis("c", tuple(names)))
    ),
    st.sets(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    st.lists(st.text(max_size=4), max_size=4, unique=True),
)


@given(LAYOUTS)
def test_a_layouts_id_survives_its_json(layout: Layout) -> None:
    again = Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    assert again == layout
    assert again.id == layout.id
    assert len(layout.id) == 16


def test_the_id_is_pinned() -> None:
    """Stored sketches carry it: a change of the hash orphans them all."""
    layout = Layout((NumericAxis("x", (0.0, 1.5)), CategoryAxis("c", ("a", "é"))))
    assert layout.id == "6784f7bd9a15a1e1"


@pytest.mark.parametrize(
    "other",
    [
        Layout((NumericAxis("x", (0.0, 2.0)), CategoryAxis("c", ("a", "b")))),
        Layout((NumericAxis("y", (0.0, 1.0)), CategoryAxis("c", ("a", "b")))),
        Layout((NumericAxis("x", (0.0, 1.0)), CategoryAxis("c", ("b", "a")))),
        Layout((CategoryAxis("c", ("a", "b")), NumericAxis("x", (0.0, 1.0)))),
        Layout((NumericAxis("x", (0.0, 1.0)),)),
    ],
)
def test_anything_else_is_another_layout(other: Layout) -> None:
    layout = Layout((NumericAxis("x", (0.0, 1.0)), CategoryAxis("c", ("a", "b"))))
    assert other.id != layout.id


@pytest.mark.parametrize("edges", [(0, 1), (-0.0, 1.0)])
def test_equal_layouts_have_equal_ids(edges: tuple[float, ...]) -> None:
    layout, other = Layout((NumericAxis("x", (0.0, 1.0)),)), Layout((NumericAxis("x", edges),))
    assert layout == other
    assert layout.id == other.id


def test_parts_are_an_axis_bins() -> None:
    layout = Layout((NumericAxis("x", (0.0,)), CategoryAxis("c", ("a",))))
    counts = layout.count({"x": [None, 0.0, 9.0], "c": ["a", "a", None]})[0]
    assert layout.names == ("x", "c")
    assert layout.size == counts.sum() == 6
    assert layout.part(counts, "x").tolist() == [1, 1, 1]
    assert layout.part(counts, "c").tolist() == [1, 2, 0]
