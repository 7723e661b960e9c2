"""The level of an interval, in words: two intervals of one number are told apart by it."""

from __future__ import annotations

import math

_MOST_DIGITS = 4
_LEAST_OFF = 0.05  # of what is beyond it: 97.5% is not 98%


def interval_level(alpha: float) -> float:
    """Of an interval whose bounds are at level ``alpha`` on each side: 0.95 of 0.025."""
    return 1.0 - 2.0 * alpha


def level_words(level: float) -> str:
    """`95%`, `99.98%`: with as many digits as tell it from certainty."""
    beyond = max(1.0 - level, 1e-12)
    digits = max(0, math.ceil(-math.log10(beyond) - 1e-6) - 2)
    if digits > _MOST_DIGITS:
        return f"over {1.0 - 10.0 ** -(_MOST_DIGITS + 2):.{_MOST_DIGITS}%}"
    while digits < _MOST_DIGITS and abs(round(level, digits + 2) - level) > _LEAST_OFF * beyond:
        digits += 1
    return f"{level:.{digits}%}"
