"""The gate of a rollout: several guards, each valid at every look; the worst one decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.rollout.facts import GateFacts
from windvane.core.rollout.guards import GUARDS
from windvane.core.rollout.policy import GatePolicy
from windvane.core.verdict import Outcome, Verdict, span_in_words, worst


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    """What a guard, by its ``title``, concluded; ``log_evidence`` of harm, with the ``log_level``
    from which it takes the challenger back, where there is one number of it."""

    title: str
    verdict: Verdict
    log_evidence: float | None
    log_level: float


def judge_guards(facts: GateFacts, policy: GatePolicy, now: float) -> list[GuardVerdict]:
    """What each guard that has something to say concludes."""
    said = [(guard, guard.judge(facts, policy, now)) for guard in GUARDS]
    return [
        GuardVerdict(guard.title, verdict, guard.evidence(facts), guard.level(policy))
        for guard, verdict in said
        if verdict is not None
    ]


def judge_gate(facts: GateFacts, policy: GatePolicy, now: float) -> Verdict:
    """FAIL rolls back, PASS moves on, HOLD and ERROR wait.

    A good challenger passes by evidence too: that what it fails is *below* what is allowed, not
    merely that nothing was seen.
    """
    return conclude(judge_guards(facts, policy, now), facts, policy, now)


def conclude(
    guards: Sequence[GuardVerdict], facts: GateFacts, policy: GatePolicy, now: float
) -> Verdict:
    """The gate's verdict, from what its ``guards`` said of the same facts."""
    verdicts = [one.verdict for one in guards]
    failed = [one for one in verdicts if one.failed]
    if failed:
        return worst(failed)
    if facts.paused:
        sides = f"paused by {facts.paused} at {facts.now.stage.share:.0%}"
        return Verdict(Outcome.HOLD, "ROL-308", sides, "somebody who resumes it")
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
