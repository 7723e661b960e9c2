"""Which declared segments the rows of the log are in, by the bins that windows are counted by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import (
    MOST_SEGMENTS,
    OTHER,
    Layout,
    name_of_value,
    segment_groups,
    segment_name,
)
from windvane.ports.event_log import ScoredRows


@dataclass(frozen=True, slots=True, eq=False)
class RowSegments:
    """The ``names`` of one feature's segments, as `segment_name` has them, and the place of each
    row (rows,) among them."""

    names: tuple[str, ...]
    places: NDArray[np.int64]

    def taken(self, rows: NDArray[np.bool_]) -> RowSegments:
        """Those of the rows."""
        return RowSegments(self.names, self.places[rows])


def values_of_rows(feature: str, found: Sequence[ScoredRows]) -> RowSegments:
    """Of the rows of ``found`` one after the other, each value by itself, known or not: the
    `MOST_SEGMENTS` with most rows, and all others together."""
    held = [name_of_value(v) for one in found for v in one.features[feature].tolist()]
    own = [name for name, _ in Counter(held).most_common(MOST_SEGMENTS)]
    places = {name: i for i, name in enumerate(own)}
    names = [*own, OTHER] if len(places) < len(set(held)) and OTHER not in places else own
    rest = names.index(OTHER) if OTHER in names else 0
    return RowSegments(
        tuple(segment_name(feature, name) for name in names),
        np.array([places.get(name, rest) for name in held], np.int64),
    )


def row_segments(
    layout: Layout, features: Sequence[str], found: Sequence[ScoredRows]
) -> Mapping[str, RowSegments]:
    """By feature, of the rows of ``found`` one after the other, which were read with these
    ``features``. One that the layout lacks, or has too many values of, is left out."""
    axes = {axis.name: axis for axis in reversed(layout.axes)}  # of former bins, too, the first
    out: dict[str, RowSegments] = {}
    for feature in features:
        axis = axes.get(feature)
        if axis is None or not found:
            continue
        values: Any = np.concatenate([one.features[feature] for one in found])
        places, names = segment_groups(axis, axis.codes(values))
        if names:
            out[feature] = RowSegments(tuple(segment_name(feature, n) for n in names), places)
    return out
