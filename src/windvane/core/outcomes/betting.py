"""Betting on the mean of bounded values: evidence that needs no law of their spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_OF_PURSE = 0.75


def log_bet(values: Floats, null: float, low: float) -> float:
    """Log e-value that the mean of ``values`` (n,), none below ``low``, exceeds ``null``.

    The stake before each value is what the ones before it suggest (the growth-optimal one to
    second order, "aGRAPA"), at most three quarters of what cannot be lost; so the wealth is an
    e-process wherever each value's mean, given those before, is at most ``null``. Source:
    Waudby-Smith & Ramdas, Journal of the Royal Statistical Society B 86, 2024, section 4 and
    appendix B.3.
    """
    count = len(values)
    if not count or null <= low:
        return 0.0
    held = np.maximum(values, low)
    seen = np.arange(1, count + 1, dtype=np.float64)
    before = np.concatenate([[0.0], np.cumsum(held)[:-1]])
    mean = (null + before) / seen
    squares = np.concatenate([[0.0], np.cumsum((held - mean) ** 2)[:-1]])
    variance = ((null - low) ** 2 + squares) / seen
    apart = np.maximum(mean - null, 0.0)
    stake = np.minimum(apart / (variance + apart**2), _MOST_OF_PURSE / (null - low))
    return float(np.log1p(stake * (held - null)).sum())
