"""May the challenger have more traffic, must it wait, or must it go?"""

from windvane.core.rollout.gate import (
    ArmFacts,
    GateFacts,
    GatePolicy,
    StageErrors,
    judge_gate,
)
from windvane.core.rollout.statistics import (
    asymptotic_radius,
    log_staged_evidence,
    mean_difference_bounds,
)

__all__ = [
    "ArmFacts",
    "GateFacts",
    "GatePolicy",
    "StageErrors",
    "asymptotic_radius",
    "judge_gate",
    "log_staged_evidence",
    "mean_difference_bounds",
]
