"""Rows of a request as inputs of a version, and as one matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.execution import ServedBy, positive_output
from windvane.core.signature import InputSpec, RowEncoder, RowPacker

SCHEMA = ("a", "b", "c")
numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=False, width=64))


class Refused(Exception):
    pass


def refuse(feature: str, value: Any, known: int) -> Refused:
    return Refused(f"{feature} {value!r} {known}")


def test_inputs_are_picked_by_name() -> None:
    encode = RowEncoder([InputSpec("c"), InputSpec("a")], SCHEMA, refuse)
    assert not encode.plain
    assert list(encode([1.0, 2.0, None])) == [None, 1.0]


def test_a_row_in_order_passes_as_it_is() -> None:
    encode = RowEncoder([InputSpec(name) for name in SCHEMA], SCHEMA, refuse)
    row = [1.0, None, 3.0]
    assert encode.plain
    assert encode(row) is row


@pytest.mark.parametrize(
    ("value", "code"), [("x", 0.0), ("z", 2.0), (None, np.nan), ("never", np.nan), ("", np.nan)]
)
def test_a_category_is_its_place(value: str | None, code: float) -> None:
    encode = RowEncoder([InputSpec("b", ("x", "y", "z"))], SCHEMA, refuse)
    assert np.array_equal(np.array(encode([1, value, 3]), float), [code], equal_nan=True)


def test_an_unknown_category_may_refuse_the_row_but_a_missing_one_never_does() -> None:
    encode = RowEncoder([InputSpec("b", ("x",), "error")], SCHEMA, refuse)
    with pytest.raises(Refused, match="b 'q' 1"):
        encode([1, "q", 3])
    assert np.isnan(encode([1, None, 3])[0])


def test_a_row_is_never_changed() -> None:
    row = [1.0, "x", 2.0]
    RowEncoder([InputSpec("b", ("x",)), InputSpec("a")], SCHEMA, refuse)(row)
    assert row == [1.0, "x", 2.0]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_packing_is_what_numpy_makes_of_it(rows: list[tuple[float | None, float | None]]) -> None:
    found = RowPacker(2)(rows)
    assert np.array_equal(found, np.array(rows, np.float64).reshape(-1, 2), equal_nan=True)
    assert found.flags.c_contiguous
    single = RowPacker(2, single=True)(rows)
    with np.errstate(over="ignore"):
        wanted = np.array(rows, np.float64).astype(np.float32)
    assert single.dtype == np.float32
    assert np.array_equal(single, wanted, equal_nan=True)


def test_a_row_of_another_width_is_no_matrix() -> None:
    with pytest.raises(ValueError):
        RowPacker(2)([[1.0, 2.0, 3.0]])


def test_the_positive_class_is_the_last_column_or_the_one_named() -> None:
    found = np.array([[0.1, 0.2, 0.7]], np.float32)
    assert positive_output(found, ServedBy())[0] == pytest.approx(0.7)
    assert positive_output(found, ServedBy(column=1))[0] == pytest.approx(0.2)
    assert positive_output(found[:, 2], ServedBy())[0] == pytest.approx(0.7)
    assert positive_output(found, ServedBy()).dtype == np.float64
    with pytest.raises(ValueError, match="one number a row"):
        positive_output(found[None], ServedBy())


@given(st.floats(-800, 800))
def test_log_odds_become_probabilities_however_they_come(raw: float) -> None:
    one = positive_output(np.array([raw]), ServedBy(logits=True))[0]
    two = positive_output(np.array([[0.0, raw]]), ServedBy(logits=True))[0]
    assert 0.0 <= one <= 1.0
    assert one == pytest.approx(two, abs=1e-12)
