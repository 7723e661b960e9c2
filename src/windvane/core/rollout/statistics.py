"""Anytime-valid statistics for comparing two arms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def log_staged_evidence(
    stages: Sequence[tuple[int, int, float]],
    *,
    ratio: float = 1.0,
    scale: float = 1.0,
    two_sided: bool = False,
) -> float:
    """Log e-value over stages with different shares: ``(candidate, primary, share)`` each.

    theta, the log of how many times as often the candidate fails, is mixed over
    N(0, scale^2), one-sided over theta > ln ratio; a stage's likelihood is binomial with
    ``q = share e^theta / (share e^theta + 1 - share)``. Likelihoods multiply *inside* the
    mixture, so that what one stage learned about theta counts in the next.
    """
    low = -8.0 * scale if two_sided else math.log(ratio)
    theta = np.linspace(low, low + 16.0 * scale, 4001)
    null = 0.0 if two_sided else math.log(ratio)
    weight = np.exp(-0.5 * (theta / scale) ** 2)
    weight[[0, -1]] /= 2.0
    log_ratio = np.zeros_like(theta)
    for candidate, primary, share in stages:
        for point, sign in ((theta, 1.0), (np.array(null), -1.0)):
            odds = share * np.exp(point)
            q = odds / (odds + 1.0 - share)
            log_ratio = log_ratio + sign * (candidate * np.log(q) + primary * np.log1p(-q))
    top = float(log_ratio.max())
    return top + math.log(float((weight * np.exp(log_ratio - top)).sum() / weight.sum()))


def log_evidence(stages: Sequence[tuple[int, int, float]], ratio: float) -> float:
    """The mixture over theta, from the first stage on: to change the statistic between two
    looks would spend alpha twice."""
    return log_staged_evidence(stages, ratio=ratio)


def asymptotic_radius(n: float, sigma: float, alpha: float, best_at: float) -> float:
    """Half-width of the asymptotic confidence sequence of a mean after ``n`` values.

    Narrowest near ``n = best_at``. Waudby-Smith et al., arXiv 2103.06476, eq. 9:
    ``sigma sqrt(2 (n rho^2 + 1) / (n^2 rho^2) ln(sqrt(n rho^2 + 1) / alpha))`` with
    ``rho = sqrt((-2 ln alpha + ln(1 - 2 ln alpha)) / best_at)``.
    """
    rho2 = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / best_at
    grown = n * rho2 + 1.0
    return sigma * math.sqrt(2.0 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / alpha))


def mean_difference_bounds(
    candidate: tuple[int, float, float],
    primary: tuple[int, float, float],
    alpha: float,
    best_at: float,
) -> tuple[float, float]:
    """Bounds of mean(candidate) - mean(primary), valid at every look.

    An arm is (n, sum, sum of squares).
    """

    def arm(n: int, total: float, squares: float) -> tuple[float, float]:
        mean = total / n
        sigma = math.sqrt(max(squares / n - mean * mean, 1e-12))
        return mean, asymptotic_radius(n, sigma, alpha / 2.0, best_at)

    (mean_c, radius_c), (mean_p, radius_p) = arm(*candidate), arm(*primary)
    gap, radius = mean_c - mean_p, radius_c + radius_p
    return gap - radius, gap + radius
