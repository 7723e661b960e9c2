"""Labels and outcomes, as every task takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.task import BadLabel, BadTask, TaskSpec, make_task

BINARY = TaskSpec()
YES = TaskSpec(positive="yes")
CLASSES = TaskSpec("multiclass", classes=("a", "b", "1"))
TAGS = TaskSpec("multilabel", classes=("a", "b", "c"))
NUMBER = TaskSpec("regression")
SHARE = TaskSpec("regression", low=0.0, high=1.0)
TWO = TaskSpec("regression", outputs={"height": (), "weight": ()})
HOURS = TaskSpec("regression", horizons=("1h", "2h"), quantiles=(0.1, 0.5, 0.9))
BOTH = TaskSpec("regression", outputs={"a": (), "b": ()}, horizons=("1h", "2h"))
RANKING = TaskSpec("ranking")
TENSOR = TaskSpec("tensor", outputs={"embedding": (2,), "score": ()}, score="score")
NAMED = TaskSpec(positive="late", classes=("on time", "late"))
ALL = [BINARY, YES, CLASSES, TAGS, NUMBER, TWO, HOURS, BOTH, RANKING, TENSOR]


@pytest.mark.parametrize(
    ("spec", "given_", "label"),
    [
        (BINARY, 1, 1.0), (BINARY, 0.0, 0.0), (BINARY, True, 1.0),
        (YES, "yes", 1.0), (YES, "no", 0.0), (YES, 1, 1.0), (YES, False, 0.0),
        (TaskSpec(positive="0"), 0, 1.0), (TaskSpec(positive="0"), 1, 0.0),
        (TaskSpec(positive="0"), "0", 1.0), (TaskSpec(positive="0"), 0.0, 1.0),
        (TaskSpec(positive="2"), 1, 0.0), (TaskSpec(positive="2"), 2.0, 1.0),
        (TaskSpec(positive="false"), False, 1.0), (TaskSpec(positive="false"), "True", 0.0),
        (TaskSpec(positive="1"), True, 1.0), (TaskSpec(positive="1"), False, 0.0),
        (CLASSES, "b", 1.0), (CLASSES, 1, 2.0), (CLASSES, 1.0, 2.0), (CLASSES, "1.0", 2.0),
        (TAGS, ["c", "a"], [1.0, 0.0, 1.0]), (TAGS, "b|c", [0.0, 1.0, 1.0]), (TAGS, [], [0.0] * 3),
        (TAGS, "", [0.0] * 3), (TAGS, [0, 1, True], [0.0, 1.0, 1.0]),
        (NUMBER, 3, 3.0), (SHARE, 1.0, 1.0),
        (TWO, [1, 2.5], [1.0, 2.5]), (TWO, {"weight": 2.5, "height": 1}, [1.0, 2.5]),
        (HOURS, (1, 2), [1.0, 2.0]), (HOURS, {"value": [1, 2]}, [1.0, 2.0]),
        (BOTH, {"b": [3, 4], "a": [1, 2]}, [1.0, 2.0, 3.0, 4.0]),
        (RANKING, 0, 0.0), (RANKING, 3.5, 3.5), (TENSOR, -2, -2.0),
    ],
)  # fmt: skip
def test_taken(spec: TaskSpec, given_: Any, label: Any) -> None:
    assert make_task(spec).label(given_) == label


@pytest.mark.parametrize(
    ("spec", "given_", "said"),
    [
        (BINARY, "yes", "labels must be 0 or 1, got 'yes'"), (BINARY, 2, "got 2"),
        (BINARY, float("nan"), "got nan"), (BINARY, None, "got None"), (BINARY, [1], "got [1]"),
        (YES, 2, "got 2"), (YES, float("nan"), "got nan"), (YES, None, "got None"),
        (TaskSpec(positive="0"), float("nan"), "got nan"),
        (TaskSpec(positive="a", classes=("a", "b")), "c", "'c' is none of a, b"),
        (CLASSES, "A", "'A' is none of the classes"), (CLASSES, None, "None is none of"),
        (CLASSES, 2, "2 is none of"), (CLASSES, float("nan"), "nan is none of"),
        (TAGS, ["a", "d"], "'d' is none of"), (TAGS, 1, "must be a list"), (TAGS, None, "a list"),
        (NUMBER, "3", "must be a number"), (NUMBER, True, "must be a number"),
        (NUMBER, float("inf"), "must be finite"), (NUMBER, 10**400, "must be finite"),
        (SHARE, 1.1, "1.1 is outside 0 to 1"),
        (TWO, [1], "a label has 2 numbers"), (TWO, 1, "a label has 2 numbers"),
        (TWO, {"weight": 1}, "must be a number"), (HOURS, [1, 2, 3], "a label has 2 numbers"),
        (RANKING, -1, "from 0 to 1000"), (RANKING, 1e9, "from 0 to 1000"), (TENSOR, "a", "number"),
    ],
)  # fmt: skip
def test_refused(spec: TaskSpec, given_: Any, said: str) -> None:
    with pytest.raises(BadLabel) as raised:
        make_task(spec).label(given_)
    assert said in raised.value.message


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@given(st.sampled_from(ALL), ANYTHING)
def test_anything_is_a_label_of_finite_numbers_or_refused(spec: TaskSpec, value: Any) -> None:
    try:
        found = make_task(spec).label(value)
    except BadLabel as error:
        assert error.message  # noqa: PT017
        return
    assert np.isfinite(np.array(found, float)).all()


@pytest.mark.parametrize(
    ("spec", "labels", "said"),
    [
        (BINARY, [1, 1], "all the same"), (BINARY, [0, 0.5], "0 or 1, got 0.5"),
        (BINARY, [0, float("nan")], "0 or 1, got nan"), (BINARY, [0, 1], ""),
        (BINARY, [], "no row has a label"), (NUMBER, [1, float("inf")], "finite"),
        (NUMBER, [2, 2], "all the same"), (TWO, [[1, 2], [1, 2]], "all the same"),
        (TWO, [[1, 2], [1, 3]], ""), (TAGS, [[0, 0, 0]], ""), (TENSOR, [], ""),
    ],
)  # fmt: skip
def test_what_keeps_a_model_from_being_learnt(spec: TaskSpec, labels: Any, said: str) -> None:
    found = make_task(spec).label_spread(np.array(labels, float))
    assert (said in found) if said else not found


@pytest.mark.parametrize(
    ("spec", "given_", "row"),
    [
        (BINARY, 0.25, (0.25,)), (CLASSES, "b", ([0.0, 1.0, 0.0],)),
        (CLASSES, {"a": 0.5, "1": 0.5}, ([0.5, 0.0, 0.5],)), (TAGS, ["c"], ([0.0, 0.0, 1.0],)),
        (TAGS, {"a": 0.3}, ([0.3, 0.0, 0.0],)), (NUMBER, 7, (7.0,)), (TWO, 7, (7.0, 7.0)),
        (TWO, {"height": 1, "weight": 2}, (1.0, 2.0)), (HOURS, 3, ([[3.0] * 3] * 2,)),
        (RANKING, -4, (-4.0,)),
        (TENSOR, {"embedding": [1, 2], "score": 3}, ([1.0, 2.0], 3.0)),
    ],
)  # fmt: skip
def test_a_constant_is_an_answer_that_the_task_lets_through(
    spec: TaskSpec, given_: Any, row: Any
) -> None:
    task = make_task(spec)
    found = task.constant(given_)
    assert found == row
    assert task.rows([np.array([one], float) for one in found]) == [row]
    assert task.named(found).keys() == {out.name for out in task.outputs}


@pytest.mark.parametrize(
    ("spec", "given_"),
    [
        (BINARY, 1.5), (BINARY, True), (BINARY, "a"), (BINARY, float("nan")), (CLASSES, "z"),
        (CLASSES, {"a": 0.5}), (CLASSES, {"a": "x"}), (CLASSES, {"a": float("nan")}),
        (TAGS, {"a": None}), (TAGS, {"a": float("nan")}), (TAGS, {"a": "x"}),
        (CLASSES, {"a": 1.5, "b": -0.5}), (TAGS, "z"), (TAGS, {"a": 2}),
        (SHARE, 2), (NUMBER, "a"), (TWO, {"height": 1}), (RANKING, float("inf")), (TENSOR, 1),
        (TENSOR, {"score": 1}), (TENSOR, {"embedding": [1], "score": 1}),
        (TENSOR, {"embedding": ["a", "b"], "score": 1}),
    ],
)  # fmt: skip
def test_a_constant_that_is_no_answer_is_refused(spec: TaskSpec, given_: Any) -> None:
    with pytest.raises(BadTask):
        make_task(spec).constant(given_)


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec("binry"), TaskSpec("multiclass", classes=("a",)), TaskSpec("multilabel"),
        TaskSpec("multiclass", classes=("a", "a")), TaskSpec("tensor"),
        TaskSpec("regression", quantiles=(0.9, 0.1)), TaskSpec("regression", quantiles=(0.0,)),
        TaskSpec("regression", horizons=("1h", "1h")), TaskSpec("regression", low=2.0, high=1.0),
        TaskSpec("tensor", outputs={"a": (2,)}, score="a"),
        TaskSpec("tensor", outputs={"a": ()}, score="b"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be(spec: TaskSpec) -> None:
    with pytest.raises(BadTask):
        make_task(spec)


class CountedWord(str):
    """Counts how often words are compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedWord.compared += 1
        return str.__eq__(self, str(other))

    __hash__ = str.__hash__


