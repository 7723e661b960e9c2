"""Segments: the rows that have one value of a feature."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch.layout import Axis, CategoryAxis

MOST_SEGMENTS = 64
"""Values of one feature that are watched each by itself; of a feature with more, none is."""
OTHER = "other"
_NULL = "null"


def segment_name(feature: str, value: str) -> str:
    """What the rows with a value of a feature are called."""
    return f"{feature}={value}"


def name_of_value(value: str | float | None) -> str:
    """What a value of a feature is called in the name of its segment."""
    if value is None:
        return _NULL
    return value if isinstance(value, str) else f"{float(value):.15g}"


def segmented_by(segment: str, features: Iterable[str]) -> str:
    """Which of the ``features`` a segment is a value of; "" for none."""
    fitting = [name for name in features if segment.startswith(segment_name(name, ""))]
    return max(fitting, key=len, default="")


def value_of(segment: str, feature: str) -> str:
    """The value of its feature that a segment is of."""
    return segment.removeprefix(segment_name(feature, ""))


def segment_values(axis: Axis) -> tuple[str, ...]:
    """The name of the segment that each bin of an axis belongs to, (bins,): of a category each
    known name, of a number each value that has a bin of its own; all others are together.
    Nothing where there are more than `MOST_SEGMENTS`."""
    if isinstance(axis, CategoryAxis):
        own = list(axis.categories)
        names = [_NULL, *own, *[OTHER] * axis.rest]
    else:
        values = axis.edges[1:] if axis.minimum_apart else axis.edges
        own = [name_of_value(value) for value in values]
        before = [OTHER] if axis.minimum_apart else []
        names = [_NULL, *before, *own, OTHER]
    return tuple(names) if len(own) <= MOST_SEGMENTS else ()


def segment_groups(
    axis: Axis, bins: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Each row's place among the segments that it may be in (rows,), by its bin of the axis; and
    their names. Nothing where `segment_values` says nothing."""
    of_bin = segment_values(axis)
    names = tuple(dict.fromkeys(of_bin))
    if not names:
        return np.zeros(len(bins), np.int64), ()
    places = np.array([names.index(name) for name in of_bin], np.int64)
    return places[bins], names
