"""How good were the answers, once the truth is known?"""

from windvane.core.outcomes.judge import OutcomePolicy, judge_outcomes

__all__ = ["OutcomePolicy", "judge_outcomes"]