def test_labels_of_many_classes_cost_no_look_at_each_class() -> None:
    classes = tuple(CountedWord(f"class-{i}") for i in range(2_000))
    task = make_task(TaskSpec("multilabel", classes=classes))
    CountedWord.compared = 0
    label = task.label([f"class-{i}" for i in range(1_000, 2_000)])
    assert label == [0.0] * 1_000 + [1.0] * 1_000
    assert CountedWord.compared < 20_000


@pytest.mark.parametrize("given_", [1e101, -1e308, 10**200, 10**400])
@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec("regression"),
        TaskSpec("regression", low=-1e308, high=1e308),
        TaskSpec("tensor", outputs={"score": ()}, score="score"),
        TaskSpec("ranking"),
    ],
)
def test_an_outcome_is_no_number_that_overflows_when_it_is_squared(
    spec: TaskSpec, given_: float
) -> None:
    task = make_task(spec)
    with pytest.raises(BadLabel):
        task.label(given_)
    with pytest.raises(BadTask):
        task.constant({"score": given_} if spec.kind == "tensor" else given_)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (TaskSpec("regression"), (2,)),
        (TaskSpec("regression", quantiles=(0.1, 0.9), horizons=("1h", "2h")), (2, 2, 2)),
        (TaskSpec("tensor", outputs={"score": ()}, score="score"), (2,)),
        (TaskSpec("tensor", outputs={"map": (1_000,)}), (2, 1_000)),
        (TaskSpec("ranking"), (2,)),
    ],
)
def test_what_may_be_is_counted_and_judged_in_finite_numbers(
    spec: TaskSpec, shape: tuple[int, ...]
) -> None:
    """Warnings are errors: none overflows."""
    task = make_task(spec)
    outputs = [np.full(shape, 1e100)]
    assert all(row is not None for row in task.rows(outputs))
    for axis, column in task.streams(outputs).items():
        assert np.isfinite(np.asarray(column)).all(), axis
    labels = np.full((2, 2) if spec.horizons else (2,), 0.0 if spec.kind == "ranking" else -1e100)
    if spec.kind != "tensor" or spec.score:
        losses = task.losses(outputs, labels)
        assert np.isfinite(losses).all()
        assert np.isfinite((losses**2).sum())
        quality = task.quality(outputs, labels, 0.05)
        assert np.isfinite([quality.value, quality.lower, quality.upper]).all()


