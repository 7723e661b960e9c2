"""A tenant or a declared segment that the challenger breaks, which all units together hide."""

from __future__ import annotations

import math
from typing import ClassVar

from windvane.core.rollout.facts import EVERYONE, FAILED, GateFacts
from windvane.core.rollout.guards.base import Guard
from windvane.core.rollout.policy import GatePolicy
from windvane.core.statistics import log_staged_evidence
from windvane.core.verdict import Outcome, Verdict

_MOST = 700.0


class Slices(Guard):
    """The mean of the slices' e-values, which is one whatever they share. Source: Vovk & Wang,
    arXiv 1912.06116."""

    title: ClassVar[str] = "Tenants and segments"
    weight: ClassVar[float] = 0.1

    def judge(self, facts: GateFacts, policy: GatePolicy, now: float) -> Verdict | None:
        del now
        names = sorted({
            name for one in facts.stages for name in one.first.get(FAILED, {}) if name != EVERYONE
        })  # fmt: skip
        if not names:
            return None
        counts = {name: facts.counts(FAILED, name) for name in names}
        logs = {name: min(log_staged_evidence(counts[name]), _MOST) for name in names}
        quiet = max(facts.slices - len(names), 0)  # of which nothing failed: no evidence, 1
        mean = (sum(math.exp(one) for one in logs.values()) + quiet) / (len(names) + quiet)
        worst = max(logs, key=lambda name: logs[name])
        hit, base = sum(c[0] for c in counts[worst]), sum(c[1] for c in counts[worst])
        kind, _, name = worst.partition(":")
        sides = (
            f"{kind} {name} has most errors: {hit} challenger units against {base} champion units, "
            f"evidence over {len(names) + quiet:,} slices {mean:.3g}"
        )
        level = math.exp(self.level(policy))
        if mean >= level:
            return Verdict(Outcome.FAIL, "ROL-307", f"{sides} >= {level:.3g}")
        return Verdict(Outcome.PASS, "ROL-307", f"{sides} < {level:.3g}")
