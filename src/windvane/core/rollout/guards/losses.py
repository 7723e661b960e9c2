"""What answers cost against the outcomes that came."""

from __future__ import annotations

import math
from typing import ClassVar

from windvane.core.rollout.facts import ArmLosses, GateFacts
from windvane.core.rollout.guards.base import MOST_UNITS, Guard
from windvane.core.rollout.policy import GatePolicy
from windvane.core.statistics import bounded_mean_radius
from windvane.core.verdict import Outcome, Verdict


class Losses(Guard):
    """The difference of units' mean losses, against a part of what the champion gains over the best
    constant: where outcomes are rare, a loss is small whatever a version answers."""

    title: ClassVar[str] = "Loss against outcomes"
    weight: ClassVar[float] = 0.1

    def judge(self, facts: GateFacts, policy: GatePolicy, now: float) -> Verdict | None:
        del now
        if not policy.outcomes:
            return None
        mine, others = facts.challenger, facts.champion
        if min(mine.units, others.units) < policy.min_units:
            return _too_few(mine, others, policy.min_units)
        alpha = self.weight * policy.alpha / 2.0
        (mean, radius), (base, base_radius) = (
            _mean(arm, facts.most_loss, alpha) for arm in (mine, others)
        )
        low, high = mean - base - radius - base_radius, mean - base + radius + base_radius
        gain = others.naive / others.units - base
        allowed = max(policy.loss_of_gain * gain, policy.loss_share * base, 1e-12)
        sides = (
            f"loss rose by {low:+.3g} to {high:+.3g}, {allowed:+.3g} allowed beside the champion's "
            f"{base:.3g}, n={mine.units:,} units"
        )
        if low > allowed:
            return Verdict(Outcome.FAIL, "ROL-305", sides)
        wider = allowed / math.sqrt(facts.next_share)  # fewer units would be hurt
        if high < wider:
            return Verdict(Outcome.PASS, "ROL-305", sides)
        # Radii shrink like one over the root of the count, so this is what it would take.
        half, gap = radius + base_radius, abs(mean - base - wider)
        grow = (half / gap) ** 2 - 1.0 if gap > 0.0 else math.inf
        few = min(mine.units, others.units)
        more = min(max(grow * few, 1.0), float(MOST_UNITS))
        return Verdict(Outcome.HOLD, "ROL-305", sides, f"about {more:,.0f} units with outcomes")


def _mean(arm: ArmLosses, most: float, alpha: float) -> tuple[float, float]:
    mean = arm.loss / arm.units
    centred = max(arm.loss_squares - arm.units * mean * mean, 0.0)
    return mean, bounded_mean_radius(arm.units, centred, most, alpha)


def _too_few(mine: ArmLosses, others: ArmLosses, needed: int) -> Verdict:
    sides = (
        f"{mine.units:,} challenger and {others.units:,} champion units with outcomes, "
        f"{needed} needed"
    )
    short = [
        f"{needed - arm.units} {name} units with outcomes"
        for name, arm in (("challenger", mine), ("champion", others))
        if arm.units < needed
    ]
    return Verdict(Outcome.HOLD, "ROL-305", sides, " and ".join(short))
