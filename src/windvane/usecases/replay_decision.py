"""Judge a recorded decision again from its own facts and policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from windvane.core.acceptance import AcceptancePolicy, CandidateFacts, judge_candidate
from windvane.core.drift import DriftFacts, DriftPolicy, judge_drift
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.rollout import GateFacts, GatePolicy, judge_gate
from windvane.core.verdict import RateFacts, RatePolicy, Verdict, judge_rate


class NothingToReplay(WindvaneError):
    """A person's own act (apply, deploy, issue) has no judge."""

    code: ClassVar[str] = "DEC-101"
    hint = "replay a decision that the steward took"


@dataclass(frozen=True, slots=True)
class Replay:
    """The recorded verdict beside the one that today's code gives."""

    recorded: Verdict
    again: Verdict

    @property
    def same(self) -> bool:
        return self.recorded == self.again


def _first(judge: Callable[[Any, Any, float], tuple[Any, ...]]) -> Any:
    return lambda facts, policy, now: judge(facts, policy, now)[0]  # pyright: ignore


JUDGES: Mapping[str, tuple[type[Any], type[Any], Callable[[Any, Any, float], Verdict]]] = {
    "rollout.gate": (GateFacts, GatePolicy, judge_gate),
    "drift": (DriftFacts, DriftPolicy, _first(judge_drift)),
    "acceptance": (CandidateFacts, AcceptancePolicy, judge_candidate),
    "rate": (RateFacts, RatePolicy, _first(judge_rate)),
}


def replay_decision(decision: Decision) -> Replay:
    """Judge again; raises NothingToReplay for an act without a judge."""
    if decision.judge not in JUDGES:
        raise NothingToReplay(f"decision {decision.id} ({decision.action}) was not judged")
    facts_type, policy_type, judge = JUDGES[decision.judge]
    facts = msgspec.convert(decision.facts, facts_type)
    policy = msgspec.convert(decision.policy, policy_type)
    return Replay(decision.verdict, judge(facts, policy, decision.at))
