"""How good were the answers, once the truth is known?"""

from windvane.core.outcomes.betting import log_bet
from windvane.core.outcomes.delays import DELAY_EDGES, DelayCurve, LabelCohort, delay_curve
from windvane.core.outcomes.judge import (
    OutcomeFacts,
    OutcomePolicy,
    judge_outcomes,
    least_of_holdout,
    outcomes_to_tell,
)
from windvane.core.outcomes.shift import (
    CODES,
    LEAST_UNITS,
    CellFacts,
    Level,
    Reading,
    Shift,
    ShiftPolicy,
    ShiftState,
    UnitValues,
    judge_shift,
    read_cell,
    read_over,
    strength,
)

__all__ = [
    "CODES",
    "DELAY_EDGES",
    "LEAST_UNITS",
    "CellFacts",
    "DelayCurve",
    "LabelCohort",
    "Level",
    "OutcomeFacts",
    "OutcomePolicy",
    "Reading",
    "Shift",
    "ShiftPolicy",
    "ShiftState",
    "UnitValues",
    "delay_curve",
    "judge_outcomes",
    "judge_shift",
    "least_of_holdout",
    "log_bet",
    "outcomes_to_tell",
    "read_cell",
    "read_over",
    "strength",
]
