"""Every way a row breaks the promise, as a table."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.conformance import check_row
from windvane.core.signature import FeatureSpec, FeatureType, Violation
from windvane.core.task import Contract
from windvane.inference.model_cache import plain_row

NUMBER = FeatureSpec("x", "v", FeatureType.NUMBER, low=-1.5, high=10.0)
LOW_ONLY = FeatureSpec("x", "v", FeatureType.NUMBER, low=0.0)
HIGH_ONLY = FeatureSpec("x", "v", FeatureType.NUMBER, high=0.0)
FREE = FeatureSpec("x", "v", FeatureType.NUMBER)
WHOLE = FeatureSpec("x", "v", FeatureType.INTEGER)
WIDE = FeatureSpec("x", "v", FeatureType.INTEGER, low=-1.0, high=2.0**60)
NULLABLE = FeatureSpec("x", "v", FeatureType.NUMBER, nullable=True, low=0.0)
FINE = FeatureSpec("x", "v", FeatureType.NUMBER, low=0.0, high=1_234_567.5)
EXACT = "-9007199254740992 to 9007199254740992"
OPEN = FeatureSpec("x", "v", FeatureType.CATEGORY)
CLOSED = FeatureSpec("x", "v", FeatureType.CATEGORY, known=("JFK", "LGA", "EWR"))


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (NUMBER, -1.5), (NUMBER, 10.0), (NUMBER, 10), (NUMBER, 0), (NUMBER, -0.0),
        (LOW_ONLY, 1e308), (HIGH_ONLY, -1e308), (FREE, 1e308), (FREE, 5e-324), (FREE, 2**1000),
        (WHOLE, 3), (WHOLE, 3.0), (WHOLE, 2**53), (WHOLE, -(2**53)), (WHOLE, 2.0**53),
        (WIDE, 2**60), (WIDE, -1),
        (NULLABLE, None), (NULLABLE, 0),
        (OPEN, ""), (OPEN, "anything é"), (CLOSED, "JFK"),
    ],
)  # fmt: skip
def test_kept(spec: FeatureSpec, value: Any) -> None:
    assert check_row([spec], {"x": value}) == []


@pytest.mark.parametrize(
    ("spec", "value", "code", "said"),
    [
        (NUMBER, None, "CON-101", "x is null, but may not be null"),
        (OPEN, None, "CON-101", "x is null, but may not be null"),
        (NUMBER, "1", "CON-102", "x must be a number, got '1'"),
        (NUMBER, True, "CON-102", "x must be a number, got True"),
        (WHOLE, False, "CON-102", "x must be a number, got False"),
        (NUMBER, [1.0], "CON-102", "x must be a number, got [1.0]"),
        (NUMBER, {}, "CON-102", "x must be a number, got {}"),
        (NULLABLE, "", "CON-102", "x must be a number, got ''"),
        (FREE, float("nan"), "CON-102", "x must be finite, got nan"),
        (FREE, float("inf"), "CON-102", "x must be finite, got inf"),
        (FREE, float("-inf"), "CON-102", "x must be finite, got -inf"),
        (WHOLE, 3.5, "CON-102", "x must be whole, got 3.5"),
        (WHOLE, 5e-324, "CON-102", "x must be whole, got 5e-324"),
        (NUMBER, 10.000001, "CON-103", "x 10.000001 is outside -1.5 to 10"),
        (NUMBER, -2, "CON-103", "x -2 is outside -1.5 to 10"),
        # Beyond 2**53 a float no longer tells whole numbers apart, so they are not taken.
        (WHOLE, 2**53 + 1, "CON-103", f"x 9007199254740993 is outside {EXACT}"),
        (WHOLE, -(2**53) - 1, "CON-103", f"x -9007199254740993 is outside {EXACT}"),
        (WHOLE, -(2**70), "CON-103", f"x -1180591620717411303424 is outside {EXACT}"),
        (WHOLE, 1e300, "CON-103", f"x 1e+300 is outside {EXACT}"),
        (WIDE, -2, "CON-103", f"x -2 is outside -1 to {2.0**60!r}"),
        (FINE, 1_234_568, "CON-103", "x 1234568 is outside 0 to 1234567.5"),
        (LOW_ONLY, -1, "CON-103", "x -1 is outside 0 to inf"),
        (HIGH_ONLY, 1, "CON-103", "x 1 is outside -inf to 0"),
        (NULLABLE, -1, "CON-103", "x -1 is outside 0 to inf"),
        (OPEN, 1, "CON-102", "x must be a string, got 1"),
        (OPEN, True, "CON-102", "x must be a string, got True"),
        (CLOSED, ["JFK"], "CON-102", "x must be a string, got ['JFK']"),
        (CLOSED, "JFX", "CON-104", "x 'JFX' is not known; did you mean 'JFK'?"),
        (CLOSED, "zzz", "CON-104", "x 'zzz' is not known; known: EWR, JFK, LGA"),
        (CLOSED, "", "CON-104", "x '' is not known; known: EWR, JFK, LGA"),
        (NUMBER, "y" * 99, "CON-102", "x must be a number, got '" + "y" * 36 + "..."),
    ],
)  # fmt: skip
def test_broken(spec: FeatureSpec, value: Any, code: str, said: str) -> None:
    assert check_row([spec], {"x": value}) == [Violation(code, "x", said)]


def test_missing_is_not_null() -> None:
    assert check_row([NUMBER], {}) == [
        Violation("CON-101", "x", "x is missing, but may not be null")
    ]
    assert check_row([NULLABLE], {}) == []


def test_unknown_names_come_last_with_the_closest_known() -> None:
    schema = [FeatureSpec("distance", "v", FeatureType.NUMBER), CLOSED]
    violations = check_row(schema, {"distnce": 1, "zzz": 2, "x": "ORD"})
    assert [(p.code, p.field) for p in violations] == [
        ("CON-101", "distance"), ("CON-104", "x"), ("CON-105", "distnce"), ("CON-105", "zzz"),
    ]  # fmt: skip
    assert violations[2].message == "unknown feature 'distnce'; did you mean 'distance'?"
    assert violations[3].message == "unknown feature 'zzz'; known: distance, x"


JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), st.text(),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip


@given(JSON, st.sampled_from([NUMBER, LOW_ONLY, FREE, WHOLE, WIDE, NULLABLE, OPEN, CLOSED]))
def test_any_value_has_an_answer_of_at_most_one_violation(value: Any, spec: FeatureSpec) -> None:
    violations = check_row([spec], {"x": value})
    assert len(violations) <= 1
    assert all(len(p.message) < 160 for p in violations)


@pytest.mark.parametrize("digits", [310, 5_000])
def test_a_number_beyond_floats_is_refused(digits: int) -> None:
    (violation,) = check_row([FREE], {"x": 10**digits})
    assert violation.code in ("CON-102", "CON-103")


@given(st.integers(-(2**60), 2**60) | st.integers(2**53 - 3, 2**53 + 3))
def test_a_whole_number_is_taken_as_long_as_a_float_holds_all_its_neighbours(value: int) -> None:
    taken = check_row([WHOLE], {"x": value}) == []
    assert taken == (abs(value) <= 2**53)
    if taken:
        assert int(float(value)) == value


BOUND = st.none() | st.floats(-1e6, 1e6).map(lambda x: round(x, 1))
SIZE = st.none() | st.integers(0, 9).map(float)
NUMERIC = (FeatureType.NUMBER, FeatureType.INTEGER)
SIZED = (FeatureType.TEXT, FeatureType.IMAGE)
REST = [kind for kind in FeatureType if kind not in (*NUMERIC, *SIZED)]
NAME, VIEW = st.sampled_from(["a", "b", "c"]), st.just("v")
SPECS = st.one_of(
    st.builds(FeatureSpec, NAME, VIEW, st.sampled_from(NUMERIC), st.booleans(), BOUND, BOUND),
    st.builds(FeatureSpec, NAME, VIEW, st.sampled_from(SIZED), st.booleans(), high=SIZE),
    st.builds(
        FeatureSpec, NAME, VIEW, st.sampled_from(REST), st.booleans(),
        known=st.lists(st.text(max_size=3), max_size=2).map(tuple), length=st.integers(1, 4),
    ),
)  # fmt: skip


def possible(spec: FeatureSpec) -> bool:
    return spec.low is None or spec.high is None or math.ceil(spec.low) <= math.floor(spec.high)


@given(st.lists(SPECS.filter(possible), max_size=3, unique_by=lambda spec: spec.name))
def test_a_plain_row_keeps_every_promise_with_nothing_missing(schema: list[FeatureSpec]) -> None:
    row = plain_row(Contract(tuple(schema)))
    assert None not in row
    assert check_row(schema, dict(zip([s.name for s in schema], row, strict=True)), held=True) == []
