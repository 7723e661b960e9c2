"""Judge a recorded decision again from its own facts and policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import msgspec
import numpy as np

from windvane.core.acceptance import AcceptancePolicy, CandidateFacts, judge_candidate
from windvane.core.drift import DriftFacts, DriftPolicy, judge_drift
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.outcomes import OutcomePolicy, judge_outcomes
from windvane.core.rollout import GateFacts, GatePolicy, judge_gate
from windvane.core.task import Quality
from windvane.core.verdict import RateFacts, RatePolicy, Verdict, judge_rate


class NothingToReplay(WindvaneError):
    """A person's own act (apply, deploy, issue) has no judge."""

    code: ClassVar[str] = "DEC-101"
    hint = "replay a decision that the steward took"


@dataclass(frozen=True, slots=True)
class Replay:
    """The recorded verdict beside the one that today's code gives.

    ``revised``: the judge is of another revision by now, so a change is no surprise.
    """

    recorded: Verdict
    again: Verdict
    revised: bool = False

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
    "outcomes": (Quality, OutcomePolicy, judge_outcomes),
}


def replay_decision(decision: Decision) -> Replay:
    """Judge again; raises NothingToReplay for an act without a judge."""
    if decision.judge not in JUDGES:
        raise NothingToReplay(f"decision {decision.id} ({decision.action}) was not judged")
    facts_type, policy_type, judge = JUDGES[decision.judge]
    facts = msgspec.convert(decision.facts, facts_type, dec_hook=_counts)
    policy = msgspec.convert(decision.policy, policy_type)
    revised = decision.policy.get("revision", 1) != revision_of(decision.judge)
    return Replay(decision.verdict, judge(facts, policy, decision.at), revised)


def revision_of(judge: str) -> int:
    """The judge's own revision: it grows whenever its code may judge the same otherwise."""
    defaults: dict[str, Any] = {f.name: f.default for f in fields(JUDGES[judge][1])}
    return int(defaults["revision"])


def _counts(kind: Any, value: Any) -> Any:
    del kind
    return np.asarray(value, np.int64)
