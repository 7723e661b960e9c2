"""Causes, severities and responses."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class CauseKind(enum.StrEnum):
    """What kind of thing went wrong; each has a runbook."""

    FEED = "feed"
    CANARY = "canary"
    TENANT = "tenant"
    ERRORS = "errors"
    OUTCOMES = "outcomes"
    TRAINING_DRIFT = "training_drift"


class Severity(enum.StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Response(enum.StrEnum):
    """What is done, least first; each includes those before it."""

    LOG = "log"
    NOTIFY = "notify"
    FALLBACK = "fallback"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause is one incident: alarms with the same key join the open one."""

    kind: CauseKind
    subject: str

    @property
    def key(self) -> str:
        return f"{self.kind.value}:{self.subject}"


_SEVERITY = {
    CauseKind.TRAINING_DRIFT: Severity.LOW,
    CauseKind.TENANT: Severity.MEDIUM,
    CauseKind.OUTCOMES: Severity.MEDIUM,
    CauseKind.FEED: Severity.HIGH,
    CauseKind.CANARY: Severity.HIGH,
    CauseKind.ERRORS: Severity.HIGH,
}


def severity_of(kind: CauseKind) -> Severity:
    """Training drift harms nobody; a tenant hurts itself; a feed or a version hurts everyone."""
    return _SEVERITY[kind]


def choose_response(kind: CauseKind, respond: Mapping[Severity, Response]) -> Response:
    """The model's own response for the cause's severity."""
    return respond[severity_of(kind)]


def cause_of_view(view: str) -> Cause:
    return Cause(CauseKind.FEED, view)


def rank_suspects(sizes: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Suspect features, largest effect first; ties by name, so that a replay agrees."""
    return sorted(sizes, key=lambda item: (-item[1], item[0]))
