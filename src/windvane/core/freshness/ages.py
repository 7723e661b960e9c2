"""How old the rows of a source are: a histogram that merges exactly, and what it tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.sketch import NumericAxis

Counts = NDArray[np.int64]
CLOCK_DIFFERENCE_S = 60.0
"""By how much the clocks of a source and of a gateway may differ (s): a row that was observed
further ahead is of the future."""
_PER_DOUBLING = 8
_DOUBLINGS = 25  # up to 388 days
_GRID_S = tuple(
    # To the millisecond: no processor's last digit makes a layout of its own.
    round(2.0 ** (k / _PER_DOUBLING), 3)
    for k in range(_DOUBLINGS * _PER_DOUBLING + 1)
)
SHORTEST_AGE_S, LONGEST_AGE_S = _GRID_S[0], _GRID_S[-1]


def age_axis(name: str, limits_s: Iterable[float] = ()) -> NumericAxis:
    """Log-spaced bins of ages in seconds, eight to a doubling, from 1 s to 388 days; the first is
    of the future. Each of ``limits_s`` is an edge: what is older than it is counted exactly.
    """
    edges = {*_GRID_S, *(float(limit) for limit in limits_s)}
    return NumericAxis(name, (-CLOCK_DIFFERENCE_S, *sorted(edges)))


@dataclass(frozen=True, slots=True, eq=False)
class AgeHistogram:
    """Rows by age (s) on the bins of an `age_axis`: ``counts`` (edges + 2,), null first."""

    edges: tuple[float, ...]
    counts: Counts

    @property
    def known(self) -> int:
        """Rows that say when they were observed."""
        return int(self.counts[1:].sum())

    @property
    def unknown(self) -> int:
        return int(self.counts[0])

    @property
    def future(self) -> int:
        """Rows that were observed after they were asked about, by more than clocks differ."""
        return int(self.counts[1])

    def older_than(self, limit_s: float) -> int:
        """Rows that are surely older than ``limit_s``: exact where that is an edge, else those of
        the bins beyond it, a lower bound."""
        first = int(np.searchsorted(np.asarray(self.edges), limit_s, side="left")) + 2
        return int(self.counts[first:].sum())

    def quantile(self, share: float) -> float | None:
        """The age (s) that ``share`` of the rows do not exceed, to the width of a bin (9%); 0.0 of
        rows no older than clocks differ, None where all are of the future or unknown."""
        held = self.counts[2:]
        total = int(held.sum())
        if not total:
            return None
        sums = np.cumsum(held)
        place = int(np.searchsorted(sums, max(share * total, 0.5), side="left"))
        if place == 0:
            return 0.0
        low = self.edges[place]
        if place + 1 >= len(self.edges):
            return low
        high = self.edges[place + 1]
        within = (share * total - float(sums[place - 1])) / float(held[place])
        return float(low * (high / low) ** min(max(within, 0.0), 1.0))


def merge_ages(histograms: Sequence[AgeHistogram]) -> AgeHistogram:
    """The sum of all. Where their edges differ, the file was changed meanwhile: counts are added
    between the edges that all of them have, which stays exact."""
    if not histograms:
        return AgeHistogram((), np.zeros(2, np.int64))
    common = set(histograms[0].edges)
    for one in histograms[1:]:
        common &= set(one.edges)
    edges = tuple(sorted(common))
    total = np.zeros(len(edges) + 2, np.int64)
    for one in histograms:
        # The bin of each edge of its own; what lies above the last goes with the open one.
        places = np.searchsorted(np.asarray(edges), np.asarray(one.edges), side="left") + 1
        np.add.at(total, np.concatenate([[0], places, [len(edges) + 1]]), one.counts)
    return AgeHistogram(edges, total)
