"""What should have come and did not."""

from windvane.core.absence.judge import (
    AbsenceFacts,
    AbsencePolicy,
    AbsenceState,
    LastDay,
    judge_absence,
)
from windvane.core.absence.profile import HourProfile, OpenHour

__all__ = [
    "AbsenceFacts",
    "AbsencePolicy",
    "AbsenceState",
    "HourProfile",
    "LastDay",
    "OpenHour",
    "judge_absence",
]
