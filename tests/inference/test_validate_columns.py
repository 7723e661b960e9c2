"""Columns and matrices are checked as rows are: the same rows, or the same violations."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.signature import FeatureSpec
from windvane.core.signature import FeatureType as T
from windvane.core.task import Contract
from windvane.inference.errors import BadBody, Rejection, SchemaViolation
from windvane.inference.validation import (
    MAX_VIOLATIONS,
    MatrixValidator,
    validate_columns,
    validate_rows,
)

CONTRACT = Contract(
    (
        FeatureSpec("number", "s", T.NUMBER, low=-1.0, high=1e300),
        FeatureSpec("null", "s", T.NUMBER, nullable=True),
        FeatureSpec("whole", "s", T.INTEGER, low=-2.5, nullable=True),
        FeatureSpec("yes", "s", T.BOOLEAN),
        FeatureSpec("word", "s", T.CATEGORY, known=("a", "b"), nullable=True),
        FeatureSpec("open", "s", T.CATEGORY),
        FeatureSpec("when", "s", T.DATETIME),
        FeatureSpec("text", "s", T.TEXT, high=3),
        FeatureSpec("list", "s", T.VECTOR, length=2, nullable=True),
        FeatureSpec("added", "s", T.NUMBER, optional=True),
    )
)
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.just(2**60), st.just(10**400),
    st.floats(), st.sampled_from(["a", "c", "long words", "2026-11-28T12:00:00Z", "NaN"]),
    st.lists(st.floats() | st.text(max_size=2), max_size=3),
)  # fmt: skip
FITTING: dict[str, st.SearchStrategy[Any]] = {
    "number": st.floats(-1, 1e300) | st.integers(0, 9),
    "null": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "whole": st.none() | st.integers(-2, 2**53) | st.sampled_from([1.0, -2.0]),
    "yes": st.booleans(),
    "word": st.sampled_from(["a", "b", None]),
    "open": st.text(max_size=3),
    "when": st.sampled_from(["2026-11-28T12:00:00.5+01:00", 5.5]),
    "text": st.text(max_size=3),
    "list": st.none() | st.lists(st.floats(-1, 1), min_size=2, max_size=2),
    "added": st.none() | st.floats(-1, 1),
}


def result(work: Any) -> Any:
    try:
        return repr(work())
    except Rejection as error:
        found = getattr(error, "violations", None)
        return type(error).__name__, error.message, found


@given(st.data())
def test_columns_of_values_are_checked_as_rows_are(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    wild = data.draw(st.sets(st.sampled_from(list(FITTING)), max_size=2))
    left_out = data.draw(st.sets(st.sampled_from(["added", "null", "yes"]), max_size=1))
    columns = {
        name: [data.draw(ANYTHING if name in wild else fits) for _ in range(count)]
        for name, fits in FITTING.items()
        if name not in left_out
    }
    if data.draw(st.integers(0, 9)) == 0:
        columns["unknown"] = [1] * count
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    by_rows = result(lambda: validate_rows(CONTRACT, rows, held=True))
    assert result(lambda: validate_columns(CONTRACT, columns, count)) == by_rows


NUMBERS = Contract(
    (
        FeatureSpec("a", "s", T.NUMBER, low=-1.0, high=1.0),
        FeatureSpec("b", "s", T.NUMBER, nullable=True),
        FeatureSpec("c", "s", T.INTEGER, nullable=True),
        FeatureSpec("d", "s", T.INTEGER, low=0.5),
        FeatureSpec("e", "s", T.NUMBER, optional=True),
    )
)
CELLS = st.floats(-1, 1) | st.integers(-2, 3).map(float) | st.sampled_from(
    [math.nan, math.inf, -math.inf, 1e300, 2.0**53, 2.0**60]
)  # fmt: skip


@given(st.lists(st.tuples(*[CELLS] * 5), min_size=1, max_size=5), st.sampled_from([4, 5]))
def test_a_matrix_is_checked_as_rows_are_with_nan_for_null(
    cells: list[tuple[float, ...]], width: int
) -> None:
    matrix = np.array(cells)[:, :width]
    names = NUMBERS.names[:width]
    rows = [
        {n: None if math.isnan(v) else v for n, v in zip(names, row, strict=True)}
        for row in matrix.tolist()
    ]
    by_rows = result(lambda: validate_rows(NUMBERS, rows))
    assert result(lambda: MatrixValidator(NUMBERS)(matrix)) == by_rows
    columns = {name: matrix[:, i] for i, name in enumerate(names)}
    assert result(lambda: validate_columns(NUMBERS, columns, len(rows))) == by_rows


def test_a_matrix_of_another_width_says_both_sides() -> None:
    with pytest.raises(BadBody, match="3 columns for 5 features"):
        MatrixValidator(NUMBERS)(np.ones((1, 3)))
    assert MatrixValidator.takes(NUMBERS)
    assert not MatrixValidator.takes(CONTRACT)


def test_a_matrix_goes_on_fitting_a_contract_that_grows() -> None:
    grown = replace(
        NUMBERS,
        features=(
            *NUMBERS.features,
            FeatureSpec("word", "v", T.CATEGORY, optional=True),
        ),
    )
    assert MatrixValidator.takes(grown)
    required = [spec for spec in NUMBERS.features if not spec.optional]
    matrix = np.ones((2, len(required)))
    (first, second) = MatrixValidator(grown)(matrix)
    assert first == second
    assert first[-1] is None
    with pytest.raises(
        BadBody, match=f"{len(grown.features)} columns for {len(required)} features"
    ):
        MatrixValidator(grown)(np.ones((1, len(grown.features))))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(BadBody, match="'b' has 2 values for 1 rows"):
        validate_columns(NUMBERS, {"a": [1.0], "b": [1.0, 2.0]}, 1)


def test_a_bad_column_tells_no_more_than_a_bad_row_would() -> None:
    """Of a thousand near misses, twenty are looked at."""
    known = tuple(f"category-{i}" for i in range(1_000))
    contract = Contract((FeatureSpec("k", "s", T.CATEGORY, known=known),))
    column = [f"categori-{i}" for i in range(1_000)]
    took: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(SchemaViolation) as caught:
            validate_columns(contract, {"k": column}, len(column))
        took.append(time.perf_counter() - began)
        assert len(caught.value.violations) == MAX_VIOLATIONS
    assert min(took) < 0.25  # near misses of each value would take seconds


@given(
    st.lists(
        st.lists(
            st.sampled_from([0.0, 1e100, -1e100, 1e101, -1e308, math.nan, math.inf]),
            min_size=2, max_size=2,
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_an_array_of_vectors_is_checked_as_rows_are(vectors: list[list[float]]) -> None:
    contract = Contract((FeatureSpec("v", "s", T.VECTOR, length=2),))
    by_rows = result(lambda: validate_rows(contract, [{"v": vector} for vector in vectors]))
    found = result(lambda: validate_columns(contract, {"v": np.array(vectors)}, len(vectors)))
    assert found == by_rows
    fine = all(abs(item) <= 1e100 for vector in vectors for item in vector)
    assert ("SchemaViolation" in found) != fine
