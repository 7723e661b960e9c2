"""How values fall into bins, and a layout's identity."""

from __future__ import annotations

import json
import sys

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
    assert axis.edges[1:] == tuple(map(float, distinct))
    codes = axis.codes(np.array(distinct, float))
    assert len(set(codes.tolist())) == len(distinct)
    beyond = axis.codes([distinct[0] - 1.0, distinct[-1] + 1.0]).tolist()
    assert beyond == [1, axis.bins - 1]
    assert not set(beyond) & set(codes.tolist())


@given(st.lists(NUMBERS, min_size=1, max_size=300), st.integers(1, 20))
def test_edges_are_values_and_rise(values: list[float], bins: int) -> None:
    axis = NumericAxis.fit("x", np.array(values), bins=bins)
    assert set(axis.edges[1:]) <= set(values)
    assert all(low < high for low, high in zip(axis.edges, axis.edges[1:], strict=False))
    assert len(axis.edges) <= max(2 * bins, bins + 1) + 1
    codes = axis.codes(np.array(values))
    assert (codes > 1).all()
    assert (codes < axis.bins - 1).all()  # training data is never out of range


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50), st.integers(1, 20),
    st.floats(1e-9, 1e6),
)  # fmt: skip
def test_what_lies_below_the_minimum_has_a_bin_of_its_own(
    values: list[float], bins: int, far: float
) -> None:
    axis = Layout.from_dict(
        json.loads(
            json.dumps(Layout((NumericAxis.fit("x", np.array(values), bins=bins),)).to_dict())
        )
    ).axes[0]
    assert isinstance(axis, NumericAxis)
    low = min(values)
    assert axis.minimum_apart
    assert axis.codes([low]).tolist() == [2]
    sentinel = low - far * max(1.0, abs(low))
    assert axis.codes([sentinel, -np.inf]).tolist() == [1, 1]
    assert axis.labels()[1:3] == [f"under {low:g}", f"{low:g}"]


def test_the_bins_of_a_number_read_as_people_write_them() -> None:
    values = np.array([0.0] * 60 + [0.06] * 20 + [1.5] * 20)
    fitted = NumericAxis.fit("x", values)
    assert fitted.labels() == ["null", "under 0", "0", "0 to 0.06", "0.06 to 1.5", "over 1.5"]
    stored = NumericAxis("x", (0.0, 0.06, 1.5))
    assert stored.labels() == ["null", "up to 0", "0 to 0.06", "0.06 to 1.5", "over 1.5"]
    assert NumericAxis("x", (1.0, 1.00001)).labels(3) == ["null", "up to 1", "1", "over 1"]


def test_a_bin_stands_for_values_that_training_had() -> None:
    fitted = NumericAxis.fit("x", np.array([0.0, 1.0, 3.0]))
    assert fitted.bin_ends() == (0.0, 0.0, 1.0, 3.0, 3.0)
    assert fitted.bin_middles().tolist() == [0.0, 0.0, 0.5, 2.0, 3.0]
    stored = NumericAxis("x", (0.0, 1.0, 3.0))
    assert not stored.minimum_apart
    assert stored.bin_ends() == (0.0, 1.0, 3.0, 3.0)
    assert stored.bin_middles().tolist() == [0.0, 0.5, 2.0, 3.0]


@pytest.mark.parametrize("low", [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308])
def test_the_edge_below_zero_is_no_subnormal_number(low: float) -> None:
    """A processor that flushes these to zero would count the minimum elsewhere."""
    axis = NumericAxis.fit("x", np.array([low, 1.0]))
    assert axis.edges[0] == -sys.float_info.min
    assert axis.minimum_apart


def test_nothing_is_below_the_least_number() -> None:
    axis = NumericAxis.fit("x", np.array([-sys.float_info.max, 0.0]))
    assert axis.edges == (-sys.float_info.max, 0.0)


def test_many_values_spread_evenly() -> None:
    values = np.random.default_rng(1).normal(size=10_000)
    axis = NumericAxis.fit("x", values, bins=20)
    counts = np.bincount(axis.codes(values), minlength=axis.bins)
    assert counts[:2].tolist() == [0, 0]
    assert counts[2] == 1  # the minimum is an edge
    assert (abs(counts[3:-1] - 500) <= 1).all()


def test_fit_ignores_nulls_and_takes_nothing_at_all() -> None:
    assert NumericAxis.fit("x", np.array([np.nan, 1.0, np.nan])).edges[1:] == (1.0,)
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
