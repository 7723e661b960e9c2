"""May this candidate be registered for serving?"""

from windvane.core.acceptance.judge import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    compare_outputs,
    judge_candidate,
)

__all__ = [
    "AcceptancePolicy",
    "CandidateFacts",
    "ParityReport",
    "compare_outputs",
    "judge_candidate",
]
