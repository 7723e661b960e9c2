"""Which values a version is asked about, and what is read between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.conformance import check_value
from windvane.core.explanation import (
    MOST_POINTS,
    UNSEEN_NAME,
    Curve,
    PartialDependence,
    Point,
    Where,
    answer_at,
    choose_grid,
    has_range,
    mean_answer,
    quartiles_of,
)
from windvane.core.signature import FeatureSpec, FeatureType


def spec(kind: FeatureType = FeatureType.NUMBER, **given: Any) -> FeatureSpec:
    return FeatureSpec("x", "plan", kind, **given)


def values(points: tuple[Point, ...], where: Where) -> list[Any]:
    return [point.value for point in points if point.where is where]


def test_a_number_is_asked_beyond_both_ends_and_as_null() -> None:
    points = choose_grid(spec(nullable=True), [None, *map(float, range(101))])
    assert values(points, Where.TRAINING) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert values(points, Where.OUTSIDE) == [-100, -25, 125, 200]
    assert values(points, Where.NULL) == [None]
    assert len(points) == MOST_POINTS
    numbers = [value for point in points[:-1] if isinstance(value := point.value, float)]
    assert len(numbers) == MOST_POINTS - 1
    assert numbers == sorted(numbers)


def test_nothing_is_asked_that_a_request_may_not_have() -> None:
    points = choose_grid(spec(low=0.0, high=110.0), list(map(float, range(101))))
    assert values(points, Where.OUTSIDE) == [110.0]
    assert values(points, Where.NULL) == []
    closed = choose_grid(spec(FeatureType.CATEGORY, known=("A", "B", "C")), ["A", "B", "A"])
    assert values(closed, Where.TRAINING) == ["A", "B"]
    assert values(closed, Where.UNSEEN) == ["C"]


def test_whole_numbers_stay_whole() -> None:
    points = choose_grid(spec(FeatureType.INTEGER, low=0.5), [1, 2, 2, 4, 8])
    assert all(float(point.value).is_integer() for point in points)  # type: ignore[arg-type]
    assert values(points, Where.OUTSIDE) == [10.0, 15.0]


def test_names_come_by_how_frequent_they_are_and_new_ones_stand_for_all() -> None:
    column = ["AA"] * 3 + ["UA"] * 5 + ["DL"] + [None]
    points = choose_grid(spec(FeatureType.CATEGORY, nullable=True), column)
    assert [point.value for point in points] == ["UA", "AA", "DL", UNSEEN_NAME, None]
    assert values(points, Where.UNSEEN) == [UNSEEN_NAME]
    many = choose_grid(spec(FeatureType.CATEGORY, nullable=True), [f"n{i}" for i in range(99)])
    assert len(many) == MOST_POINTS
    long = choose_grid(spec(FeatureType.CATEGORY), ["a", "b" * 1_000])
    assert values(long, Where.TRAINING) == ["a"], "a record does not hold texts of any length"
    switch = choose_grid(spec(FeatureType.BOOLEAN), [True, True])
    assert [(p.value, p.where) for p in switch] == [(True, Where.TRAINING), (False, Where.UNSEEN)]


@pytest.mark.parametrize("kind", [FeatureType.TEXT, FeatureType.VECTOR, FeatureType.DATETIME])
def test_what_has_no_range_has_no_grid(kind: FeatureType) -> None:
    assert not has_range(spec(kind))
    assert choose_grid(spec(kind), ["a", "b"]) == ()
    assert choose_grid(spec(), [None, None]) == ()


numbers = st.floats(-1e99, 1e99)


@given(st.lists(numbers, min_size=1, max_size=50), st.booleans(), st.booleans(), st.booleans())
def test_every_value_fits_the_contract(
    column: list[float], nullable: bool, below: bool, above: bool
) -> None:
    one = spec(
        nullable=nullable, low=min(column) if below else None, high=max(column) if above else None
    )
    points = choose_grid(one, column)
    assert 1 <= len(points) <= MOST_POINTS
    assert all(check_value(one, point.value) is None for point in points)
    asked = [point.value for point in points if point.value is not None]
    assert asked == sorted(set(asked), key=float), "ascending, each once"
    assert {min(column), max(column)} <= set(asked)


def test_quartiles_are_values_of_training() -> None:
    assert quartiles_of(spec(), [4.0, None, 1.0, 2.0, 3.0]) == (1.0, 2.0, 3.0)
    assert quartiles_of(spec(FeatureType.CATEGORY), ["a"]) == ()
    assert quartiles_of(spec(), [None]) == ()


LINE = (
    Point(-1.0, Where.OUTSIDE, 0.0), Point(0.0, Where.TRAINING, 1.0),
    Point(10.0, Where.TRAINING, 3.0), Point(20.0, Where.OUTSIDE, None),
    Point(None, Where.NULL, 0.5),
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0.0, Point(0.0, Where.TRAINING, 1.0)),
        (5.0, Point(5.0, Where.TRAINING, 2.0)),
        (-0.5, Point(-0.5, Where.OUTSIDE, 0.5)),
        (-9.0, Point(-1.0, Where.OUTSIDE, 0.0)),
        (15.0, Point(15.0, Where.OUTSIDE, None)),
        (99.0, Point(20.0, Where.OUTSIDE, None)),
        (None, Point(None, Where.NULL, 0.5)),
        ("zebra", Point("zebra", Where.UNSEEN, None)),
    ],
)
def test_a_value_between_two_points_lies_on_the_line(value: Any, found: Point) -> None:
    assert answer_at(LINE, value) == found


def test_a_truth_value_is_no_number() -> None:
    assert answer_at(LINE, value=False) == Point(False, Where.UNSEEN)
    switch = (Point(False, Where.TRAINING, 0.2), Point(True, Where.TRAINING, 0.4))
    assert answer_at(switch, value=True).answer == 0.4
    assert answer_at((), 3.0) == Point(3.0, Where.OUTSIDE)


def test_a_mean_of_what_is_not_finite_is_not_known() -> None:
    assert mean_answer(np.array([1.0, 2.0])) == 1.5
    assert mean_answer(np.array([1.0, np.nan])) is None
    assert mean_answer(np.array([])) is None
    assert mean_answer(np.array([np.inf, -np.inf])) is None
    assert mean_answer(np.array([1e308, 1e308])) is None


def test_a_curve_has_a_rank() -> None:
    curves = tuple(Curve(name, (), (), 1.0) for name in ("a", "b"))
    found = PartialDependence("late", 9, 2, curves)
    assert found.curve("b") == (2, curves[1])
    assert found.curve("c") is None
