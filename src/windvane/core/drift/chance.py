"""What chance alone does to a divergence of counts, exactly, also where bins are rare.

A window's count in a bin of expected count ``m`` is close to Poisson(m). A divergence that is a
sum over bins, homogeneous of degree one in (observed, expected), has therefore a mean and a
variance that are sums over bins of functions of ``m`` alone. They are tabulated once. So no
chi-squared approximation is needed, which fails below five expected rows a bin, and nothing is
drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LEAST, _MOST, _POINTS = 1e-7, 400.0, 300
FLOOR = 0.5
"""An empty bin counts as half a row in the population stability index, which is infinite else."""


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    log_expected: Floats
    js_mean: Floats
    js_variance: Floats
    psi_mean: Floats
    psi_variance: Floats


def js_terms(observed: Floats, expected: Floats) -> Floats:
    """Each bin's part of rows times the Jensen-Shannon divergence, in nats."""
    both = np.maximum(observed + expected, 1e-300)
    left = scipy.special.xlogy(observed, 2.0 * observed / both)
    right = scipy.special.xlogy(expected, 2.0 * expected / both)
    return np.asarray(0.5 * (left + right), np.float64)


def psi_terms(observed: Floats, expected: Floats) -> Floats:
    """Each bin's part of rows times the population stability index, in nats."""
    floored = np.maximum(observed, FLOOR)
    return (floored - expected) * np.log(floored / np.maximum(expected, 1e-300))


@cache
def _table() -> _Table:
    at: Floats = np.linspace(math.log(_LEAST), math.log(_MOST), _POINTS, dtype=np.float64)
    expected: Floats = np.exp(at)
    moments = np.zeros((4, _POINTS))
    means: list[float] = expected.tolist()
    for i, mean in enumerate(means):
        x = np.arange(0, int(mean + 12.0 * mean**0.5 + 40.0), dtype=np.float64)
        p = np.exp(-mean + scipy.special.xlogy(x, mean) - scipy.special.gammaln(x + 1.0))
        for row, terms in ((0, js_terms(x, np.full_like(x, mean))),
                           (2, psi_terms(x, np.full_like(x, mean)))):  # fmt: skip
            first = float((p * terms).sum())
            moments[row, i] = first
            moments[row + 1, i] = float((p * terms**2).sum()) - first**2
    return _Table(np.log(expected), *moments)


def js_chance(expected: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of `js_terms` by each bin's expected count."""
    table = _table()
    at = np.log(np.maximum(expected, _LEAST))
    return (
        np.interp(at, table.log_expected, table.js_mean),
        np.interp(at, table.log_expected, table.js_variance),
    )


def psi_chance(expected: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of `psi_terms` by each bin's expected count."""
    table = _table()
    at = np.log(np.maximum(expected, _LEAST))
    return (
        np.interp(at, table.log_expected, table.psi_mean),
        np.interp(at, table.log_expected, table.psi_variance),
    )
