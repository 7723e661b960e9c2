"""A recorded decision judged again by today's code, as ``windvane replay-decision`` does."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.journal import Decision
from windvane.core.verdict import Verdict
from windvane.usecases.replay_decision import JUDGES, replay_decision


@dataclass(frozen=True, slots=True)
class Replayed:
    """``again`` is what today's code says; None where it cannot read the record."""

    same: bool
    again: Verdict | None
    problem: str


def replayed(decision: Decision) -> Replayed | None:
    """None for an act without a judge: a person's own, or a rule's."""
    if decision.judge not in JUDGES:
        return None
    try:
        done = replay_decision(decision)
    except Exception as error:
        return Replayed(False, None, f"{type(error).__name__}: {error}")
    return Replayed(done.same, done.again, "")
