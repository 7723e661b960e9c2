"""How grave a finding is, and by that whom it wakes and when.

One table, by what kind of harm it is and how much the model matters. A page at night is for harm
only: answers that are wrong or missing, a broken objective, or a critical model's broken input.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windvane.core.alerting.cause import CauseGroup, CauseKind


class Severity(enum.StrEnum):
    """HIGH pages at once, MEDIUM is for office hours, LOW for the digest."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Tier(enum.StrEnum):
    """How much a model matters, as its file says."""

    CRITICAL = "critical"
    STANDARD = "standard"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Grade:
    """``usual`` where nobody measured the harm, ``most`` whatever was measured."""

    usual: Severity
    most: Severity


_PAGE = Grade(Severity.HIGH, Severity.HIGH)
_MAY_PAGE = Grade(Severity.MEDIUM, Severity.HIGH)
_OFFICE = Grade(Severity.MEDIUM, Severity.MEDIUM)
_MAY_OFFICE = Grade(Severity.LOW, Severity.MEDIUM)
_DIGEST = Grade(Severity.LOW, Severity.LOW)


def _row(critical: Grade, standard: Grade, low: Grade) -> Mapping[Tier, Grade]:
    return {Tier.CRITICAL: critical, Tier.STANDARD: standard, Tier.LOW: low}


GRADES: Mapping[CauseGroup | None, Mapping[Tier, Grade]] = {
    CauseGroup.BROKEN_INPUT: _row(_PAGE, _OFFICE, _MAY_OFFICE),
    CauseGroup.FAILING: _row(_PAGE, _PAGE, _MAY_PAGE),
    CauseGroup.QUALITY: _row(_PAGE, _PAGE, _MAY_PAGE),
    CauseGroup.DRIFT: _row(_MAY_OFFICE, _MAY_OFFICE, _DIGEST),
    CauseGroup.TENANT: _row(_MAY_PAGE, _OFFICE, _MAY_OFFICE),
    CauseGroup.ABSENCE: _row(_MAY_PAGE, _OFFICE, _MAY_OFFICE),
    CauseGroup.SLO: _row(_PAGE, _PAGE, _MAY_PAGE),
    # Of a rollout's gate: what did harm answers no more.
    None: _row(_OFFICE, _OFFICE, _OFFICE),
}


def choose_severity(kind: CauseKind, tier: Tier, measured: Severity | None = None) -> Severity:
    """How grave a cause of this kind is for a model of this tier. ``measured`` is what a monitor
    says that knows the harm; it cannot make a page of what harms nobody."""
    grade = GRADES[kind.responds_to][tier]
    return grade.usual if measured is None else min(measured, grade.most, key=_RANKS.__getitem__)


def is_unusual(kind: CauseKind, tier: Tier, measured: Severity | None) -> bool:
    """Whether a monitor measured more harm than causes of this kind usually do."""
    return choose_severity(kind, tier, measured).rank > choose_severity(kind, tier).rank


def gravest(severities: Iterable[Severity]) -> Severity:
    """The highest of ``severities``, LOW of none."""
    return max(severities, key=_RANKS.__getitem__, default=Severity.LOW)
