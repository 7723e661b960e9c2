"""How good were the answers, by their task's own metric?"""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.task import Quality, metric_name
from windvane.core.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class OutcomePolicy:
    """``floor`` is the least good value of the metric; ``alpha`` the level of its bounds."""

    floor: float
    alpha: float = 0.01
    min_rows: int = 50
    revision: int = 2


def judge_outcomes(facts: Quality, policy: OutcomePolicy, now: float) -> Verdict:
    """FAIL only when the metric is on the wrong side of the floor beyond its sampling error."""
    del now
    if facts.missing:
        return Verdict(Outcome.HOLD, "OUT-402", f"n={facts.rows:,}", facts.missing)
    if facts.rows < policy.min_rows:
        message = f"{facts.rows:,} outcomes, {policy.min_rows:,} needed"
        return Verdict(
            Outcome.HOLD, "OUT-402", message, f"{policy.min_rows - facts.rows:,} outcomes"
        )
    name = metric_name(facts.metric)
    bounds = f"({facts.lower:.3f} to {facts.upper:.3f})"
    word = "floor" if facts.larger_is_better else "ceiling"
    sides = f"{name} {facts.value:.3f} {bounds}, {word} {policy.floor:.3f}, n={facts.rows:,}"
    if facts.worse_than(policy.floor):
        return Verdict(Outcome.FAIL, "OUT-401", sides)
    return Verdict(Outcome.PASS, "OUT-400", sides)
