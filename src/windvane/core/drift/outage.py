"""Total faults: a feature without any value, stuck at one value, or of values hardly ever seen.

The rank of a window among healthy ones cannot be rarer than one in as many as are known, so a
fault of this kind would take several windows to be believed. But each of its rows is evidence:
were the feature healthy, all rows of a run would have to be so by chance. Where rows hang together
so much that they say little, as in a day of one weather, its windows are: healthy runs are as long
as a chain of two states makes them that begins and stays as often as was seen.

Source of the chain: Feller, *An Introduction to Probability Theory*, vol. 1, 1968, chapter XV.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import AxisIndex
from windvane.core.drift.deviation import Reference

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]
_ENOUGH_ROWS = 8
_OFTEN = 0.05  # of healthy windows that are so: it is how this feature is
_USUAL = 0.2  # of all rows: what is alike in so many is so for long now and then
_MEMORY = 2_000.0


class Total(enum.IntEnum):
    """What all rows of a run are, by its place in the arrays."""

    NULL = 0
    UNSEEN = 1
    CONSTANT = 2


TOTALS = len(Total)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """``rows`` (axes, TOTALS) of the run that goes on, ``since`` (axes, TOTALS) when it began (s),
    ``value`` (axes,) the bin of a constant run, ``often`` (axes, TOTALS) the share of healthy
    windows that are total, of ``windows`` (axes,). Windows that have rows enough, all (axes,
    TOTALS): of the run that goes on ``lasts``, of runs before it, of which there were ``ended``,
    ``lasted``, and of none ``apart``."""

    rows: Floats
    since: Floats
    value: Places
    often: Floats
    windows: Floats
    lasts: Places
    ended: Places
    lasted: Places
    apart: Places

    @classmethod
    def empty(cls, axes: int) -> Runs:
        flat, none = np.zeros((axes, TOTALS)), np.zeros((axes, TOTALS), np.int64)
        places = np.zeros(axes, np.int64)
        return cls(flat, flat, places, flat, np.zeros(axes), none, none, none, none)


def extend_runs(
    held: Runs, counts: Counts, index: AxisIndex, rare: Flags, start: float, alarmed: Flags
) -> Runs:
    """After a window's counts (size,) that began at ``start`` (s); ``rare`` (size,) as in
    `Reference`. One row that is otherwise ends a run; a window without rows changes nothing. What
    is ``alarmed`` (axes,) teaches no more than that such runs begin; of nulls not even that."""
    rows, known, at, total = _totals(counts, index, rare)
    some = np.stack([rows, known, known], axis=-1) > 0
    size = np.stack([rows, known, known], axis=-1)
    same = np.ones_like(total)
    same[:, Total.CONSTANT] = (held.value == at) | (held.rows[:, Total.CONSTANT] == 0)
    goes_on = total & same & (held.rows > 0)
    grown = np.where(goes_on, held.rows, 0.0) + np.where(total, size, 0.0)
    since = np.where(goes_on, held.since, start)
    ends = some & ~goes_on & (held.lasts > 0)
    ends[:, Total.NULL] &= ~alarmed
    lasted = np.where(alarmed[:, None], np.minimum(held.lasts, 1), held.lasts)
    enough = size >= _ENOUGH_ROWS
    return replace(
        held,
        lasts=np.where(some, np.where(goes_on, held.lasts, 0) + (total & enough), held.lasts),
        ended=held.ended + ends,
        lasted=held.lasted + np.where(ends, lasted, 0),
        apart=held.apart + (~total & enough),
        rows=np.where(some, grown, held.rows),
        since=np.where(some, since, held.since),
        value=np.where(some[:, 1], at, held.value),
    )


def may_be_total(held: Runs) -> bool:
    """Whether a run is long enough to mean something, of what healthy windows hardly are."""
    unusual = (held.often <= _OFTEN) | (_log_chance_of_windows(held) < -1.0)
    return bool(((held.rows >= _ENOUGH_ROWS) & unusual).any())


def _totals(
    counts: Counts, index: AxisIndex, rare: Flags
) -> tuple[Floats, Floats, Places, NDArray[np.bool_]]:
    """Rows (axes,), those with a value, the fullest bin of these, and what they all are (axes,
    TOTALS): a feature may be stuck, and be null now and then as ever."""
    rows = index.sum(counts.astype(np.float64))
    known = rows - counts[index.first]
    values = np.where(index.null, -1, counts)
    most = np.maximum.reduceat(values, index.first)
    is_most = np.flatnonzero(values == most[index.axis])
    at = np.full(len(index.first), -1, np.int64)
    at[index.axis[is_most][::-1]] = is_most[::-1]
    some = known > 0
    odd = index.sum(np.where(rare, counts, 0).astype(np.float64))
    unseen = some & (odd == known)
    # Beyond its edges a number may have any value: all rows there are no constant.
    inner = ~index.ordered | ((at > index.first + 1) & (at < index.last))
    constant = some & (most == known) & inner
    return rows, known, at, np.stack([(known == 0) & (rows > 0), unseen, constant], axis=-1)


def learn_often(held: Runs, counts: Counts, reference: Reference, learn: NDArray[np.bool_]) -> Runs:
    """How often healthy windows are total, after one more; ``learn`` (axes,)."""
    rows, _, _, total = _totals(counts, reference.index, reference.rare)
    counted = learn & (rows >= _ENOUGH_ROWS)
    windows = held.windows + counted
    rate = np.where(counted, 1.0 / np.clip(windows, 1.0, _MEMORY), 0.0)[:, None]
    return replace(held, often=held.often + rate * (total - held.often), windows=windows)


def log_chance(held: Runs, reference: Reference, overdispersion: Floats) -> Floats:
    """Log probability (axes, TOTALS) of runs as long as these in healthy traffic, 0 where there is
    no run or where healthy windows are often so.

    Exact for independent rows. Rows that depend on each other are as many as their
    ``overdispersion`` (axes,), the ratio of variances, leaves; or windows are counted in their
    place. What is alike in many rows has to be rare by both, what was in all of some windows by
    windows.
    """
    index = reference.index
    known = reference.shares
    nulls = reference.nulls
    stuck = np.where(held.rows[:, Total.CONSTANT] > 0, known[np.maximum(held.value, 0)], 1.0)
    odd = index.sum(np.where(reference.rare, known, 0.0))
    share = np.stack([nulls, odd, stuck], axis=-1)
    choices = np.ones_like(share)
    choices[:, Total.CONSTANT] = index.bins
    independent = held.rows / np.maximum(overdispersion, 1.0)[:, None]
    chance = independent * np.log(np.clip(share, 1e-12, 1.0)) + np.log(choices)
    by_rows = np.where(held.often <= _OFTEN, np.minimum(chance, 0.0), 0.0)
    by_windows = _log_chance_of_windows(held)
    either = np.minimum(np.minimum(by_rows, by_windows) + np.log(2.0), 0.0)
    # A season's first values are unseen for as long as it lasts.
    either[:, Total.UNSEEN] = by_rows[:, Total.UNSEEN]
    both = np.maximum(by_rows, by_windows)
    learned = by_windows.copy()
    learned[:, Total.UNSEEN] = both[:, Total.UNSEEN]
    found = np.where(share >= _USUAL, both, np.where(held.ended > 0, learned, either))
    return np.where(held.rows >= _ENOUGH_ROWS, found, 0.0)


def _log_chance_of_windows(held: Runs) -> Floats:
    """Log probability (axes, TOTALS) that a run begins and lasts for so many windows, where runs
    begin and go on as often as those before did (Laplace's rule)."""
    begins = (held.ended + 1.0) / (held.apart + 2.0)
    stays = (held.lasted - held.ended + 1.0) / (held.lasted + 2.0)
    chance = np.log(np.minimum(begins, 1.0)) + (held.lasts - 1.0) * np.log(stays)
    return np.where(held.lasts > 0, chance, 0.0)
