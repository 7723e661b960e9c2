"""A layout's axes as index arrays, so that all of them are measured at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class AxisIndex:
    """Where each axis lies in flat counts.

    ``first`` and ``last`` (axes,): places of the null bin and of the last bin; ``axis`` (size,):
    which axis a bin belongs to; ``null`` (size,): whether it is a null bin; ``ordered`` (axes,):
    whether the bins are those of a number; ``open_ended`` (axes,): whether the last bin holds
    what training never had; ``beyond`` (size,): bins that hold nothing else, or names of which
    training had many and none often.
    """

    first: Places
    last: Places
    axis: Places
    null: Flags
    ordered: Flags
    open_ended: Flags
    beyond: Flags

    @cached_property
    def positions(self) -> Floats:
        """Where each bin lies among those of its axis (size,), 0 to 1: the bins of a number hold
        equal parts of the training data, so it is the middle rank in that."""
        place = np.arange(len(self.axis)) - self.first[self.axis]
        return np.where(self.null, 0.0, (place - 0.5) / np.maximum(self.bins, 1)[self.axis])

    @property
    def bins(self) -> Places:
        """Bins (axes,) without the null bin."""
        return self.last - self.first

    def sum(self, values: Floats) -> Floats:
        """(..., size) summed over each axis' bins, (..., axes)."""
        return np.add.reduceat(values, self.first, axis=-1)

    def spread(self, values: NDArray[T]) -> NDArray[T]:
        """(..., axes) given to each of an axis' bins, (..., size)."""
        return values[..., self.axis]


@lru_cache(maxsize=4_096)
def axis_index(layout: Layout) -> AxisIndex:
    sizes = np.array([axis.bins for axis in layout.axes], np.int64)
    first = np.array(layout.offsets[:-1], np.int64)
    null = np.zeros(layout.size, bool)
    null[first] = True
    beyond = np.zeros(layout.size, bool)
    for axis, start in zip(layout.axes, first, strict=True):
        names = () if isinstance(axis, NumericAxis) else axis.categories
        places = axis.beyond if isinstance(axis, NumericAxis) else range(1 + len(names), axis.bins)
        beyond[[start + place for place in places]] = True
    return AxisIndex(
        first,
        first + sizes - 1,
        np.repeat(np.arange(len(sizes)), sizes),
        null,
        np.array([isinstance(axis, NumericAxis) for axis in layout.axes], bool),
        np.array([not isinstance(a, CategoryAxis) or a.rest == 1 for a in layout.axes], bool),
        beyond,
    )
