"""The canary gate: several guards, each anytime-valid, worst one decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from windvane.core.rollout.statistics import log_evidence, mean_difference_bounds
from windvane.core.verdict import Outcome, Verdict, log_beta_evidence, worst

_GUARDS = 4.0
_MOST_UNITS = 10**8
_SMALLEST = 1e-6  # a limit of none or all allows no evidence: this is as good as that


@dataclass(frozen=True, slots=True)
class StageErrors:
    """Units with their first failure during one stage, by arm, and the stage's share."""

    challenger: int
    champion: int
    share: float


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """Losses of one arm against known outcomes: count, sum, sum of squares."""

    scored: int = 0
    loss: float = 0.0
    loss_squares: float = 0.0


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What happened since the rollout began; units are counted, not requests.

    ``challenger_units``: distinct units that met the challenger; ``failed_units`` those of
    them with at least one failure; ``errors`` and ``slow``: first events a stage.
    """

    started: float
    stage_started: float
    challenger_units: int
    failed_units: int
    errors: tuple[StageErrors, ...]
    slow: tuple[StageErrors, ...]
    challenger: ArmFacts = ArmFacts()
    champion: ArmFacts = ArmFacts()


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """``alpha`` is shared by the guards (Bonferroni); ``max_error_rate`` is a share of units;
    ``max_loss_increase`` a rise of the mean loss; ``soak_s`` the least time in a stage;
    ``outcomes``: whether the truth is ever told, so that losses can be compared."""

    alpha: float = 0.05
    soak_s: float = 0.0
    max_error_rate: float = 0.05
    max_loss_increase: float = 0.02
    loss_best_at: float = 500.0
    min_units: int = 20
    outcomes: bool = True
    revision: int = 1


def judge_gate(facts: GateFacts, policy: GatePolicy, now: float) -> Verdict:
    """FAIL rolls back, PASS moves on, HOLD and ERROR wait.

    A good challenger passes by evidence too: that its error rate is *below* the allowed
    one, not merely that nothing was seen.
    """
    level = math.log(_GUARDS / policy.alpha)
    guards = [
        _relative("errors", "ROL-301", facts.errors, level),
        _absolute(facts, policy, level),
        _relative("slow answers", "ROL-303", facts.slow, level),
        *([_loss(facts, policy)] if policy.outcomes else []),
    ]
    failed = [g for g in guards if g.failed]
    if failed:
        return worst(failed)
    soaked = now - facts.stage_started
    if soaked < policy.soak_s:
        message = f"soaked {_span(soaked)} < {_span(policy.soak_s)}"
        return Verdict(Outcome.HOLD, "ROL-304", message, f"{_span(policy.soak_s - soaked)} more")
    return worst(guards)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def _relative(what: str, code: str, stages: tuple[StageErrors, ...], level: float) -> Verdict:
    counts = [(s.challenger, s.champion, s.share) for s in stages if s.challenger + s.champion]
    log_e = log_evidence(counts, 1.0) if counts else 0.0
    hit, base = sum(c[0] for c in counts), sum(c[1] for c in counts)
    share = stages[-1].share if stages else 0.0
    sides = (
        f"{what}: {hit} challenger units against {base} champion units at {share:.0%} share, "
        f"evidence {math.exp(min(log_e, 50)):.3g}"
    )
    if log_e >= level:
        return Verdict(Outcome.FAIL, code, f"{sides} >= {math.exp(level):.3g}")
    return Verdict(Outcome.PASS, code, f"{sides} < {math.exp(level):.3g}")


def _absolute(facts: GateFacts, policy: GatePolicy, level: float) -> Verdict:
    n, bad, limit = facts.challenger_units, facts.failed_units, policy.max_error_rate
    rate = bad / n if n else 0.0
    sides = f"error rate {rate:.1%} of units, {limit:.1%} allowed, n={n:,}"
    if n < policy.min_units:
        return Verdict(Outcome.HOLD, "ROL-302", sides, f"{policy.min_units - n} units")
    limit = min(max(limit, _SMALLEST), 1.0 - _SMALLEST)
    if log_beta_evidence(bad, n - bad, limit, 1.0, 1.0) >= level:
        return Verdict(Outcome.FAIL, "ROL-302", sides)
    wanted = math.log(1.0 / policy.alpha)
    if _below(n, bad, limit) >= wanted:
        return Verdict(Outcome.PASS, "ROL-302", sides)
    more = n
    while more < _MOST_UNITS and _below(n + more, bad, limit) < wanted:
        more *= 2
    low, high = 0, more
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _below(n + middle, bad, limit) >= wanted else (middle, high)
    return Verdict(Outcome.HOLD, "ROL-302", sides, f"{high:,} units without a failure")


def _below(n: int, bad: int, limit: float) -> float:
    """Log evidence that the failing share is under ``limit``."""
    return log_beta_evidence(n - bad, bad, 1.0 - limit, 1.0, 1.0)


def _loss(facts: GateFacts, policy: GatePolicy) -> Verdict:
    c, p = facts.challenger, facts.champion
    if min(c.scored, p.scored) < policy.min_units:
        message = (
            f"{c.scored} challenger and {p.scored:,} champion outcomes, {policy.min_units} needed"
        )
        short = [
            f"{policy.min_units - arm.scored} {name} outcomes"
            for name, arm in (("challenger", c), ("champion", p))
            if arm.scored < policy.min_units
        ]
        return Verdict(Outcome.HOLD, "ROL-305", message, " and ".join(short))
    low, high = mean_difference_bounds(
        (c.scored, c.loss, c.loss_squares),
        (p.scored, p.loss, p.loss_squares),
        policy.alpha / _GUARDS,
        policy.loss_best_at,
    )
    allowed = policy.max_loss_increase
    sides = f"loss rose by {low:+.3f} to {high:+.3f}, {allowed:+.3f} allowed, n={c.scored:,}"
    if low > allowed:
        return Verdict(Outcome.FAIL, "ROL-305", sides)
    if high < allowed:
        return Verdict(Outcome.PASS, "ROL-305", sides)
    # Radii shrink like one over the root of the count, so this is what it would take.
    half, gap = (high - low) / 2.0, abs((low + high) / 2.0 - allowed)
    grow = (half / gap) ** 2 - 1.0 if gap > 0.0 else math.inf
    n = min(c.scored, p.scored)
    more = min(max(grow * n, 1.0), float(_MOST_UNITS))
    return Verdict(Outcome.HOLD, "ROL-305", sides, f"about {more:,.0f} outcomes of each")
