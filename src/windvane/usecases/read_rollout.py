"""How a rollout stands: its stages, what each guard says, and what it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.rollout import GuardVerdict, StageFacts, conclude, judge_guards
from windvane.core.verdict import Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog
from windvane.ports.rollouts import RolloutRecord
from windvane.usecases.advance_rollout import count_losses, gate_facts, left_out
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.record_rollout import record_of
from windvane.usecases.rollout_policy import gate_policy


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """Of the rollout that is under way ``at`` (s): its ``record`` with the ``stages`` that began,
    what each guard says, and the ``verdict`` of all; ``next_share`` is what a pass
    gives, 1 for everyone."""

    record: RolloutRecord
    at: float
    share: float
    next_share: float
    paused: str
    stages: Sequence[StageFacts]
    guards: Sequence[GuardVerdict]
    verdict: Verdict


def read_rollout(
    store: ControlStore, log: EventLog, clock: Clock, model: str
) -> RolloutStatus | None:
    """Judged now, as the steward would; None where nothing is rolling out. Raises UnknownName."""
    now = clock.now()
    with store.read() as tx:
        file = read_model_file(tx.model(model).text)
        live = tx.deployment(model)
        if live is None or not live.challenger:
            return None
        without = left_out(tx, live, live.rollout_started)
    scored = count_losses(log, file.contract, model, live.rollout_started, now, without)
    with store.read() as tx:
        facts = gate_facts(tx, file, live, scored)
        record = record_of(tx, file, live)
    policy = gate_policy(file)
    guards = judge_guards(facts, policy, now)
    return RolloutStatus(
        record, now, live.share, facts.next_share, live.paused, facts.stages,
        guards, conclude(guards, facts, policy, now),
    )  # fmt: skip
