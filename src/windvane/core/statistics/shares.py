"""Two shares beside each other: how far they differ, and by which factor."""

from __future__ import annotations

import math

import scipy


def difference_bounds(
    now: tuple[int, int], before: tuple[int, int], alpha: float
) -> tuple[float, float]:
    """Bounds, each one-sided at ``alpha``, of the share ``now`` less that ``before``, each given as
    (part, whole) of independent rows; (-1, 1) where one has no rows.

    Source: Newcombe, Statistics in Medicine 17, 1998, method 10 (Wilson's scores, combined).
    """
    if not now[1] or not before[1]:
        return -1.0, 1.0
    one, other = now[0] / now[1], before[0] / before[1]
    low_one, high_one = _wilson(*now, alpha)
    low_other, high_other = _wilson(*before, alpha)
    gap = one - other
    return (
        max(-1.0, gap - math.hypot(one - low_one, high_other - other)),
        min(1.0, gap + math.hypot(high_one - one, other - low_other)),
    )


def ratio_bounds(
    now: tuple[int, int], before: tuple[int, int], alpha: float
) -> tuple[float, float] | None:
    """The same of the share ``now`` divided by that ``before``; None where either has no part, for
    then no factor can be told.

    Source: Katz, Baptista, Azen and Pike, Biometrics 34, 1978 (the logarithm of the ratio).
    """
    if not now[0] or not before[0]:
        return None
    ratio = (now[0] / now[1]) / (before[0] / before[1])
    spread = math.sqrt(1.0 / now[0] - 1.0 / now[1] + 1.0 / before[0] - 1.0 / before[1])
    reach = math.exp(_quantile(alpha) * spread)
    return ratio / reach, ratio * reach


def _wilson(part: int, whole: int, alpha: float) -> tuple[float, float]:
    """Source: Wilson, Journal of the American Statistical Association 22, 1927."""
    z = _quantile(alpha)
    share, square = part / whole, z * z
    middle = share + square / (2.0 * whole)
    reach = z * math.sqrt(share * (1.0 - share) / whole + square / (4.0 * whole * whole))
    scale = 1.0 + square / whole
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def _quantile(alpha: float) -> float:
    return -float(scipy.special.ndtri(alpha))
