"""The area under the ROC curve, exactly, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AucEstimate:
    """An area (or a difference of two) with its standard error. ``positives`` and ``negatives``
    are the counts that it rests on; the area is NaN where one of them is 0."""

    area: float
    error: float
    positives: int
    negatives: int

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound at level ``alpha`` by the normal approximation."""
        return self.area + float(special.ndtri(alpha)) * self.error

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound at level ``alpha``."""
        return self.area - float(special.ndtri(alpha)) * self.error


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """P(score of a positive > score of a negative), ties counting one half; NaN for one class.

    ``scores`` and ``positive`` are (rows,). Source: Mann and Whitney, 1947.
    """
    ups = int(positive.sum())
    downs = len(positive) - ups
    if not ups or not downs:
        return math.nan
    ranks = _midranks(scores)
    return float((ranks[positive].sum() - ups * (ups + 1) / 2.0) / (ups * downs))


def delong(scores: Floats, positive: NDArray[np.bool_]) -> AucEstimate:
    """The area with DeLong's standard error.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, by midranks as in Sun and
    Xu, IEEE Signal Processing Letters 21, 2014.
    """
    area, by_positive, by_negative = _placements(scores, positive)
    ups, downs = len(by_positive), len(by_negative)
    if not ups or not downs:
        return AucEstimate(math.nan, math.nan, ups, downs)
    return AucEstimate(area, math.sqrt(_spread(by_positive) + _spread(by_negative)), ups, downs)


def delong_difference(one: Floats, other: Floats, positive: NDArray[np.bool_]) -> AucEstimate:
    """The area of ``one`` less that of ``other`` on the same rows, with the standard error of
    the difference (their correlation counts). Source: as `delong`."""
    first = _placements(one, positive)
    second = _placements(other, positive)
    ups, downs = len(first[1]), len(first[2])
    if not ups or not downs:
        return AucEstimate(math.nan, math.nan, ups, downs)
    variance = _spread(first[1] - second[1]) + _spread(first[2] - second[2])
    return AucEstimate(first[0] - second[0], math.sqrt(variance), ups, downs)


def _placements(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
    """The area; for each positive the share of negatives below it; for each negative the share
    of positives above it."""
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return math.nan, np.empty(ups), np.empty(downs)
    together = _midranks(scores)
    by_positive = (together[positive] - _midranks(scores[positive])) / downs
    by_negative = 1.0 - (together[~positive] - _midranks(scores[~positive])) / ups
    return float(by_positive.mean()), by_positive, by_negative


def _spread(values: Floats) -> float:
    """The variance of the mean."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.inf


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, the mean of their ranks for equal values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + 1 + ends) / 2.0)[place]
