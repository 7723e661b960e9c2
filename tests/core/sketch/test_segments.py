"""Which rows are a segment, by the bin that their value lies in."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.sketch import (
    MOST_SEGMENTS,
    OTHER,
    Axis,
    CategoryAxis,
    NumericAxis,
    segment_groups,
    segment_name,
    segment_values,
    segmented_by,
    value_of,
)

REGION = CategoryAxis("region", ("east", "west"))


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        (REGION, ["west", None, "moon", "east"], ["west", "null", OTHER, "east"]),
        (CategoryAxis("r", ("a",), 16), ["a", "b", "c"], ["a", OTHER, OTHER]),
        (NumericAxis("flag", (0.0, 1.0)), [0.0, 1.0, np.nan, 2.0], ["0", "1", "null", OTHER]),
        (
            NumericAxis.fit("floor", np.array([1.0, 2.0, 5.0] * 9)),
            [2.0, 1.0, 5.0, 0.0, 7.0],
            ["2", "1", "5", OTHER, OTHER],
        ),
    ],
    ids=["names", "hashed rest", "boolean", "integers"],
)
def test_each_value_with_a_bin_of_its_own_is_a_segment(
    axis: Axis, values: list[object], expected: list[str]
) -> None:
    places, names = segment_groups(axis, axis.codes(values))  # pyright: ignore[reportArgumentType]
    assert [names[i] for i in places.tolist()] == expected
    assert len(segment_values(axis)) == axis.bins


def test_a_feature_of_too_many_values_has_no_segments() -> None:
    many = CategoryAxis("city", tuple(f"c{i}" for i in range(MOST_SEGMENTS + 1)))
    assert segment_values(many) == ()
    places, names = segment_groups(many, many.codes(["c1", "c2"]))
    assert (places.tolist(), names) == ([0, 0], ())


def test_a_segment_is_of_the_feature_that_it_names_whatever_its_value() -> None:
    name = segment_name("a", "x=y")
    assert segmented_by(name, ["a", "b"]) == "a"
    assert value_of(name, "a") == "x=y"
    assert segmented_by(segment_name("a=b", "c"), ["a", "a=b"]) == "a=b"
    assert segmented_by(name, ["other"]) == ""
