"""Total faults: a feature without any value, stuck at one value, or of values hardly ever seen.

The rank of a window among healthy ones cannot be rarer than one in as many as are known, so a
fault of this kind would take several windows to be believed. But each of its rows is evidence:
were the feature healthy, all rows of a run would have to be so by chance. Where rows hang together
more than their variance says, as those of one invoice do, healthy windows are so now and then; then
a run has to be rare among windows too, which begin and go on being so as a chain of two states.

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
_BY_CHANCE = 2  # windows: what was told and is over so soon may have been chance
_PERHAPS = 0.25  # of a healthy run, that one was which may have been a fault
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
    ``lasted`` in all with ``squares``, and of none ``apart``; a run that may have been a fault
    counts for a quarter of one. ``told``: of the alarm that is open
    its one run that ended soon, negative where it was longer or was not the only one."""

    rows: Floats
    since: Floats
    value: Places
    often: Floats
    windows: Floats
    lasts: Places
    ended: Floats
    lasted: Floats
    squares: Floats
    apart: Places
    told: Places

    @classmethod
    def empty(cls, axes: int) -> Runs:
        flat, none = np.zeros((axes, TOTALS)), np.zeros((axes, TOTALS), np.int64)
        places = np.zeros(axes, np.int64)
        return cls(flat, flat, places, flat, np.zeros(axes), none, flat, flat, flat, none, none)


def extend_runs(
    held: Runs, counts: Counts, index: AxisIndex, rare: Flags, start: float, alarmed: Flags,
    *, may_be_faults: bool = False,
) -> Runs:  # fmt: skip
    """After a window's counts (size,) that began at ``start`` (s); ``rare`` (size,) bins of values
    that hardly ever came. One row that is otherwise ends a run; a window without rows changes
    nothing. What is ``alarmed`` (axes,) teaches once the alarm is closed and where it was one short
    run, and of nulls nothing. ``may_be_faults``: nobody was there to tell of these runs."""
    rows, known, at, total = _totals(counts, index, rare)
    some = np.stack([rows, known, known], axis=-1) > 0
    size = np.stack([rows, known, known], axis=-1)
    same = np.ones_like(total)
    same[:, Total.CONSTANT] = (held.value == at) | (held.rows[:, Total.CONSTANT] == 0)
    goes_on = total & same & (held.rows > 0)
    grown = np.where(goes_on, held.rows, 0.0) + np.where(total, size, 0.0)
    since = np.where(goes_on, held.since, start)
    ends = some & ~goes_on & (held.lasts > 0)
    sounds = np.repeat(alarmed[:, None], TOTALS, axis=1)
    told = np.where(
        ends, np.where((held.told == 0) & (held.lasts <= _BY_CHANCE), held.lasts, -1), held.told
    )
    told[:, Total.NULL] = 0
    healthy = ends & ~sounds
    late = np.where(sounds, 0, np.maximum(held.told, 0))
    lasted = np.where(healthy, held.lasts, 0)
    counts_for = _PERHAPS if may_be_faults else 1.0
    enough = size >= _ENOUGH_ROWS
    return replace(
        held,
        lasts=np.where(some, np.where(goes_on, held.lasts, 0) + (total & enough), held.lasts),
        ended=held.ended + counts_for * healthy + _PERHAPS * (late > 0),
        lasted=held.lasted + counts_for * lasted + _PERHAPS * late,
        squares=held.squares + counts_for * lasted**2 + _PERHAPS * late**2,
        told=np.where(sounds, told, 0),
        apart=held.apart + (~total & enough),
        rows=np.where(some, grown, held.rows),
        since=np.where(some, since, held.since),
        value=np.where(some[:, 1], at, held.value),
    )


def may_be_total(held: Runs) -> bool:
    """Whether a run is long enough to mean something, of what healthy windows hardly are."""
    return bool(((held.rows >= _ENOUGH_ROWS) & (held.often <= _OFTEN)).any())


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
    constant = some & (most == known) & ~unseen & ~index.beyond[at]
    return rows, known, at, np.stack([(known == 0) & (rows > 0), unseen, constant], axis=-1)


def learn_often(
    held: Runs, counts: Counts, index: AxisIndex, rare: Flags, learn: NDArray[np.bool_]
) -> Runs:
    """How often healthy windows are total, after one more; ``learn`` (axes,)."""
    rows, _, _, total = _totals(counts, index, rare)
    counted = learn & (rows >= _ENOUGH_ROWS)
    windows = held.windows + counted
    rate = np.where(counted, 1.0 / np.clip(windows, 1.0, _MEMORY), 0.0)[:, None]
    return replace(held, often=held.often + rate * (total - held.often), windows=windows)


def log_chance(held: Runs, reference: Reference, rare: Flags, overdispersion: Floats) -> Floats:
    """Log probability (axes, TOTALS) of runs as long as these in healthy traffic, 0 where there is
    no run or where healthy windows are often so; ``rare`` (size,) as runs were followed with.

    Exact for independent rows. Rows that depend on each other are as many as their
    ``overdispersion`` (axes,), the ratio of variances, leaves; and where healthy windows with rows
    enough were so before, the run has to be as rare among windows.
    """
    index = reference.index
    known = reference.shares
    nulls = reference.nulls
    stuck = np.where(held.rows[:, Total.CONSTANT] > 0, known[np.maximum(held.value, 0)], 1.0)
    odd = index.sum(np.where(rare, known, 0.0))
    share = np.stack([nulls, odd, stuck], axis=-1)
    choices = np.ones_like(share)
    choices[:, Total.CONSTANT] = index.bins
    independent = held.rows / np.maximum(overdispersion, 1.0)[:, None]
    chance = independent * np.log(np.clip(share, 1e-12, 1.0)) + np.log(choices)
    by_rows = np.where(held.often <= _OFTEN, np.minimum(chance, 0.0), 0.0)
    happens = (held.ended >= 1.0) & (held.lasts > 0)
    found = np.where(happens, np.maximum(by_rows, _log_chance_of_windows(held)), by_rows)
    return np.where(held.rows >= _ENOUGH_ROWS, found, 0.0)


def _log_chance_of_windows(held: Runs) -> Floats:
    """Log probability (axes, TOTALS) that a run begins as often as those before did, and lasts for
    so many windows, by how long the run was that a window lay in: where some values come in long
    runs, those have most windows. One run of three is taken to be known beforehand."""
    begins = (held.ended + 1.0) / (held.apart + 2.0)
    around = (held.squares + 9.0) / (held.lasted + 3.0)
    stays = 1.0 - 2.0 / (around + 1.0)
    chance = np.log(np.minimum(begins, 1.0)) + (held.lasts - 1.0) * np.log(stays)
    return np.where(held.lasts > 0, chance, 0.0)
