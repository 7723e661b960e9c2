"""Looks that wait to be learned from, because there is evidence of a change in them.

What is learned at once from a few windows that are far off makes the next ones usual, where not
many are known. So they wait: until the evidence is gone, when they were healthy, or until an alarm
opens, when they were not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
MOST = 4
"""Looks of one measure that wait; the first of more is learned from."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubtful:
    """All (n,), one entry a look and measure, in the order that they came: which ``axis`` and
    ``measure``, the middle of the look (``at``, s), and what there is to learn: ``left``,
    ``chance`` and the ``place`` of the residual, as in `core.drift.forecast`."""

    axis: Places
    measure: Places
    at: Floats
    left: Floats
    chance: Floats
    place: Places

    @classmethod
    def empty(cls) -> Doubtful:
        none, flat = np.zeros(0, np.int64), np.zeros(0)
        return cls(none, none, flat, flat, flat, none)

    def __len__(self) -> int:
        return len(self.axis)

    def of(self, mask: Flags) -> Doubtful:
        """Those of a mask (n,)."""
        return Doubtful(
            self.axis[mask], self.measure[mask], self.at[mask], self.left[mask],
            self.chance[mask], self.place[mask],
        )  # fmt: skip

    def marked(self, mask: Flags) -> Flags:
        """Whether (n,) the axis and measure of each is in a mask (axes, MEASURES)."""
        return mask[self.axis, self.measure]

    def onto(self, axes: Mapping[int, int]) -> Doubtful:
        """Under another layout: by the new place of each axis that is there, too."""
        kept = self.of(np.isin(self.axis, list(axes)))
        moved = np.array([axes[int(axis)] for axis in kept.axis], np.int64)
        return replace(kept, axis=moved)

    def by_look(self) -> Iterator[tuple[float, Doubtful]]:
        """Each look's, with its middle (s), in the order that they came."""
        for at in np.unique(self.at):
            yield float(at), self.of(self.at == at)


def hold_back(
    held: Doubtful, waits: Flags, at: float, left: Floats, chance: Floats, place: Places
) -> Doubtful:
    """With one more look, of what ``waits`` (axes, MEASURES) in it."""
    axis, measure = np.nonzero(waits)
    return Doubtful(
        np.append(held.axis, axis),
        np.append(held.measure, measure),
        np.append(held.at, np.full(len(axis), at)),
        np.append(held.left, left[axis, measure]),
        np.append(held.chance, chance[axis, measure]),
        np.append(held.place, place[axis, measure]),
    )


def sift(held: Doubtful, healthy: Flags, waits: Flags, learns: Flags) -> tuple[Doubtful, Doubtful]:
    """(What waits still, what can be learned now) by masks (axes, MEASURES): all of what is
    ``healthy``, and of what ``waits`` and ``learns`` the looks before the last `MOST`; the rest is
    dropped."""
    waiting = held.marked(waits)
    old = waiting & (_later(held) >= MOST)
    return held.of(waiting & ~old), held.of(held.marked(healthy) | (old & held.marked(learns)))


def _later(held: Doubtful) -> Places:
    """How many later looks (n,) of the same axis and measure wait."""
    keys = held.axis * (int(held.measure.max(initial=0)) + 1) + held.measure
    order = np.argsort(keys, kind="stable")
    _, starts, sizes = np.unique(keys[order], return_index=True, return_counts=True)
    place = np.arange(len(keys)) - np.repeat(starts, sizes)
    out = np.empty(len(keys), np.int64)
    out[order] = np.repeat(sizes, sizes) - 1 - place
    return out
