"""What went wrong, how grave it is, and what is done about it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class Severity(enum.StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Response(enum.StrEnum):
    """What a model's file allows to be done, least first; each includes those before it."""

    LOG = "log"
    NOTIFY = "notify"
    FALLBACK = "fallback"
    ROLLBACK = "rollback"


class Join(enum.StrEnum):
    """When a finding of one kind belongs to an open cause of another.

    SAME_ONSET: both began within one span of correlation. WHILE_OPEN: it is what the open one
    does to people. SAME_SOURCES: it concerns no other source than the open one.
    """

    SAME_ONSET = "same onset"
    WHILE_OPEN = "while open"
    SAME_SOURCES = "same sources"


@dataclass(frozen=True, slots=True)
class CauseKind:
    """A kind of cause: its severity, the file of its runbook, the moves that a response allows,
    and the kinds whose open cause its findings join."""

    name: str
    severity: Severity
    runbook: str
    moves: Mapping[Response, tuple[str, ...]] = field(
        default_factory=dict[Response, tuple[str, ...]]
    )
    joins: Mapping[str, Join] = field(default_factory=dict[str, Join])

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Cause:
    """What findings are about: ``subject`` is a source, a tenant, a version or the model."""

    kind: CauseKind
    subject: str

    @property
    def key(self) -> str:
        return f"{self.kind.name}:{self.subject}"


# Of a rollout's gate, which is no monitor: it judges a version, not a window.
CANARY = CauseKind("canary", Severity.HIGH, "canary-rolled-back.md")


def choose_response(kind: CauseKind, respond: Mapping[Severity, Response]) -> Response:
    """The model's own response for the cause's severity."""
    return respond[kind.severity]


def choose_moves(kind: CauseKind, response: Response) -> tuple[str, ...]:
    """Names of the moves that ``response`` allows against a cause of this kind."""
    return kind.moves.get(response, ())


def rank_suspects(sizes: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Suspect features, largest effect first; ties by name, so that a replay agrees."""
    return sorted(sizes, key=lambda item: (-item[1], item[0]))
