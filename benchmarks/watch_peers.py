"""What everybody has: PSI > 0.2 and a KS test with p < .05, feature by feature and window by
window."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogorov

Floats = NDArray[np.float64]
PSI_AT = 0.2
KS_AT = 0.05
_FLOOR = 1e-4
"""The usual share of an empty bin."""


def psi(current: Floats, reference: Floats) -> Floats:
    """Of counts in bins (..., bins), with empty bins at the usual floor."""
    p = np.maximum(current / np.maximum(current.sum(axis=-1, keepdims=True), 1.0), _FLOOR)
    q = np.maximum(reference / np.maximum(reference.sum(axis=-1, keepdims=True), 1.0), _FLOOR)
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def ks_p(current: Floats, ordered: Floats) -> float:
    """The p-value that a sample and another, ``ordered``, are of one distribution (asymptotic);
    nulls are left out, 0 where nothing else is left."""
    ours = np.sort(current[~np.isnan(current)])
    n, m = len(ours), len(ordered)
    if not n or not m:
        return 0.0
    everything = np.concatenate([ours, ordered])
    one = np.searchsorted(ours, everything, side="right") / n
    other = np.searchsorted(ordered, everything, side="right") / m
    most = float(np.abs(one - other).max())
    return float(kolmogorov(most * np.sqrt(n * m / (n + m))))


def exact_psi(current: Floats, edges: Floats, expected: Floats) -> float:
    """From raw values of one feature, with a bin for nulls; ``expected`` counts likewise."""
    known = current[~np.isnan(current)]
    bins = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return float(psi(np.append(bins, len(current) - len(known)).astype(float), expected))
