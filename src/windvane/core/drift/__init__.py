"""Has a feature changed, is the change large, and since when?"""

from windvane.core.drift.baseline import (
    Baseline,
    block_seconds,
    build_baseline,
    calibration_seconds,
)
from windvane.core.drift.budget import alarm_threshold
from windvane.core.drift.calibrate import predictive_scores, recent_scores
from windvane.core.drift.judge import (
    Alarm,
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    judge_drift,
)
from windvane.core.drift.measure import js_divergence, null_rate, psi, rank_shift
from windvane.core.drift.readings import baseline_readings, recent_readings

__all__ = [
    "Alarm",
    "Baseline",
    "DriftFacts",
    "DriftPolicy",
    "Kind",
    "Reading",
    "StreamState",
    "alarm_threshold",
    "baseline_readings",
    "block_seconds",
    "build_baseline",
    "calibration_seconds",
    "js_divergence",
    "judge_drift",
    "null_rate",
    "predictive_scores",
    "psi",
    "rank_shift",
    "recent_readings",
    "recent_scores",
]
