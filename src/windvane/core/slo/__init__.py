"""Objectives of a service: error budgets, how fast they burn, and when that is worth a person."""

from windvane.core.slo.budget import (
    LONG_SPAN_S,
    SCALED_FROM_S,
    BurnRule,
    Objective,
    budget_left,
    burn_rate,
    burn_rules,
    projected,
)
from windvane.core.slo.judge import (
    BUDGET_SPENT,
    Burning,
    BurnReading,
    SloFacts,
    SloPolicy,
    SpanTally,
    judge_slo,
    read_burn_rates,
)
from windvane.core.slo.ring import (
    Ring,
    Tally,
    add_window,
    empty_rings,
    ring_of,
    sum_of,
    under_other_widths,
)

__all__ = [
    "BUDGET_SPENT",
    "LONG_SPAN_S",
    "SCALED_FROM_S",
    "BurnReading",
    "BurnRule",
    "Burning",
    "Objective",
    "Ring",
    "SloFacts",
    "SloPolicy",
    "SpanTally",
    "Tally",
    "add_window",
    "budget_left",
    "burn_rate",
    "burn_rules",
    "empty_rings",
    "judge_slo",
    "projected",
    "read_burn_rates",
    "ring_of",
    "sum_of",
    "under_other_widths",
]
