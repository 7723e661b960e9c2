"""Outputs: what is let through, how it is shown, and what sketches count of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.sketch import CategoryAxis, Layout
from windvane.core.task import (
    OUTPUT,
    BadOutputs,
    ModelOutputs,
    TaskSpec,
    is_output_axis,
    make_task,
)

THREE = TaskSpec("multiclass", classes=("a", "b", "c"))
TAGS = TaskSpec("multilabel", classes=("a", "b"))
TWO = TaskSpec("regression", outputs={"x": (), "y": ()})
GRID = TaskSpec("regression", quantiles=(0.1, 0.9), horizons=("1h", "2h"))
TENSOR = TaskSpec("tensor", outputs={"e": (2,), "s": ()}, score="s")
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("spec", "outputs", "good"),
    [
        (TaskSpec(), [[0.0, 1.0, -0.1, 1.1, NAN, INF]], [1, 1, 0, 0, 0, 0]),
        (THREE, [[[0.2, 0.3, 0.5], [0.2, 0.2, 0.2], [1.2, -0.2, 0], [NAN, 0, 1]]], [1, 0, 0, 0]),
        (TAGS, [[[0.9, 0.9], [0.0, 1.1], [NAN, 0.5]]], [1, 0, 0]),
        (TaskSpec("regression"), [[1e100, -5.0, NAN, INF, -INF, 1e101, -1e308]], [1, 1] + [0] * 5),
        (TaskSpec("regression", low=-1e308, high=1e308), [[1e100, 1e101, -1e308]], [1, 0, 0]),
        (TWO, [[1.0, 1e101], [2.0, 2.0]], [1, 0]),
        (TaskSpec("ranking"), [[1e100, 1e101, -1e308]], [1, 0, 0]),
        (TENSOR, [[[1, 2], [1, 1e101], [1, 2]], [0.5, 0.5, -1e308]], [1, 0, 0]),
        (TaskSpec("regression", low=0.0, high=1.0), [[0.0, 1.0, 1.1, -0.1]], [1, 1, 0, 0]),
        (TWO, [[1.0, NAN, 1.0], [2.0, 2.0, INF]], [1, 0, 0]),
        (GRID, [[[[1, 2], [3, 4]], [[1, 2], [3, NAN]]]], [1, 0]),
        (TaskSpec("ranking"), [[-1e9, NAN, INF]], [1, 0, 0]),
        (TENSOR, [[[1, 2], [1, INF], [1, 2]], [0.5, 0.5, NAN]], [1, 0, 0]),
    ],
)
def test_only_what_the_task_promises_is_let_through(
    spec: TaskSpec, outputs: list[Any], good: list[int]
) -> None:
    task = make_task(spec)
    held = [np.array(one, np.float64) for one in outputs]
    rows = task.rows(held)
    assert [row is not None for row in rows] == [bool(g) for g in good]
    for i, row in enumerate(rows):
        if row is None:
            assert 0 < len(task.wrong(held, i)) < 300
        else:
            assert row == tuple(np.asarray(one[i]).tolist() for one in held)
            assert task.named(row).keys() == {out.name for out in task.outputs}
    assert task.rows([one[:0] for one in held]) == []


@pytest.mark.parametrize(
    ("spec", "row", "value", "sure"),
    [
        (TaskSpec(), (0.2,), 0.2, 0.8),
        (THREE, ([0.2, 0.5, 0.3],), "b", 0.5),
        (THREE, ([0.4, 0.4, 0.2],), "a", 0.4),
        (TAGS, ([0.5, 0.4],), ["a"], 0.5),
        (TaskSpec("regression"), (3.0,), 3.0, None),
        (TaskSpec("regression", quantiles=(0.1, 0.5, 0.9)), ([1.0, 2.0, 3.0],), 2.0, None),
        (GRID, ([[1.0, 2.0], [3.0, 4.0]],), [1.0, 3.0], None),
        (TaskSpec("ranking"), (7.0,), 7.0, None),
        (TENSOR, ([1.0, 2.0], 0.5), 0.5, None),
        (TaskSpec("tensor", outputs={"e": (2,)}), ([1.0, 2.0],), None, None),
    ],
)
def test_the_one_thing_that_a_client_looks_at(
    spec: TaskSpec, row: Any, value: Any, sure: float | None
) -> None:
    task = make_task(spec)
    assert task.value(row) == value
    assert task.confidence(row) == sure


def test_quantiles_and_horizons_have_names() -> None:
    named = make_task(GRID).named(([[1.0, 2.0], [3.0, 4.0]],))
    assert named == {"value": {"1h": {"0.1": 1.0, "0.9": 2.0}, "2h": {"0.1": 3.0, "0.9": 4.0}}}
    assert make_task(THREE).named(([0.2, 0.5, 0.3],)) == {
        "probabilities": {"a": 0.2, "b": 0.5, "c": 0.3}
    }


ROWS = 400


def outputs_of(spec: TaskSpec) -> list[Any]:
    rng = np.random.default_rng(5)
    task = make_task(spec)
    held = [rng.random((ROWS, *(n for n in out.shape))) for out in task.outputs]
    if spec.kind == "multiclass":
        held = [held[0] / held[0].sum(axis=1, keepdims=True)]
    return held


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (TaskSpec(), [OUTPUT]),
        (THREE, [OUTPUT, "output#confidence"]),
        (TAGS, [OUTPUT, "output#confidence"]),
        (TaskSpec("regression"), [OUTPUT]),
        (TWO, [OUTPUT, "output#y"]),
        (GRID, [OUTPUT, "output#value_width"]),
        (TaskSpec("ranking"), [OUTPUT]),
        (TENSOR, ["output#e_norm", OUTPUT]),
    ],
)
def test_streams_are_counted_on_axes_of_their_own(spec: TaskSpec, names: list[str]) -> None:
    task = make_task(spec)
    held = outputs_of(spec)
    streams, axes = task.streams(held), task.axes(held)
    assert list(streams) == [axis.name for axis in axes] == names
    assert all(is_output_axis(name) for name in names)
    layout = Layout(axes)
    counts = layout.count(streams)[0]
    for axis in axes:
        part = layout.part(counts, axis.name)
        assert part.sum() == ROWS
        assert part[0] == 0
        assert part[-1] == 0  # nothing is beyond the edges that were made for it
        if isinstance(axis, CategoryAxis):
            assert axis.categories == spec.classes
        else:
            assert part.max() <= 0.2 * ROWS or len(axis.edges) < 5


@given(st.floats(1e-7, 1e-2), st.integers(0, 2**31))
def test_scores_in_a_corner_still_spread_over_their_axis(width: float, seed: int) -> None:
    """A fixed grid is blind where all scores lie in one of its bins."""
    scores = np.random.default_rng(seed).random(1_000) * width
    task = make_task(TaskSpec())
    (axis,) = task.axes([scores])
    counts = np.bincount(axis.codes(scores), minlength=axis.bins)
    assert counts.max() <= 60


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (TaskSpec(), np.arange(200.0) % 2), (THREE, np.eye(3)[np.arange(200) % 3]),
        (TAGS, np.eye(2)[np.arange(200) % 2]),
    ],
)  # fmt: skip
def test_labels_served_as_probabilities_are_suspicious(spec: TaskSpec, outputs: Any) -> None:
    task = make_task(spec)
    assert "these are labels" in task.suspicious([outputs])
    assert task.suspicious([outputs[:20]]) == ""  # too few to say
    assert task.suspicious([outputs * 0.99]) == ""


@pytest.mark.parametrize(
    ("name", "is_"),
    [("output", True), ("output#confidence", True), ("output@3", True), ("outputs", False),
     ("output_x", False), ("x", False)],
)  # fmt: skip
def test_which_axes_count_outputs(name: str, is_: bool) -> None:
    assert is_output_axis(name) is is_


QUANTILES = (0.1, 0.5, 0.9)


@pytest.mark.parametrize(
    ("more", "row", "crossed"),
    [
        ({}, ([1.0, 2.0, 3.0],), False),
        ({}, ([1.0, 1.0, 1.0],), False),
        ({}, ([2.0, 1.0, 3.0],), True),
        ({}, ([1.0, 3.0, 2.0],), True),
        ({"horizons": ("1h", "2h")}, ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), False),
        ({"horizons": ("1h", "2h")}, ([[4.0, 5.0, 6.0], [1.0, 2.0, 3.0]],), False),
        ({"horizons": ("1h", "2h")}, ([[1.0, 2.0, 3.0], [5.0, 4.0, 6.0]],), True),
        ({"outputs": {"a": (), "b": ()}}, ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0]), False),
        ({"outputs": {"a": (), "b": ()}}, ([1.0, 2.0, 3.0], [1.0, 2.0, 1.0]), True),
    ],
)
def test_quantiles_that_cross_are_flagged(more: Any, row: Any, crossed: bool) -> None:
    task = make_task(TaskSpec("regression", quantiles=QUANTILES, **more))
    assert task.flagged
    assert task.flags(row) == (("crossed_quantiles",) if crossed else ())


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(),
        TaskSpec("multiclass", classes=("a", "b")),
        TaskSpec("multilabel", classes=("a", "b")),
        TaskSpec("regression"),
        TaskSpec("regression", horizons=("1h", "2h")),
        TaskSpec("regression", quantiles=(0.5,)),
        TaskSpec("ranking"),
        TaskSpec("tensor", outputs={"v": (2,)}),
    ],
)
def test_no_other_task_is_looked_at_row_by_row(spec: TaskSpec) -> None:
    task = make_task(spec)
    assert not task.flagged
    assert task.flags((1.0,)) == ()


def test_there_is_no_column_to_choose_where_a_model_gives_one_number() -> None:
    """It was ignored, and the other label's probability was judged."""
    task = make_task(TaskSpec("binary", positive="left"))
    with pytest.raises(BadOutputs, match="--positive 0: the model gives one number a row"):
        task.mappings(ModelOutputs(columns=1, positive=0))


def test_codes_say_nothing_of_the_order_of_names() -> None:
    """Classes a, b, d, c of a file were once served in the order of an encoder's a, b, c, d."""
    task = make_task(TaskSpec("multiclass", classes=("a", "b", "d", "c")))
    with pytest.raises(BadOutputs, match="the model's labels are 0, 1, 2, 3"):
        task.mappings(ModelOutputs(columns=4, classes=("0", "1", "2", "3")))
    (mapping,) = task.mappings(ModelOutputs(columns=4, classes=("a", "b", "c", "d")))
    assert mapping.columns == (0, 1, 3, 2)
