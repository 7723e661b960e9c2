"""Anytime-valid comparison of two arms that units are assigned to by chance.

What happens to a unit happens in one arm, and by chance in which: so of all units that something
happened to, the challenger's are binomial by its share, however many they are and whenever they
come. Evidence about that share needs no rate, no horizon and no other assumption.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_POINTS = 4001
_REACH = 16.0  # deviations of the prior on either side that are summed over
_ZETA = 3.105547  # of Riemann, at 1.4
_EXPONENT = 1.4
_GROWTH = 2.0


def log_staged_evidence(
    stages: Sequence[tuple[int, int, float]],
    *,
    ratio: float = 1.0,
    scale: float = 1.0,
    two_sided: bool = False,
) -> float:
    """Log e-value that the challenger's events come more than ``ratio`` times as often, over
    stages with different shares: ``(challenger, champion, share)`` each.

    theta, the log of how many times as often they come, is mixed over N(0, scale^2), one-sided
    over theta > ln ratio; a stage's likelihood is binomial with
    ``q = share e^theta / (share e^theta + 1 - share)``. Likelihoods multiply *inside* the
    mixture, so that what one stage learned about theta counts in the next. Source: the facts page
    of the project, after Lindon & Malek, arXiv 2011.03567.
    """
    low = -_REACH / 2.0 * scale if two_sided else math.log(ratio)
    theta = np.linspace(low, low + _REACH * scale, _POINTS)
    return _log_mixture(theta, scale, 0.0 if two_sided else math.log(ratio), stages)


def log_noninferiority_evidence(
    stages: Sequence[tuple[int, int, float]], ratio: float, scale: float = 1.0
) -> float:
    """Log e-value that the challenger's events come less than ``ratio`` times as often: the mirror
    of `log_staged_evidence`, over theta < ln ratio."""
    high = math.log(ratio)
    theta = np.linspace(high - _REACH * scale, high, _POINTS)
    return _log_mixture(theta, scale, high, stages)


def _log_mixture(
    theta: Floats, scale: float, null: float, stages: Sequence[tuple[int, int, float]]
) -> float:
    weight = np.exp(-0.5 * (theta / scale) ** 2)
    weight[[0, -1]] /= 2.0
    log_ratio = np.zeros_like(theta)
    for challenger, champion, share in stages:
        for point, sign in ((theta, 1.0), (np.array(null), -1.0)):
            odds = share * np.exp(point)
            q = odds / (odds + 1.0 - share)
            log_ratio = log_ratio + sign * (challenger * np.log(q) + champion * np.log1p(-q))
    top = float(log_ratio.max())
    return top + math.log(float((weight * np.exp(log_ratio - top)).sum() / weight.sum()))


def bounded_mean_radius(units: int, centred_squares: float, most: float, alpha: float) -> float:
    """Half-width of a confidence sequence of the mean of values in [0, ``most``], at every look:
    each side is passed with a chance of at most ``alpha``. Infinite for no units.

    The empirical Bernstein bound, stitched: Howard, Ramdas, McAuliffe & Sekhon, arXiv 1810.08240,
    equation 10 with eta 2, s 1.4 and m ``most`` squared.
    """
    if units < 1 or most <= 0.0:
        return math.inf
    floor = most * most
    variance = max(centred_squares + floor, floor)
    level = _EXPONENT * math.log(math.log(_GROWTH * variance / floor)) if variance > floor else 0.0
    level = max(level, 0.0) + math.log(_ZETA / (alpha * math.log(_GROWTH) ** _EXPONENT))
    by_root = (_GROWTH**0.25 + _GROWTH**-0.25) / math.sqrt(2.0)
    by_range = most * (math.sqrt(_GROWTH) + 1.0) / 2.0
    width = math.sqrt(by_root**2 * variance * level + (by_range * level) ** 2) + by_range * level
    return width / units


def asymptotic_radius(n: float, sigma: float, alpha: float, best_at: float) -> float:
    """Half-width of the asymptotic confidence sequence of a mean after ``n`` values.

    Narrowest near ``n = best_at``. Waudby-Smith et al., arXiv 2103.06476, eq. 9:
    ``sigma sqrt(2 (n rho^2 + 1) / (n^2 rho^2) ln(sqrt(n rho^2 + 1) / alpha))`` with
    ``rho = sqrt((-2 ln alpha + ln(1 - 2 ln alpha)) / best_at)``.
    """
    rho2 = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / best_at
    grown = n * rho2 + 1.0
    return sigma * math.sqrt(2.0 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / alpha))
