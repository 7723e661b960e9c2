"""Nearly all values alike: one bin holds what usually lies in many.

Ranks of windows tell a shift, and a rank cannot be rarer than one in as many windows as are known.
But each row is evidence of this fault: were the stream healthy, nearly all of a run would lie in
one bin by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.judge import Kind, Reading
from windvane.core.verdict import log_chance_to_e

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
LEAST_SHARE = 0.95
"""The least share of the fullest bin that is a concentration."""
_MOST_OF_OTHERS = 0.1  # what is left in other bins, as a part of what usually is


@dataclass(frozen=True, slots=True)
class Concentration:
    """A run of windows whose values lie in the bin at ``place`` of an axis (0 is its null bin):
    ``alike`` of ``rows`` since the window that began at ``since`` (s)."""

    place: int
    rows: int
    alike: int
    since: float

    @property
    def share(self) -> float:
        return self.alike / self.rows


def follow_concentration(
    held: Concentration | None, values: Counts, usual: Floats, start: float
) -> Concentration | None:
    """The run after a window that began at ``start`` (s), None where there is none. ``values``
    (bins,) of one axis, null first, which is not counted; ``usual`` (bins,) the shares that they
    are expected to have. A window without values changes nothing."""
    known = values.copy()
    known[0] = 0
    rows = int(known.sum())
    if rows == 0:
        return held
    place = int(known.argmax())
    alike = int(known[place])
    others = 1.0 - float(usual[place])
    if alike < LEAST_SHARE * rows or rows - alike > _MOST_OF_OTHERS * others * rows:
        return None
    if held is None or held.place != place:
        return Concentration(place, rows, alike, start)
    return Concentration(place, held.rows + rows, held.alike + alike, held.since)


def concentration_reading(
    feature: str, view: str, held: Concentration | None, usual: Floats, label: str,
    clustered: float, least_rows: int,
) -> Reading:  # fmt: skip
    """What a run says: its chance in healthy traffic, where as many rows as are ``clustered``
    count as one; nothing where there is none or it has fewer than ``least_rows``. ``label`` names
    its bin.

    The chance of a share this large is at most ``exp(-n KL(share, usual))`` in independent rows
    (Hoeffding, *Probability inequalities for sums of bounded random variables*, 1963, theorem 1),
    in each of the bins that it might have been.
    """
    if held is None or held.rows < least_rows:
        return Reading(feature, view, Kind.OUTAGE, 0.0, 0.0)
    expected = min(max(float(usual[held.place]), 1e-12), 1.0 - 1e-12)
    chance = -held.rows / max(clustered, 1.0) * _divergence(held.share, expected)
    chance = min(chance + math.log(max(len(usual) - 1, 1)), 0.0)
    what = f"{held.share:.1%} of the answers are {label}, usually {expected:.1%}"
    return Reading(
        feature, view, Kind.OUTAGE, log_chance_to_e(chance), 1.0, now=1.0, began=held.since,
        what=what,
    )  # fmt: skip


def _divergence(share: float, expected: float) -> float:
    """Kullback-Leibler, of two coins; 0 where the share is no larger than expected."""
    if share <= expected:
        return 0.0
    rest = 1.0 - share
    out = share * math.log(share / expected)
    return out + (rest * math.log(rest / (1.0 - expected)) if rest > 0.0 else 0.0)
