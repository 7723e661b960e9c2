"""From alarms to the one thing a person is told, and what is done about it."""

from windvane.core.alerting.incident import (
    Cause,
    CauseKind,
    Response,
    Severity,
    cause_of_view,
    choose_response,
    rank_suspects,
    severity_of,
)

__all__ = [
    "Cause",
    "CauseKind",
    "Response",
    "Severity",
    "cause_of_view",
    "choose_response",
    "rank_suspects",
    "severity_of",
]
