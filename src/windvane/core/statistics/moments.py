"""Counts, means and centred sums of squares that merge without cancellation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special


@dataclass(frozen=True, slots=True)
class Moments:
    """``count`` values with their ``mean`` and ``centred``, the sum of (value - mean)^2.

    Sums of squares about zero lose every digit where the mean is large beside the spread.
    """

    count: int
    mean: float
    centred: float

    def __add__(self, other: Moments) -> Moments:
        """Both together. Source: Chan, Golub and LeVeque, 1979."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = apart * apart * (self.count / count) * other.count
        return Moments(count, mean, self.centred + other.centred + between)

    @property
    def variance(self) -> float:
        """Of the values, unbiased; NaN for fewer than two."""
        return self.centred / (self.count - 1) if self.count > 1 else math.nan

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return math.sqrt(self.variance / self.count) if self.count > 1 else math.nan


NO_MOMENTS = Moments(0, 0.0, 0.0)


def moments_of(values: NDArray[np.float64]) -> Moments:
    """Of finite values (rows,)."""
    if not len(values):
        return NO_MOMENTS
    mean = float(values.mean())
    return Moments(len(values), mean, float(((values - mean) ** 2).sum()))


def mean_bounds(mean: float, error: float, alpha: float) -> tuple[float, float]:
    """One-sided bounds of a mean by the normal approximation, (lower, upper)."""
    reach = -float(special.ndtri(alpha)) * error if math.isfinite(error) else math.inf
    return mean - reach, mean + reach


def share_bounds(successes: int, trials: int, alpha: float) -> tuple[float, float]:
    """One-sided bounds of a share, (lower, upper), exact also where all or none succeeded.
    Source: Clopper and Pearson, Biometrika 26, 1934."""
    if not trials:
        return 0.0, 1.0
    failures = trials - successes
    lower = float(special.betaincinv(successes, failures + 1, alpha)) if successes else 0.0
    upper = float(special.betaincinv(successes + 1, failures, 1.0 - alpha)) if failures else 1.0
    return lower, upper
