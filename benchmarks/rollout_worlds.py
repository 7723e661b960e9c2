"""Worlds that rollouts happen in: who sends how much, what fails, and how a rollout is driven.

A rollout is driven minute by minute by the product's own gate. What happened to units is kept as
the control store keeps it (`UnitLedger`, which a test holds against the store): the first request
of a unit in a stage, and its first failure in the whole rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from windvane.core.rollout import (
    EVERYONE,
    FAILED,
    SLOW,
    ArmCounts,
    ArmLosses,
    FirstEvents,
    GateFacts,
    GatePolicy,
    Stage,
    StageFacts,
    judge_gate,
    tenant_slice,
)
from windvane.core.routing import Arm
from windvane.core.verdict import Outcome
from windvane.usecases.advance_rollout import ArmScores, compared_losses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
STEPS = (0.05, 0.25, 0.5)
A_MINUTE = 200
MINUTES = 180


@dataclass(frozen=True, slots=True)
class World:
    """``units`` are who sends ``a_minute`` requests, by activity of ``tail`` (0: all alike, else
    the exponent of a Pareto law). ``base``: the share of requests that fail on either version,
    ``worse`` how many times as many on the challenger; ``always``: units that always fail, on
    either. ``rates``: of tenants, in place of ``base``. ``burst``: minutes in which a third of all
    fails on both. ``slower``: how many times as long the challenger takes. ``broken``: the tenant
    that the challenger fails half of the requests of. ``unanswered``: of the challenger's requests,
    which no fallback answers. ``positives``: the share of units whose outcome is one, known at
    once; None where no outcome ever comes. ``noise``: what the challenger adds to a log-odds,
    ``constant`` whether it says 0 to everybody. ``steps`` of the file, ``edited`` what they are
    after half an hour; ``stops``: the minute from which on nobody sends anything.
    """

    units: int = 20_000
    a_minute: int = A_MINUTE
    tail: float = 0.0
    base: float = 0.02
    worse: float = 1.0
    always: float = 0.0
    rates: tuple[float, ...] = ()
    burst: tuple[int, int] = (0, 0)
    slower: float = 1.0
    broken: int = -1
    unanswered: float = 0.0
    positives: float | None = None
    noise: float = 0.0
    constant: bool = False
    steps: tuple[float, ...] = STEPS
    edited: tuple[float, ...] = ()
    stops: int = 10**9


class UnitLedger:
    """First requests of a stage and first events of a rollout."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, int]] = set()
        self.exposed: dict[tuple[int, bool], list[int]] = {}
        self.spent: set[tuple[str, int]] = set()
        self.first: dict[tuple[int, str, str], list[int]] = {}
        self.tenants: set[int] = set()

    def add(
        self, step: int, unit: int, tenant: int, challenger: bool, failed: bool, slow: bool,
        kept: bool = True,
    ) -> None:  # fmt: skip
        """``kept``: whether the unit is in the sample of which first requests are kept."""
        self.tenants.add(tenant)
        if kept and (step, unit) not in self.seen:
            self.seen.add((step, unit))
            held = self.exposed.setdefault((step, challenger), [0, 0, 0])
            held[0] += 1
            held[1] += failed
            held[2] += slow
        for what, so in ((FAILED, failed), (SLOW, slow)):
            if so and (what, unit) not in self.spent:
                self.spent.add((what, unit))
                for of in (EVERYONE, tenant_slice(str(tenant))):
                    arms = self.first.setdefault((step, what, of), [0, 0])
                    arms[0 if challenger else 1] += 1

    def stages(self, stages: Sequence[Stage]) -> tuple[StageFacts, ...]:
        out: list[StageFacts] = []
        for step, stage in enumerate(stages):
            first: dict[str, dict[str, FirstEvents]] = {}
            for (at, what, of), (mine, others) in self.first.items():
                if at == step:
                    first.setdefault(what, {})[of] = FirstEvents(mine, others)
            mine, others = (
                ArmCounts(*self.exposed.get((step, arm), (0, 0, 0))) for arm in (True, False)
            )
            out.append(StageFacts(stage, mine, others, first))
        return tuple(out)


