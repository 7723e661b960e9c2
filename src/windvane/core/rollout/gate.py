"""The gate of a rollout: several guards, each valid at every look; the worst one decides."""

from __future__ import annotations

from windvane.core.rollout.facts import GateFacts
from windvane.core.rollout.guards import GUARDS
from windvane.core.rollout.policy import GatePolicy
from windvane.core.verdict import Outcome, Verdict, span_in_words, worst


def judge_gate(facts: GateFacts, policy: GatePolicy, now: float) -> Verdict:
    """FAIL rolls back, PASS moves on, HOLD and ERROR wait.

    A good challenger passes by evidence too: that what it fails is *below* what is allowed, not
    merely that nothing was seen.
    """
    said = [guard.judge(facts, policy, now) for guard in GUARDS]
    verdicts = [one for one in said if one is not None]
    failed = [one for one in verdicts if one.failed]
    if failed:
        return worst(failed)
    if facts.broken:
        sides = f"{', '.join(facts.broken)} broken: what happens now counts for neither arm"
        return Verdict(Outcome.HOLD, "ROL-306", sides, "sources that are whole again")
    soaked = now - facts.now.stage.started
    if soaked < policy.soak_s:
        sides = f"soaked {span_in_words(max(soaked, 0.0))} < {span_in_words(policy.soak_s)}"
        return Verdict(
            Outcome.HOLD, "ROL-304", sides, f"{span_in_words(policy.soak_s - soaked)} more"
        )
    return worst(verdicts)
