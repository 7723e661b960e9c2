"""From findings to the one thing a person is told, and what is done about it."""

from windvane.core.alerting.cause import (
    CANARY,
    DEFAULT_RESPONSES,
    Cause,
    CauseGroup,
    CauseKind,
    Join,
    Response,
    Responses,
    choose_moves,
    choose_responses,
    opens_incident,
    rank_suspects,
)
from windvane.core.alerting.correlate import CauseChange, OpenCause, cause_key_of, correlate
from windvane.core.alerting.finding import Finding
from windvane.core.alerting.severity import (
    GRADES,
    Severity,
    Tier,
    choose_severity,
    gravest,
    is_unusual,
)

__all__ = [
    "CANARY",
    "DEFAULT_RESPONSES",
    "GRADES",
    "Cause",
    "CauseChange",
    "CauseGroup",
    "CauseKind",
    "Finding",
    "Join",
    "OpenCause",
    "Response",
    "Responses",
    "Severity",
    "Tier",
    "cause_key_of",
    "choose_moves",
    "choose_responses",
    "choose_severity",
    "correlate",
    "gravest",
    "is_unusual",
    "opens_incident",
    "rank_suspects",
]