def test_a_range_that_no_number_can_be_in_is_refused() -> None:
    for low, high in ((1e200, 1e300), (-1e300, -1e200)):
        with pytest.raises(BadTask, match="beyond"):
            make_task(TaskSpec("regression", low=low, high=high))


@pytest.mark.parametrize(
    ("spec", "given_", "label"),
    [
        (YES, "yes", 1.0), (YES, "no", 0.0), (YES, "False", 0.0), (YES, 0, 0.0), (YES, True, 1.0),
        (NAMED, "late", 1.0), (NAMED, "on time", 0.0), (BINARY, 1, 1.0), (CLASSES, "b", 1.0),
        (TaskSpec(positive="0"), 1, 0.0), (TaskSpec(positive="no"), "no", 1.0),
    ],
)  # fmt: skip
def test_an_outcome_is_a_label(spec: TaskSpec, given_: Any, label: Any) -> None:
    assert make_task(spec).outcome(given_) == label


@pytest.mark.parametrize(
    ("spec", "given_"),
    [
        (YES, "YES, it was late"), (YES, "Yes"), (YES, "yes "), (YES, "blah"), (NAMED, "Late"),
        (TaskSpec(positive="no"), "false"),
    ],
)  # fmt: skip
def test_a_text_that_nobody_named_is_no_no(spec: TaskSpec, given_: Any) -> None:
    """Any text was stored as a no once."""
    with pytest.raises(BadLabel, match=r"is not|is none of"):
        make_task(spec).outcome(given_)


