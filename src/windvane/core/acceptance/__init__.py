"""May this candidate be registered for serving?"""

from windvane.core.acceptance.judge import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    judge_candidate,
)

__all__ = ["AcceptancePolicy", "CandidateFacts", "ParityReport", "judge_candidate"]
