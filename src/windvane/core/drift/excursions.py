"""How far evidence climbs by itself while all is healthy, and by what it is discounted for that.

Products of e-values that hold given the past climb to ``x`` in at most ``exp(-x)`` of the times
that they begin to. Where a forecast does not know all that the past says, of values that are held
for an hour say, they climb further: how far they climbed in healthy windows gives the rate that
holds instead. Powers of e-values by that rate climb as they should.

Source: the maximum of a random walk with a falling mean has an exponential tail, also where its
steps depend on each other: Asmussen & Albrecher, *Ruin Probabilities*, 2010, chapters IV and XIII;
the rate of exponential times of which some are censored: Lawless, *Statistical Models and Methods
for Lifetime Data*, 2003, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_LEAST, _MOST = 2.0, 14.0
"""Heights (log) from which an excursion is counted, and beyond which it may be of a fault: how far
it would have climbed by itself is not known."""
_PRIOR = 3.0  # excursions as they should be
_MEMORY = 400.0


@dataclass(frozen=True, slots=True, eq=False)
class Excursions:
    """Of each of several streams, all of one shape.

    ``value``: the largest log of a product of e-values over any run of windows up to now, 0 where
    there is none; ``peak``: its largest since it was 0 last. ``ended``: excursions that were
    counted and ended below ``_MOST``; ``climbed``: how far beyond ``_LEAST`` all that were counted
    did, up to ``_MOST``.
    """

    value: Floats
    peak: Floats
    ended: Floats
    climbed: Floats

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Excursions:
        none = np.zeros(shape)
        return cls(none, none, none, none)


def count_excursions(held: Excursions, log_e: Floats, learn: Flags) -> Excursions:
    """After a window's log e-values; where ``learn`` is false what goes on is of a fault, and ends
    uncounted."""
    value = np.minimum(np.maximum(held.value, 0.0) + log_e, 1.5 * _MOST)
    over = value <= 0.0
    counted = over & (held.peak > _LEAST) & learn
    goes_on = ~over & learn
    full = held.ended + held.climbed > _MEMORY
    fades = np.where(full, 0.5, 1.0)
    return Excursions(
        value=np.where(goes_on, value, 0.0),
        peak=np.where(goes_on, np.maximum(held.peak, value), 0.0),
        ended=fades * held.ended + (counted & (held.peak < _MOST)),
        climbed=fades * held.climbed
        + np.where(counted, np.minimum(held.peak, _MOST) - _LEAST, 0.0),
    )


def choose(which: Flags, one: Excursions, other: Excursions) -> Excursions:
    """Of ``one`` where ``which``, else of ``other``."""
    return Excursions(
        np.where(which, one.value, other.value),
        np.where(which, one.peak, other.peak),
        np.where(which, one.ended, other.ended),
        np.where(which, one.climbed, other.climbed),
    )


def discount(held: Excursions) -> Floats:
    """The power, at most 1, by which e-values are taken: the rate of heights, and one deviation of
    it more, for most streams are as they should be."""
    ended = held.ended + _PRIOR
    return np.minimum((ended + np.sqrt(ended)) / (held.climbed + _PRIOR), 1.0)
