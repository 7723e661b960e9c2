"""How good were the answers, once the truth is known?"""

from windvane.core.outcomes.judge import (
    OutcomePolicy,
    ScoredCounts,
    auc,
    brier,
    judge_outcomes,
)

__all__ = ["OutcomePolicy", "ScoredCounts", "auc", "brier", "judge_outcomes"]