class Losses:
    """Brier scores of the units that each arm met: rows of a unit are alike, and count once."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.rate = 0.0 if world.positives is None else world.positives
        odds = np.log(max(self.rate, 1e-9) / (1.0 - self.rate)) + rng.normal(0.0, 1.0, world.units)
        said = 1.0 / (1.0 + np.exp(-odds))
        label = rng.random(world.units) < said
        other = 1.0 / (1.0 + np.exp(-(odds + rng.normal(0.0, world.noise, world.units))))
        other = np.zeros(world.units) if world.constant else other
        self.of = {False: (said - label) ** 2, True: (other - label) ** 2}
        self.naive = (label - label.mean()) ** 2
        self.units = world.units
        self.met: dict[tuple[int, bool], Flags] = {}
        self.sums: dict[tuple[int, bool], Floats] = {}

    def add(self, step: int, units: Ints, challenger: Flags) -> None:
        for arm in (False, True):
            met = self.met.setdefault((step, arm), np.zeros(self.units, bool))
            mine = np.unique(units[challenger == arm])
            fresh = mine[~met[mine]]
            met[fresh] = True
            loss = self.of[arm][fresh]
            held = self.sums.setdefault((step, arm), np.zeros(4))
            held += (len(fresh), loss.sum(), (loss**2).sum(), self.naive[fresh].sum())

    def arms(self) -> tuple[ArmLosses, ArmLosses]:
        """Of the challenger and the champion, as the product weighs them."""
        return compared_losses([
            ArmScores(
                Arm.CHALLENGER if arm else Arm.CHAMPION, "", step,
                ArmLosses(int(one[0]), float(one[1]), float(one[2]), float(one[3])), 1.0,
            )
            for (step, arm), one in self.sums.items()
        ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Driven:
    """How a rollout ended (``rolled back``, ``promoted`` or ``held``), in which minute and step,
    and by which verdict."""

    end: str
    minute: int
    step: int
    code: str = ""


@dataclass
class Requests:
    """Who sends when, and what becomes of it on either arm."""

    world: World
    rng: np.random.Generator
    weights: Floats = field(init=False)
    tenants: Ints = field(init=False)
    buckets: Floats = field(init=False)
    bad: NDArray[np.bool_] = field(init=False)
    sampled: Floats = field(init=False)

    def __post_init__(self) -> None:
        world, rng = self.world, self.rng
        n = world.units
        weights = np.ones(n) if not world.tail else rng.pareto(world.tail, n) + 1.0
        self.weights = np.cumsum(weights / weights.sum())
        self.tenants = rng.integers(0, max(len(world.rates), 5), n)
        self.buckets = rng.random(n)
        self.bad = rng.random(n) < world.always
        self.sampled = rng.random(n)

    def minute(
        self, at: int, share: float
    ) -> tuple[Ints, NDArray[np.bool_], NDArray[np.bool_], Floats]:
        """(units, on the challenger, failed, latency in ms)."""
        world, rng = self.world, self.rng
        if at >= world.stops:
            none = np.zeros(0)
            return none.astype(np.int64), none.astype(bool), none.astype(bool), none
        many = rng.poisson(world.a_minute)
        units = np.searchsorted(self.weights, rng.random(many)).clip(max=world.units - 1)
        challenger = self.buckets[units] < share
        rate = np.full(many, world.base)
        if world.rates:
            rate = np.array(world.rates)[self.tenants[units]]
        rate = np.where(challenger, np.minimum(rate * world.worse, 1.0), rate)
        if world.burst[0] <= at < world.burst[1]:
            rate = np.maximum(rate, 0.33)
        if world.broken >= 0:
            rate = np.where(challenger & (self.tenants[units] == world.broken), 0.5, rate)
        rate = np.where(challenger, np.maximum(rate, world.unanswered), rate)
        failed = (rng.random(many) < rate) | self.bad[units]
        latency = rng.lognormal(2.0, 0.5, many) * np.where(challenger, world.slower, 1.0)
        return units, challenger, failed, latency


P99_MS = float(np.exp(2.0 + 0.5 * 2.326))
SLOW_MS = 2.0 * P99_MS


def _stage(share: float, at: float) -> Stage:
    return Stage(share, at, SLOW_MS * 1e3, min(1.0, 4.0 * share / (1.0 - share)))


def drive(world: World, seed: int, policy: GatePolicy, minutes: int = MINUTES) -> Driven:
    """One rollout, judged each minute."""
    rng = np.random.default_rng(seed)
    sent, ledger, losses = Requests(world, rng), UnitLedger(), Losses(world, rng)
    stages = [_stage(world.steps[0], 0.0)]
    for at in range(minutes):
        steps = world.edited if world.edited and at >= 30 else world.steps
        step, share = len(stages) - 1, stages[-1].share
        units, challenger, failed, latency = sent.minute(at, share)
        losses.add(step, units, challenger)
        for unit, on, bad, slow in zip(
            units.tolist(), challenger.tolist(), failed.tolist(), (latency > SLOW_MS).tolist(),
            strict=True,
        ):  # fmt: skip
            kept = on or bool(sent.sampled[unit] < stages[-1].sample)
            ledger.add(step, unit, int(sent.tenants[unit]), on, bad, slow, kept)
        now = (at + 1) * 60.0
        after = next((one for one in steps if one > share), 1.0)
        facts = GateFacts(ledger.stages(stages), after, len(ledger.tenants), *losses.arms())
        verdict = judge_gate(facts, policy, now)
        if verdict.outcome is Outcome.FAIL:
            return Driven("rolled back", at + 1, step, verdict.code)
        if verdict.outcome is not Outcome.PASS:
            continue
        if after >= 1.0:
            return Driven("promoted", at + 1, step)
        stages.append(_stage(after, now))
    return Driven("held", minutes, len(stages) - 1, verdict.code)


PEER_SHARE = 0.1
PEERS = ("peeking z-test", "3 bad minutes", "Mann-Whitney")
_Z, _BAD_RATE, _BAD_MINUTES, _EVERY, _MW_P = 1.96, 0.05, 3, 10, 0.02


def peers(world: World, seed: int, minutes: int = MINUTES) -> dict[str, int | None]:
    """By peer, the minute in which it would have rolled back a canary with a tenth of the units;
    None for never. By requests: a z-test of two shares at each minute; a share of errors over 5% in
    three minutes in a row, as Argo Rollouts and Flagger have it; and, every ten minutes, a
    Mann-Whitney test of the errors by minute, as Kayenta's judge does it."""
    sent = Requests(world, np.random.default_rng(seed))
    told: dict[str, int | None] = dict.fromkeys(PEERS)
    bad = np.zeros((2, minutes))
    total = np.zeros((2, minutes))
    for at in range(minutes):
        _, challenger, failed, _ = sent.minute(at, PEER_SHARE)
        for arm in (0, 1):
            mine = challenger == bool(arm)
            bad[arm, at], total[arm, at] = failed[mine].sum(), mine.sum()
        flags = dict.fromkeys(PEERS, False)
        (k0, k1), (n0, n1) = bad[:, : at + 1].sum(axis=1), total[:, : at + 1].sum(axis=1)
        pooled = (k0 + k1) / max(n0 + n1, 1.0)
        spread = np.sqrt(pooled * (1.0 - pooled) * (1.0 / max(n0, 1.0) + 1.0 / max(n1, 1.0)))
        flags[PEERS[0]] = bool(n1 and spread > 0.0 and (k1 / n1 - k0 / n0) / spread > _Z)
        rates = bad / np.maximum(total, 1.0)
        last = rates[1, max(0, at + 1 - _BAD_MINUTES) : at + 1]
        flags[PEERS[1]] = len(last) == _BAD_MINUTES and bool((last > _BAD_RATE).all())
        if (at + 1) % _EVERY == 0:
            one, other = rates[1, : at + 1], rates[0, : at + 1]
            if np.ptp(np.concatenate([one, other])) > 0.0:
                p = mannwhitneyu(one, other, alternative="greater").pvalue
                flags[PEERS[2]] = bool(p < _MW_P / 2.0)
        for name, so in flags.items():
            if so and told[name] is None:
                told[name] = at + 1
    return told
