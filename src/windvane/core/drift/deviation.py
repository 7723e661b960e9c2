"""How a window deviates from its reference: a few signed numbers for each feature."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from windvane.core.drift.axes import AxisIndex
from windvane.core.drift.chance import js_chance, js_terms

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class Measure(enum.IntEnum):
    """What is measured of a feature's window, by its place in the arrays.

    LOCATION: of a number the mean rank in the reference minus 1/2, of names the rise of the
    share that training never had. SPREAD: the rise of the mean distance of that rank from the
    middle. SHAPE: the Jensen-Shannon divergence of the values beyond what chance gives. NULLS:
    the rise of the null share. POSITION: of a number the shift of its mean rank in the training
    data: beyond the recent past altogether all values have one rank there.
    """

    LOCATION = 0
    SPREAD = 1
    POSITION = 2
    SHAPE = 3
    NULLS = 4


MEASURES = len(Measure)
VALUE_MEASURES = tuple(m for m in Measure if m is not Measure.NULLS)
"""Those of what is not null; they come first."""
ONE_SIDED = np.arange(MEASURES) >= Measure.SHAPE
"""(MEASURES,) whether only a rise is a change."""
_RARE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """``value`` and ``chance`` (axes, MEASURES): each measure, NaN where there is none, and its
    variance if rows were independent; ``rows`` (axes,) with or without a value; ``units`` (axes,
    MEASURES): the square of a deviation that is one unit of it (see `effects`); ``corrected``
    (axes, MEASURES): what was taken off because as many independent rows give it by chance."""

    value: Floats
    chance: Floats
    rows: Floats
    units: Floats
    corrected: Floats


@dataclass(frozen=True, eq=False)
class Reference:
    """Shares that windows are compared with: ``nulls`` (axes,) and, of what is not null,
    ``shares`` (size,); 0 at null bins. ``null_mean`` (axes,): the share of nulls as it was, by
    which none now and none then is no deviation."""

    index: AxisIndex
    nulls: Floats
    shares: Floats
    null_mean: Floats

    @classmethod
    def of(cls, index: AxisIndex, counts: Counts | Floats) -> Reference:
        """From counts (size,). Every bin has half a row more than was counted (the Jeffreys
        prior), so that what was never seen is rare and not impossible."""
        held = np.asarray(counts, np.float64)
        rows = index.sum(held)
        values = np.where(index.null, 0.0, held + 0.5)
        known = index.sum(values)
        return cls(
            index,
            (held[index.first] + 0.5) / (rows + 1.0),
            values / index.spread(np.maximum(known, 0.5)),
            held[index.first] / np.maximum(rows, 1.0),
        )

    @cached_property
    def rare(self) -> NDArray[np.bool_]:
        """Bins (size,) of values that hardly ever come."""
        return (self.shares < _RARE) & ~self.index.null

    @cached_property
    def ranks(self) -> Floats:
        """The middle rank of each bin (size,), 0 to 1; of names 1 for what training never had."""
        index = self.index
        total = np.cumsum(self.shares)
        before = total - self.shares
        start = before[index.first]
        ranks = before - index.spread(start) + self.shares / 2.0
        names = ~index.ordered
        ranks[index.spread(names)] = 0.0
        ranks[index.last[names & index.open_ended]] = 1.0
        return np.where(index.null, 0.0, ranks)

    @cached_property
    def distances(self) -> Floats:
        """How far each bin's rank lies from the middle (size,), 0 to 1."""
        return np.where(self.index.null, 0.0, np.abs(2.0 * self.ranks - 1.0))

    @cached_property
    def moments(self) -> tuple[tuple[Floats, Floats], ...]:
        """Means and variances (axes,) of ranks, of distances, and of positions."""
        index, q = self.index, self.shares
        out: list[tuple[Floats, Floats]] = []
        for score in (self.ranks, self.distances, index.positions):
            mean = index.sum(q * score)
            out.append((mean, np.maximum(index.sum(q * score**2) - mean**2, 0.0)))
        return tuple(out)


def measure_deviations(counts: Counts, reference: Reference) -> Deviations:
    """Of one window's counts (size,)."""
    index = reference.index
    held = counts.astype(np.float64)
    rows = index.sum(held)
    values = np.where(index.null, 0.0, held)
    known = index.sum(values)
    least = np.maximum(known, 1.0)
    expected = reference.shares * index.spread(least)
    scores = (reference.ranks, reference.distances, index.positions)
    moments = reference.moments
    js_mean, js_variance = js_chance(expected)
    for bins in (js_mean, js_variance):
        bins[index.null] = 0.0
    nulls = held[index.first] / np.maximum(rows, 1.0)
    value = np.stack(
        [
            *(
                index.sum(values * score) / least - mean
                for score, (mean, _) in zip(scores, moments, strict=True)
            ),
            (index.sum(js_terms(values, expected)) - index.sum(js_mean)) / least,
            nulls - reference.null_mean,
        ],
        axis=-1,
    )
    chance = np.stack(
        [
            *(variance / least for _, variance in moments),
            index.sum(js_variance) / least**2,
            reference.nulls * (1.0 - reference.nulls) / np.maximum(rows, 1.0),
        ],
        axis=-1,
    )
    units = np.stack(
        [*(variance for _, variance in moments), np.ones_like(known), np.ones_like(known)],
        axis=-1,
    )
    # In training all positions are alike: in a season that has few of them, it is their unit.
    units[:, Measure.POSITION] = np.maximum(units[:, Measure.POSITION], 1.0 / 12.0)
    value[known < 1.0, : Measure.NULLS] = np.nan
    value[~index.ordered, Measure.SPREAD] = np.nan
    value[~index.ordered, Measure.POSITION] = np.nan
    value[~index.ordered & ~index.open_ended, Measure.LOCATION] = np.nan
    value[rows < 1.0] = np.nan
    corrected = np.zeros_like(chance)
    corrected[:, Measure.SHAPE] = index.sum(js_mean) / least
    return Deviations(value, chance, rows, units, corrected)


def effects(deviation: Floats, variance: Floats, units: Floats) -> Floats:
    """Sizes (axes, MEASURES) of deviations beyond their ``variance``, as population stability
    indices; of nulls, the rise of their share.

    Shares ``p = q (1 + e s)`` that lean on a score ``s`` of the bins have a stability index of
    ``e^2 Var(s)`` to second order, and move the mean of ``s`` by ``e Var(s)``: the square of that,
    over ``Var(s)``, is the index. Eight times the Jensen-Shannon divergence is it too.
    """
    out = np.maximum(deviation**2 - variance, 0.0) / np.maximum(units, 1e-12)
    out[:, Measure.SHAPE] = 8.0 * np.maximum(deviation[:, Measure.SHAPE], 0.0)
    out[:, Measure.NULLS] = deviation[:, Measure.NULLS]
    return out
