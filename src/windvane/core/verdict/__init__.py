"""What a judge says, and the evidence it says it by."""

from windvane.core.verdict.dispersion import Dispersion
from windvane.core.verdict.duration import span_in_words
from windvane.core.verdict.evidence import (
    calibrated_p,
    e_values,
    log_beta_evidence,
    log_chance_to_e,
    log_conditional_evidence,
    p_to_e,
    shiryaev_roberts,
)
from windvane.core.verdict.levels import (
    LEAST_BLOCKS,
    DetectorStep,
    Level,
    ShiftState,
    advance,
    log_either,
    log_rise,
)
from windvane.core.verdict.outcome import Outcome, Verdict, worst
from windvane.core.verdict.rate import Bet, RateFacts, RatePolicy, RateState, judge_rate

__all__ = [
    "LEAST_BLOCKS",
    "Bet",
    "DetectorStep",
    "Dispersion",
    "Level",
    "Outcome",
    "RateFacts",
    "RatePolicy",
    "RateState",
    "ShiftState",
    "Verdict",
    "advance",
    "calibrated_p",
    "e_values",
    "judge_rate",
    "log_beta_evidence",
    "log_chance_to_e",
    "log_conditional_evidence",
    "log_either",
    "log_rise",
    "p_to_e",
    "shiryaev_roberts",
    "span_in_words",
    "worst",
]
