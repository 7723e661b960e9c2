"""May this candidate be registered for serving?"""

from windvane.core.acceptance.champion import over_time, paired_loss
from windvane.core.acceptance.judge import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    RowDifference,
    RowGroup,
    Tolerance,
    changed_labels,
    compare_outputs,
    judge_candidate,
    largest,
    row_differences,
)

__all__ = [
    "AcceptancePolicy",
    "CandidateFacts",
    "ParityReport",
    "RowDifference",
    "RowGroup",
    "Tolerance",
    "changed_labels",
    "compare_outputs",
    "judge_candidate",
    "largest",
    "over_time",
    "paired_loss",
    "row_differences",
]
