"""From findings to the one thing a person is told, and what is done about it."""

from windvane.core.alerting.cause import (
    CANARY,
    Cause,
    CauseKind,
    Join,
    Response,
    Severity,
    choose_moves,
    choose_response,
    rank_suspects,
)
from windvane.core.alerting.correlate import CauseChange, OpenCause, cause_key_of, correlate
from windvane.core.alerting.finding import Finding

__all__ = [
    "CANARY",
    "Cause",
    "CauseChange",
    "CauseKind",
    "Finding",
    "Join",
    "OpenCause",
    "Response",
    "Severity",
    "cause_key_of",
    "choose_moves",
    "choose_response",
    "correlate",
    "rank_suspects",
]
