"""Tables: when a stretch of rows without a value is told."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from windvane.core.drift import NullStretch, find_null_stretch

HEALTHY = np.array([1, 9, 10])
EMPTY = np.zeros(3, np.int64)


def null(rows: int) -> NDArray[np.int64]:
    return np.array([rows, 0, 0])


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ([HEALTHY] * 4, None),
        ([HEALTHY, null(15), HEALTHY, null(15)], None),  # each for itself is too short
        ([HEALTHY, null(15), null(15)], NullStretch(30, 1.0, 2.0, None, 0.95)),
        ([null(15), EMPTY, null(15), HEALTHY], NullStretch(30, 0.0, 2.0, 3.0, 0.95)),
        ([null(30), null(30), HEALTHY, null(30)], NullStretch(60, 0.0, 0.0, 2.0, 0.95)),
    ],
)
def test_table(now: list[NDArray[np.int64]], found: NullStretch | None) -> None:
    windows = {float(i): counts for i, counts in enumerate(now)}
    assert find_null_stretch([HEALTHY] * 20, windows, 1e-6) == found


def test_as_long_as_the_past_knew_it_is_nothing_new() -> None:
    windows = {0.0: null(60)}
    assert find_null_stretch([*[HEALTHY] * 20, null(30)], windows, 1e-6) is None
    assert find_null_stretch([*[HEALTHY] * 20, null(25)], windows, 1e-6) is not None