@pytest.mark.parametrize("spec", ALL)
def test_a_label_as_it_is_kept_is_one_that_the_task_can_have(spec: TaskSpec) -> None:
    task = make_task(spec)
    given_: Any = {"multiclass": "b", "multilabel": ["a", "c"]}.get(spec.kind, 1)
    if spec.kind == "regression":
        given_ = [1.0] * (len(task.outputs) * max(1, len(spec.horizons)))
        given_ = given_ if len(given_) > 1 else given_[0]
    assert task.could_be_label(task.label(given_))


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        (BINARY, 2.0), (BINARY, [1.0, 0.0]), (YES, 0.5), (CLASSES, 3.0), (CLASSES, 0.5),
        (CLASSES, [0.0, 1.0]), (TAGS, [1.0, 0.0]), (TAGS, [2.0, 0.0, 0.0]), (SHARE, 1.5),
        (TWO, 1.0), (TWO, [1.0, 2.0, 3.0]), (RANKING, -1.0), (TENSOR, [1.0, 2.0]),
    ],
)  # fmt: skip
def test_a_label_that_the_task_cannot_have_any_more(spec: TaskSpec, kept: Any) -> None:
    """A model's file may have changed since it was recorded."""
    assert not make_task(spec).could_be_label(kept)


@pytest.mark.parametrize(
    ("spec", "kept", "told"),
    [(CLASSES, 1.0, CLASSES.classes[1]), (CLASSES, 3.0, 3.0), (BINARY, 1.0, 1.0),
     (TAGS, [1.0, 0.0, 1.0], [TAGS.classes[0], TAGS.classes[2]]), (TAGS, [0.0, 0.0, 0.0], []),
     (TAGS, [1.0, 0.0], [1.0, 0.0]), (SHARE, 0.25, 0.25)],
)  # fmt: skip
def test_a_label_is_told_as_people_write_it(spec: TaskSpec, kept: Any, told: Any) -> None:
    assert make_task(spec).told_label(kept) == told


def test_a_binary_label_is_kept_as_whether_it_is_the_positive_one() -> None:
    assert make_task(TaskSpec(positive="0")).could_be_label(1.0)
    assert make_task(TaskSpec(positive="2", classes=("1", "2"))).could_be_label(0.0)
