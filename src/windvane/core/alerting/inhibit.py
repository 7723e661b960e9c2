"""What nobody is told of while something graver explains it."""

from __future__ import annotations

from collections.abc import Sequence

from windvane.core.alerting.cause import CauseGroup, CauseKind

_EXPLAINS = frozenset({CauseGroup.FAILING, CauseGroup.SLO})
# Not a broken input, which may be why the model fails.
_EXPLAINED = frozenset({CauseGroup.DRIFT, CauseGroup.QUALITY, CauseGroup.TENANT})
_ENTIRELY = 0.95


def fails_entirely(failed: int, answered: int) -> bool:
    """Whether a model answers (next to) nothing of what it owes: what is judged of its answers
    then says nothing of its own."""
    owed = failed + answered
    return owed > 0 and failed >= _ENTIRELY * owed


def find_inhibitor(kind: CauseKind, others: Sequence[tuple[str, CauseKind]]) -> str:
    """Which of the ``others`` that are open, by incident, mutes a cause of this kind, "" for
    none."""
    if kind.responds_to not in _EXPLAINED:
        return ""
    return next((name for name, other in others if other.responds_to in _EXPLAINS), "")
