"""From what a library gives to what a task promises: every shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.signature import (
    OutputMapping,
    OutputReader,
    OutputSpec,
    Transform,
    map_output,
)

NUMBER = OutputSpec("value")
THREE = OutputSpec("probabilities", (3,))
GRID = OutputSpec("quantiles", (2, 3))
ANY = OutputSpec("embedding", (-1,))
ROWS = np.arange(6, dtype=np.float64)


@pytest.mark.parametrize(
    ("found", "mapping", "spec", "shape"),
    [
        (ROWS, OutputMapping("value"), NUMBER, (6,)),
        (ROWS.reshape(6, 1), OutputMapping("value"), NUMBER, (6,)),
        (ROWS.reshape(3, 2), OutputMapping("value", "", (1,)), NUMBER, (3,)),
        (ROWS.reshape(2, 3), OutputMapping("probabilities"), THREE, (2, 3)),
        (ROWS.reshape(2, 3), OutputMapping("probabilities", "", (2, 0, 1)), THREE, (2, 3)),
        (ROWS.reshape(1, 6), OutputMapping("quantiles"), GRID, (1, 2, 3)),
        (ROWS.reshape(1, 2, 3), OutputMapping("quantiles"), GRID, (1, 2, 3)),
        (ROWS.reshape(1, 2, 1, 3), OutputMapping("quantiles"), GRID, (1, 2, 3)),
        (ROWS, OutputMapping("quantiles"), OutputSpec("quantiles", (1,)), (6, 1)),
        (ROWS, OutputMapping("embedding"), ANY, (6, 1)),
        (ROWS.reshape(2, 3), OutputMapping("embedding"), ANY, (2, 3)),
        (np.empty((0, 3)), OutputMapping("probabilities"), THREE, (0, 3)),
        (np.empty((0,)), OutputMapping("value"), NUMBER, (0,)),
    ],
)
def test_shapes(
    found: Any, mapping: OutputMapping, spec: OutputSpec, shape: tuple[int, ...]
) -> None:
    got = map_output(found, mapping, spec)
    assert got.shape == shape
    assert got.dtype == np.float64


def test_columns_are_taken_in_the_tasks_order() -> None:
    found = np.array([[0.1, 0.2, 0.7]])
    got = map_output(found, OutputMapping("probabilities", "", (2, 0, 1)), THREE)
    assert got.tolist() == [[0.7, 0.1, 0.2]]
    assert map_output(found, OutputMapping("value", "", (2,)), NUMBER).tolist() == [0.7]


@pytest.mark.parametrize(
    ("found", "mapping", "spec"),
    [
        (ROWS.reshape(3, 2), OutputMapping("value"), NUMBER),
        (ROWS.reshape(3, 2), OutputMapping("probabilities"), THREE),
        (ROWS, OutputMapping("probabilities"), THREE),
        (ROWS.reshape(3, 2), OutputMapping("value", "", (2,)), NUMBER),
        (ROWS.reshape(1, 3, 2), OutputMapping("embedding"), ANY),
        # As many numbers on other axes are other numbers.
        (ROWS.reshape(1, 3, 2), OutputMapping("quantiles"), GRID),
        (np.zeros((2, 4, 4, 3)), OutputMapping("map"), OutputSpec("map", (3, 4, 4))),
    ],
)
def test_another_shape_is_refused(found: Any, mapping: OutputMapping, spec: OutputSpec) -> None:
    with pytest.raises(ValueError, match=r"shape|columns"):
        map_output(found, mapping, spec)


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=8))
def test_log_odds_become_probabilities(odds: list[float]) -> None:
    found = np.array(odds)
    got = map_output(found, OutputMapping("value", transform=Transform.SIGMOID), NUMBER)
    with np.errstate(over="ignore"):
        assert got == pytest.approx(1.0 / (1.0 + np.exp(-found)), abs=1e-15)
    assert ((got >= 0.0) & (got <= 1.0)).all()


@given(st.lists(st.floats(-700, 700), min_size=3, max_size=3), st.permutations([0, 1, 2]))
def test_a_softmax_needs_every_class(scores: list[float], order: list[int]) -> None:
    """It comes before the choice of columns."""
    found = np.array([scores])
    soft = map_output(
        found, OutputMapping("probabilities", "", tuple(order), Transform.SOFTMAX), THREE
    )
    assert soft.sum() == pytest.approx(1.0)
    powers = np.exp(found[0] - found.max())
    assert soft[0] == pytest.approx((powers / powers.sum())[order])
    one = map_output(found, OutputMapping("value", "", (order[0],), Transform.SOFTMAX), NUMBER)
    assert one[0] == soft[0, 0]


RAW = {"label": np.array([0, 1]), "probs": np.array([[0.2, 0.8], [0.6, 0.4]])}


def test_outputs_are_found_by_their_names() -> None:
    reader = OutputReader([OutputMapping("value", "probs", (1,))], [NUMBER])
    assert reader.sources == ["probs"]
    assert reader(RAW)[0].tolist() == [0.8, 0.4]
    with pytest.raises(ValueError, match="there is no output 'probs' among label, other"):
        reader({"label": RAW["label"], "other": RAW["label"]})


def test_the_only_output_needs_no_name() -> None:
    reader = OutputReader([OutputMapping("value")], [NUMBER])
    assert reader({"whatever": ROWS})[0].tolist() == ROWS.tolist()
    assert reader({"value": ROWS, "else": ROWS + 1})[0].tolist() == ROWS.tolist()
    with pytest.raises(ValueError, match="there is no output 'value'"):
        reader({"a": ROWS, "b": ROWS})


def test_several_outputs_keep_the_tasks_order() -> None:
    specs = [OutputSpec("b", (2,)), OutputSpec("a")]
    reader = OutputReader([OutputMapping("a", "one"), OutputMapping("b", "two")], specs)
    got = reader({"one": ROWS[:2], "two": ROWS[:4].reshape(2, 2)})
    assert [g.tolist() for g in got] == [[[0.0, 1.0], [2.0, 3.0]], [0.0, 1.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (3, 2)])
@pytest.mark.parametrize("column", [(), (0,), (1,)])
def test_the_short_way_is_the_long_way(
    dtype: Any, shape: tuple[int, ...], column: tuple[int, ...]
) -> None:
    """What nearly every model gives is read without the general mapping: to the same end."""
    reader = OutputReader([OutputMapping("value", "", column)], [NUMBER])
    raw = (ROWS / 7.0 * 6.0).astype(dtype).reshape(shape)
    if shape == (3, 2) and not column:
        with pytest.raises(ValueError, match="shape"):
            reader.one(raw)
        return
    short, long = reader.one(raw)[0], reader({"": raw})[0]
    assert short.tolist() == long.tolist()
    assert short.dtype == np.float64
