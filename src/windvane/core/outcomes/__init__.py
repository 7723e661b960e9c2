"""How good were the answers, once the truth is known?"""

from windvane.core.outcomes.judge import (
    OutcomeFacts,
    OutcomePolicy,
    judge_outcomes,
    least_of_holdout,
    outcomes_to_tell,
)

__all__ = [
    "OutcomeFacts",
    "OutcomePolicy",
    "judge_outcomes",
    "least_of_holdout",
    "outcomes_to_tell",
]
