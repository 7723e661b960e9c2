"""What went wrong, how grave it is, and what is done about it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class CauseGroup(enum.StrEnum):
    """What harm a cause does: the keys of ``watch.respond`` in a model's file. Each kind of cause
    names its own."""

    BROKEN_INPUT = "broken_input"
    FAILING = "failing"
    QUALITY = "quality"
    DRIFT = "drift"
    TENANT = "tenant"
    ABSENCE = "absence"
    SLO = "slo"


class Response(enum.StrEnum):
    """What a model's file allows to be done. LOG: a recorded decision, as with each. DIGEST: it is
    listed in the digest. NOTIFY: an incident opens, and people are told as its severity asks.
    FALLBACK and ROLLBACK notify too, and make the moves that the kind of cause has for them."""

    LOG = "log"
    DIGEST = "digest"
    NOTIFY = "notify"
    FALLBACK = "fallback"
    ROLLBACK = "rollback"


class Join(enum.StrEnum):
    """When a finding of one kind belongs to an open cause of another.

    SAME_ONSET: both began within one span of correlation. WHILE_OPEN: it is what the open one
    does to people. SAME_SOURCES: it concerns no other source than the open one, or FOUND_TOGETHER:
    it concerns one of its sources, and was found in one window with it or shortly before, while
    that was going on already.
    """

    SAME_ONSET = "same onset"
    WHILE_OPEN = "while open"
    SAME_SOURCES = "same sources"
    FOUND_TOGETHER = "found together"


@dataclass(frozen=True, slots=True)
class CauseKind:
    """A kind of cause: the key of ``watch.respond`` that it ``responds_to`` (None: the file has
    no say), the file of its runbook, the moves that a response allows, and the kinds whose open
    cause its findings join. ``to_do`` is what people are asked to do first, with places for
    ``{subject}``, ``{incident}`` and ``{model}``; "" as of its group. ``hurts_if`` says what would
    have to happen before it hurts anybody, "" where it does already."""

    name: str
    responds_to: CauseGroup | None
    runbook: str
    moves: Mapping[Response, tuple[str, ...]] = field(
        default_factory=dict[Response, tuple[str, ...]]
    )
    joins: Mapping[str, Join] = field(default_factory=dict[str, Join])
    to_do: str = ""
    hurts_if: str = ""

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
CANARY = CauseKind("canary", None, "canary-rolled-back.md")


Responses = tuple[Response, ...]

DEFAULT_RESPONSES: Mapping[CauseGroup, Responses] = {
    CauseGroup.BROKEN_INPUT: (Response.ROLLBACK,),
    CauseGroup.FAILING: (Response.ROLLBACK,),
    CauseGroup.QUALITY: (Response.NOTIFY,),
    CauseGroup.DRIFT: (Response.DIGEST,),
    CauseGroup.TENANT: (Response.FALLBACK,),
    CauseGroup.ABSENCE: (Response.NOTIFY,),
    CauseGroup.SLO: (Response.NOTIFY,),
}

_TELLING = frozenset({Response.NOTIFY, Response.FALLBACK, Response.ROLLBACK})


def choose_responses(kind: CauseKind, respond: Mapping[CauseGroup, Responses]) -> Responses:
    """The model's own responses to a cause of this kind."""
    return (Response.NOTIFY,) if kind.responds_to is None else respond[kind.responds_to]


def opens_incident(responses: Responses) -> bool:
    return not _TELLING.isdisjoint(responses)


def choose_moves(kind: CauseKind, responses: Responses) -> tuple[str, ...]:
    """Names of the moves that ``responses`` allow against a cause of this kind, each once."""
    return tuple(dict.fromkeys(m for one in responses for m in kind.moves.get(one, ())))


def rank_suspects(sizes: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Suspect features, largest effect first; ties by name, so that a replay agrees."""
    return sorted(sizes, key=lambda item: (-item[1], item[0]))
