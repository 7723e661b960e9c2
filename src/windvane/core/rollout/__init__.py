"""May the challenger have more traffic, must it wait, or must it go?"""

from windvane.core.rollout.facts import (
    EVERYONE,
    FAILED,
    SLOW,
    ArmCounts,
    ArmLosses,
    FirstEvents,
    GateFacts,
    Stage,
    StageFacts,
    segment_slice,
    tenant_slice,
)
from windvane.core.rollout.gate import GuardVerdict, conclude, judge_gate, judge_guards
from windvane.core.rollout.guards import units_without_failure
from windvane.core.rollout.policy import GatePolicy

__all__ = [
    "EVERYONE",
    "FAILED",
    "SLOW",
    "ArmCounts",
    "ArmLosses",
    "FirstEvents",
    "GateFacts",
    "GatePolicy",
    "GuardVerdict",
    "Stage",
    "StageFacts",
    "conclude",
    "judge_gate",
    "judge_guards",
    "segment_slice",
    "tenant_slice",
    "units_without_failure",
]
