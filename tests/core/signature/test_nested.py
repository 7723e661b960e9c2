"""Nested numbers are read against a promise, and what breaks it is not looked through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from windvane.core.signature import OutputSpec, nested_numbers, show
from windvane.core.signature.nested import MAX_NUMBERS


class Counted(list[Any]):
    """A list that counts the items that are taken out of it."""

    taken = 0

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            Counted.taken += 1
            yield item


class Written:
    """Counts how often it is written out."""

    times = 0

    def __repr__(self) -> str:
        Written.times += 1
        return "x"


@pytest.mark.parametrize(
    ("shape", "held", "wanted"),
    [
        ((), 2, np.array(2.0)),
        ((3,), [1, 2.5, -3], np.array([1.0, 2.5, -3.0])),
        ((-1,), [], np.zeros(0)),
        ((-1, 2), [[1, 2], [3, 4], [5, 6]], np.arange(1.0, 7.0).reshape(3, 2)),
        ((2, -1), [[1, 2, 3], [4, 5, 6]], np.arange(1.0, 7.0).reshape(2, 3)),
        ((0, 4), [], np.zeros((0, 4))),
        ((1, 1, 1), [[[7]]], np.full((1, 1, 1), 7.0)),
    ],
)
def test_numbers_of_the_promised_shape_are_read(
    shape: tuple[int, ...], held: Any, wanted: Any
) -> None:
    found = nested_numbers(OutputSpec("y", shape), held)
    assert (found.dtype, found.shape) == (np.float64, wanted.shape)
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("shape", "held", "message"),
    [
        ((), [1.0], r"y must be one number, got \[1.0\] instead of a number"),
        ((), True, "got True instead of a number"),
        ((), "1", "got '1' instead of a number"),
        ((), 10**400, "a number is too large"),
        ((2,), 1.0, r"y must be numbers of shape \[2\], got 1.0 instead of a list"),
        ((2,), [1.0, 2.0, 3.0], "a list on axis 0 has 3 of 2"),
        ((2,), [1.0, [2.0]], r"got \[2.0\] instead of a number"),
        ((-1, 2), [[1, 2], [3]], r"shape \[any, 2\]: a list on axis 1 has 1 of 2"),
        ((2, -1), [[1, 2], [3]], "a list on axis 1 has 1 of 2"),
        ((-1, 2), [[1, 2], 3], "got 3 instead of a list"),
        ((-1, -1), [], None),
        ((-1,), [0.0] * (MAX_NUMBERS + 1), "more than 1,048,576 numbers"),
    ],
)
def test_what_breaks_the_promise_is_named(
    shape: tuple[int, ...], held: Any, message: str | None
) -> None:
    spec = OutputSpec("y", shape)
    if message is None:
        assert nested_numbers(spec, held).shape == (0, 0)
        return
    with pytest.raises(ValueError, match=message):
        nested_numbers(spec, held)


@pytest.mark.parametrize("shape", [(), (2,), (-1, 2), (2, -1), (-1, -1), (1, 1, 1)])
def test_lists_that_are_not_promised_are_not_looked_through(shape: tuple[int, ...]) -> None:
    many = Counted([0.0] * 10_000)
    deep: Any = Counted()
    for _ in range(600):
        deep = Counted([deep])
    for held in (Counted([*many, deep]), Counted([many, many, deep]), deep, [many, [0.0]]):
        Counted.taken = 0
        with pytest.raises(ValueError, match="y must be"):
            nested_numbers(OutputSpec("y", shape), held)
        assert Counted.taken <= 10_100  # one length of an axis that may have any, and the message


def test_a_message_looks_at_no_more_than_it_shows() -> None:
    for held in ([[Written() for _ in range(10_000)]], {"a": [Written() for _ in range(10_000)]}):
        Written.times = 0
        text = show(held)
        assert (len(text), text[-3:]) == (40, "...")
        assert Written.times <= 40
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert show(deep) == "[" * 37 + "..."


@pytest.mark.parametrize(
    "held",
    [[1, "a", None], (1,), (1, 2), {"a": [1.5], 2: {}}, [], "x" * 30, b"\x00", True, 1e300, {}],
)
def test_a_short_value_is_shown_as_python_writes_it(held: Any) -> None:
    assert show(held) == repr(held)
