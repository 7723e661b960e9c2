"""Judge a recorded decision again from its own facts and policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import msgspec
import numpy as np

from windvane.core.acceptance import AcceptancePolicy, CandidateFacts, judge_candidate
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.rollout import GateFacts, GatePolicy, judge_gate
from windvane.core.verdict import Verdict
from windvane.usecases.import_labels import SAMPLED_LABELS
from windvane.usecases.monitors import MONITORS, Judge


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


GATE = Judge("rollout.gate", GateFacts, GatePolicy, judge_gate)
ACCEPTANCE = Judge("acceptance", CandidateFacts, AcceptancePolicy, judge_candidate)
JUDGES: Mapping[str, Judge] = {
    judge.name: judge for judge in (*(m.judge for m in MONITORS), GATE, ACCEPTANCE, SAMPLED_LABELS)
}


def replay_decision(decision: Decision) -> Replay:
    """Judge again; raises NothingToReplay for an act without a judge, and for what an earlier
    revision judged by facts that the present one has no more."""
    if decision.judge not in JUDGES:
        raise NothingToReplay(f"decision {decision.id} ({decision.action}) was not judged")
    judge = JUDGES[decision.judge]
    was, now = decision.policy.get("revision", 1), revision_of(decision.judge)
    revised = was != now
    try:
        facts = msgspec.convert(decision.facts, judge.facts, dec_hook=_counts)
        policy = msgspec.convert(decision.policy, judge.policy)
    except msgspec.ValidationError as error:
        if not revised:
            raise
        raise NothingToReplay(
            f"decision {decision.id} was judged by revision {was} of {decision.judge}, from other "
            f"facts than revision {now} has",
            hint="its facts, policy and verdict are shown as they were recorded",
        ) from error
    return Replay(decision.verdict, judge.run(facts, policy, decision.at), revised)


def revision_of(judge: str) -> int:
    """The judge's own revision: it grows whenever its code may judge the same otherwise."""
    defaults: dict[str, Any] = {f.name: f.default for f in fields(JUDGES[judge].policy)}
    return int(defaults["revision"])


def _counts(kind: Any, value: Any) -> Any:
    del kind
    return np.asarray(value, np.int64)
