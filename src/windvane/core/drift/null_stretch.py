"""Whether a feature of few rows has no value any more: by how long that goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
_LEAST_ROWS = 20
_LONGER = 2.0  # times the longest stretch that is known


@dataclass(frozen=True, slots=True)
class NullStretch:
    """Windows in which no row has a value: of so many ``rows``, from the start of the first on
    (``since``, s); told with the window that starts at ``told_at``, and over with the one that
    starts at ``ended`` (s; None where it goes on). ``rise``: of the null share over what it was."""

    rows: int
    since: float
    told_at: float
    ended: float | None
    rise: float


def find_null_stretch(
    past: Sequence[Counts], now: Mapping[float, Counts], level: float
) -> NullStretch | None:
    """The first stretch of windows ``now`` (a feature's counts, the null bin first, by their start)
    in which no row has a value, where that is longer than the longest of the ``past`` windows by
    far and chance does it at most with probability ``level``: a union bound over where it may
    begin, with the share of nulls that half a row more would have."""
    nulls, rows = sum(int(one[0]) for one in past), sum(int(one.sum()) for one in past)
    longest = stretch = 0
    for one in past:
        stretch = stretch + int(one.sum()) if not one[1:].any() else 0
        longest = max(longest, stretch)
    share = (nulls + 0.5) / (rows + 1.0)
    by_chance = math.log(level / max(len(now), 1)) / math.log(share)
    least = max(_LEAST_ROWS, _LONGER * longest + 1, by_chance)
    since: float | None = None
    told_at: float | None = None
    held = 0
    for start in sorted(now):
        part = now[start]
        if not part.any():
            continue
        if not part[1:].any():
            since = start if since is None else since
            held += int(part[0])
            if told_at is None and held >= least:
                told_at = start
        elif since is not None and told_at is not None:
            return NullStretch(held, since, told_at, start, 1.0 - nulls / max(rows, 1))
        else:
            since, held = None, 0
    if since is None or told_at is None:
        return None
    return NullStretch(held, since, told_at, None, 1.0 - nulls / max(rows, 1))
