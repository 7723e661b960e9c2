"""The area under the ROC curve, exactly, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AucEstimate:
    """An area with its standard error. ``positives`` and ``negatives`` are the counts that it
    rests on; the area is NaN where one of them is 0. ``guarded_error`` is the standard error with
    one more positive and one more negative that rank in the middle."""

    area: float
    error: float
    positives: int
    negatives: int
    guarded_error: float = math.nan

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound at level ``alpha``.

        The least of three, each of which fails where another holds: on the scale of log-odds
        (an area near 1 has a skewed error; Pepe, 2003, section 5.2.3); with an error as if one
        row of each label ranked in the middle (few rows that all rank well would say that there
        is no error), both by Student's t of the rarer label's rows; and as if each row of the
        rarer label either outranked all others or none (Clopper and Pearson, Biometrika 26,
        1934), for there may be a kind of row that the model cannot see and that is not among
        these few.
        """
        return self._bound(alpha, self.area)

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound at level ``alpha``: the lower one of the area that
        reversed scores have."""
        return 1.0 - self._bound(alpha, 1.0 - self.area)

    def _bound(self, alpha: float, area: float) -> float:
        t = -float(scipy.special.stdtrit(min(self.positives, self.negatives) - 1, alpha))
        guarded = area - t * self.guarded_error
        rarer = min(self.positives, self.negatives)
        blind = float(scipy.special.betaincinv(rarer * area, rarer * (1.0 - area) + 1.0, alpha))
        guarded = min(guarded, blind) if area > 0.0 else 0.0
        if not 0.0 < area < 1.0:
            return max(0.0, guarded)
        reach = t * self.error / (area * (1.0 - area))
        return max(0.0, min(guarded, float(scipy.special.expit(scipy.special.logit(area) - reach))))


@dataclass(frozen=True, slots=True)
class AucDifference:
    """One area less another, on the same rows, with its standard error."""

    area: float
    error: float
    positives: int
    negatives: int

    def lower(self, alpha: float) -> float:
        """One-sided lower confidence bound at level ``alpha`` by the normal approximation."""
        return self.area + float(scipy.special.ndtri(alpha)) * self.error

    def upper(self, alpha: float) -> float:
        """One-sided upper confidence bound at level ``alpha``."""
        return self.area - float(scipy.special.ndtri(alpha)) * self.error


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """P(score of a positive > score of a negative), ties counting one half; NaN for one class.

    ``scores`` and ``positive`` are (rows,). Source: Mann and Whitney, 1947.
    """
    ups = int(positive.sum())
    downs = len(positive) - ups
    if not ups or not downs:
        return math.nan
    ranks = midranks(scores)
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
    error = math.sqrt(_spread(by_positive) + _spread(by_negative))
    more = [np.append(by_positive, 0.5), np.append(by_negative, 0.5)]
    return AucEstimate(area, error, ups, downs, math.sqrt(sum(map(_spread, more))))


def auc_parts(scores: Floats, positive: NDArray[np.bool_]) -> Floats:
    """(rows,): each row's part of the area less the area, whose mean is zero: of a positive the
    share of negatives below it, of a negative that of positives above it, each less the area and
    weighted by how rare its label is. Source: as `delong`, whose components these are."""
    area, by_positive, by_negative = _placements(scores, positive)
    parts = np.zeros(len(scores))
    if len(by_positive) and len(by_negative):
        parts[positive] = (by_positive - area) * (len(parts) / len(by_positive))
        parts[~positive] = (by_negative - area) * (len(parts) / len(by_negative))
    return parts


def weighted_auc(
    scores: Floats, positive: NDArray[np.bool_], weights: Floats
) -> tuple[float, Floats]:
    """The area where each row stands for ``weights`` (rows,) rows, and each row's part of it less
    the area (rows,), whose weighted mean is zero; NaN and zeros for one class. With equal weights
    these are `auc` and `auc_parts`."""
    parts = np.zeros(len(scores))
    of_ups = np.where(positive, weights, 0.0)
    of_downs = weights - of_ups
    ups, downs = float(of_ups.sum()), float(of_downs.sum())
    if not ups or not downs:
        return math.nan, parts
    _, place = np.unique(scores, return_inverse=True)
    up, down = np.bincount(place, of_ups), np.bincount(place, of_downs)
    below = (np.cumsum(down) - 0.5 * down) / downs
    above = (ups - np.cumsum(up) + 0.5 * up) / ups
    area = float((up * below).sum() / ups)
    whole = ups + downs
    parts[positive] = (below[place[positive]] - area) * (whole / ups)
    parts[~positive] = (above[place[~positive]] - area) * (whole / downs)
    return area, parts


def delong_difference(one: Floats, other: Floats, positive: NDArray[np.bool_]) -> AucDifference:
    """The area of ``one`` less that of ``other`` on the same rows, with the standard error of
    the difference (their correlation counts). Source: as `delong`."""
    first = _placements(one, positive)
    second = _placements(other, positive)
    ups, downs = len(first[1]), len(first[2])
    if not ups or not downs:
        return AucDifference(math.nan, math.nan, ups, downs)
    variance = _spread(first[1] - second[1]) + _spread(first[2] - second[2])
    return AucDifference(first[0] - second[0], math.sqrt(variance), ups, downs)


def _placements(scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
    """The area; for each positive the share of negatives below it; for each negative the share
    of positives above it."""
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return math.nan, np.empty(ups), np.empty(downs)
    together = midranks(scores)
    by_positive = (together[positive] - midranks(scores[positive])) / downs
    by_negative = 1.0 - (together[~positive] - midranks(scores[~positive])) / ups
    return float(by_positive.mean()), by_positive, by_negative


def _spread(values: Floats) -> float:
    """The variance of the mean."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else math.inf


def midranks(values: Floats) -> Floats:
    """Ranks from 1, the mean of their ranks for equal values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + 1 + ends) / 2.0)[place]
