"""How small a change a stream can show, and after how long."""

from __future__ import annotations

import math

import numpy as np
import scipy

from windvane.core.drift.judge import STABILITY, DriftPolicy, Kind, Reading
from windvane.core.verdict import e_values

_MOST_LOOKS = 10_000
_USUAL = 2.0  # deviations, as sizes that are usual are told
_FINER = 1.3  # times fewer deviations of a measure that varies less


def looks_to_alarm(reading: Reading, policy: DriftPolicy) -> int | None:
    """About how many looks a change takes to be told that is just material; None where its looks
    are no evidence on average, so that no number of them is enough.

    What is ``usual`` of a stream is two deviations of its most varying measure, so such a change
    lies ``z`` of those of another off.
    Its chance in a look is that of as large a normal deviation, and never rarer than one in as many
    healthy windows as are known; the alarm asks for a product of e-values of ``alarm_at``. It is of
    a change that is the same in every window, to about a factor of three (by simulation).
    """
    if reading.kind is Kind.OUTAGE or reading.usual <= 0.0:
        return None
    ratio = policy.least(reading) / reading.usual
    z = _FINER * _USUAL * (math.sqrt(ratio) if reading.kind in STABILITY else ratio)
    chance = max(2.0 * float(scipy.special.ndtr(-z)), 1.0 / (reading.known + 1.0))
    gain = math.log(float(e_values(np.array([chance]))[0]))
    if gain <= 0.0:
        return None
    return min(math.ceil(math.log(policy.alarm_at) / gain), _MOST_LOOKS)
