"""How far the mean of rows that are near in time may be from the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_BLOCKS = 5
LEAST_EARLIER = 4
_DAY_S = 86_400.0


def block_count(rows: int) -> int:
    """Into how many blocks so many rows are cut."""
    return 8 if rows < 2_000 else 16 if rows < 20_000 else 32


def reach_over_time(
    parts: Floats, times: Floats, alpha: float, *, days: bool = True
) -> tuple[float, bool]:
    """From a mean to its one-sided bound at level ``alpha``, where rows near in time go wrong
    together; and whether time could be cut into enough parts to know.

    ``parts`` (rows,) are each row's part of the estimate less the estimate, in units of it, whose
    mean is zero; ``times`` (rows,) in seconds. The largest of several: by blocks of equal numbers
    of rows, of equal spans of time, and of whole ``days`` (UTC, from two on), each by the sums of
    blocks and Student's t with one degree of freedom less than there are blocks, uneven ones
    counted as fewer. Few blocks are few independent looks, whatever the number of rows; dependence
    that outlasts a block is not seen, and rows of one day say nothing of days. Source: batch means,
    Law & Kelton, Simulation Modeling and Analysis, 9.5.3; cluster variance, Cameron & Miller 2015,
    section II.
    """
    order = np.argsort(times, kind="stable")
    held = parts[order]
    whole = times.size < 1 or times[order[0]] == times[order[-1]]
    reach = 0.0
    for spans_time, spans_days, blocks in _cuts(times[order]):
        if spans_days and not days:
            continue
        found = _reach(held, blocks, alpha, least=2 if spans_days else LEAST_BLOCKS)
        if math.isfinite(found):
            reach = max(reach, found)
            whole = whole or spans_time or spans_days
    return reach, whole


def reach_over_units(parts: Floats, units: NDArray[np.int64], alpha: float) -> float:
    """From a mean to its one-sided bound at level ``alpha``, where rows of one unit go wrong
    together and units do not; ``parts`` as for `reach_over_time`, ``units`` (rows,) alike for rows
    of one. Infinite for fewer units than ``LEAST_BLOCKS``. Source: cluster variance, Cameron &
    Miller 2015, section II; of an AUC, Obuchowski, Biometrics 53, 1997."""
    return _reach(parts, units, alpha, least=LEAST_BLOCKS)


def reach_of_block(earlier: Floats, alpha: float) -> float:
    """From one block's value to the one-sided bound at level ``alpha`` of what blocks have in the
    long run, where it differs from that as the values of ``earlier`` ones (blocks,) differ among
    themselves: Student's t of one observation by the variance of others. Infinite for fewer than
    ``LEAST_EARLIER``. What one block's own rows say nothing of, how much days differ, is taken from
    other days; that a change began with this one widens no bound."""
    if len(earlier) < LEAST_EARLIER:
        return math.inf
    spread = float(np.std(earlier, ddof=1))
    return -float(scipy.special.stdtrit(len(earlier) - 1, alpha)) * spread


def _cuts(times: Floats) -> Iterator[tuple[bool, bool, NDArray[np.int64]]]:
    """Blocks by row of sorted times, and whether they are parts of time, or whole days."""
    rows = len(times)
    if not rows:
        return
    blocks = block_count(rows)
    yield False, False, np.arange(rows) * blocks // rows
    span = float(times[-1] - times[0])
    if span > 0.0:
        parts = np.minimum((times - times[0]) / span * blocks, blocks - 1)
        yield True, False, parts.astype(np.int64)
        yield False, True, np.floor(times / _DAY_S).astype(np.int64)


def _reach(parts: Floats, blocks: NDArray[np.int64], alpha: float, *, least: int) -> float:
    """By the sums of blocks; infinite for too few of them. Blocks of uneven size are as many as
    their sizes' coefficient of variation leaves (Carter, Schnepel & Steigerwald, Review of
    Economics and Statistics 99, 2017)."""
    _, places = np.unique(blocks, return_inverse=True)
    count = int(places.max()) + 1
    if count < least:
        return math.inf
    sums, sizes = np.bincount(places, parts), np.bincount(places)
    variance = float((sums**2).sum()) * count / (count - 1) / len(parts) ** 2
    effective = count / (1.0 + float(sizes.var()) / float(sizes.mean()) ** 2)
    freedom = max(1.0, effective - 1.0)
    return -float(scipy.special.stdtrit(freedom, alpha)) * math.sqrt(variance)
