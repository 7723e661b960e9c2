"""Which of a model's outputs are those that its task promises; nothing is guessed."""

from __future__ import annotations

from typing import Any

import pytest

from windvane.core.signature import Transform
from windvane.core.task import BadOutputs, TaskSpec, make_task
from windvane.usecases.map_outputs import map_outputs
from windvane.usecases.registration_options import RegistrationOptions

MAP = TaskSpec("tensor", outputs={"map": (3, 4, 4)})
TWO = TaskSpec("tensor", outputs={"map": (3, 4, 4), "n": ()})
FORECAST = TaskSpec("regression", horizons=("1h", "2h", "3h"), quantiles=(0.1, 0.9))
CLASSES = TaskSpec("multiclass", classes=("b", "a", "c"))
CODES = ("0", "1", "2")


def mapped(
    spec: TaskSpec, shapes: dict[str, tuple[int, ...]], labels: Any = (), **options: Any
) -> Any:
    given = RegistrationOptions(**options)
    return map_outputs(make_task(spec), shapes, labels, Transform.NONE, given)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        (MAP, {"map": (4, 4, 3)}),
        (TWO, {"map": (4, 4, 3), "n": ()}),
        (FORECAST, {"": (2, 3)}),
        (MAP, {"": (6, 8)}),
    ],
)
def test_as_many_numbers_on_other_axes_are_refused(
    spec: TaskSpec, shapes: dict[str, tuple[int, ...]]
) -> None:
    with pytest.raises(BadOutputs, match=r"the model gives .*\[.*\] a row, the model's file says"):
        mapped(spec, shapes)


@pytest.mark.parametrize(
    ("spec", "shapes"),
    [
        (MAP, {"map": (3, 4, 4)}), (MAP, {"map": (1, 3, 4, 4)}), (MAP, {"": (48,)}),
        (FORECAST, {"": (3, 2)}), (FORECAST, {"": (6,)}),
    ],
)  # fmt: skip
def test_the_same_axes_and_plain_rows_are_taken(
    spec: TaskSpec, shapes: dict[str, tuple[int, ...]]
) -> None:
    assert len(mapped(spec, shapes)) == 1


def test_codes_are_named_by_a_person() -> None:
    with pytest.raises(BadOutputs, match="has codes for its labels") as refused:
        mapped(CLASSES, {"": (3,)}, CODES)
    assert "--classes a,b,c" in refused.value.advice, "as encoders sort them"
    (mapping,) = mapped(CLASSES, {"": (3,)}, CODES, classes=("a", "b", "c"))
    assert mapping.columns == (1, 0, 2)
    (plain,) = mapped(TaskSpec("multiclass", classes=CODES), {"": (3,)}, CODES)
    assert plain.columns == ()
