"""Worlds that rollouts happen in: who sends how much, what fails, and how a rollout is driven.

A rollout is driven minute by minute by the product's own gate. What happened to units is kept as
the control store keeps it (`UnitLedger`, which a test holds against the store): the first request
of a unit in a stage, and its first failure in the whole rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.core.rollout import (
    EVERYONE,
    FAILED,
    SLOW,
    ArmCounts,
    FirstEvents,
    GateFacts,
    GatePolicy,
    Stage,
    StageFacts,
    judge_gate,
    tenant_slice,
)
from windvane.core.verdict import Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
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
    which no fallback answers."""

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
    loss: float = 0.0  # how much more the challenger's answers cost
    rows: int = 1  # with the same label and answers, of a unit
    steps: tuple[float, ...] = STEPS
    edited: tuple[float, ...] = ()  # what the file's steps become after half an hour
    stops: int = 10**9  # the minute from which on nobody sends anything


class UnitLedger:
    """First requests of a stage and first events of a rollout."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, int]] = set()
        self.exposed: dict[tuple[int, bool], list[int]] = {}
        self.spent: set[tuple[str, int]] = set()
        self.first: dict[tuple[int, str, str], list[int]] = {}
        self.tenants: set[int] = set()

    def add(
        self, step: int, unit: int, tenant: int, challenger: bool, failed: bool, slow: bool
    ) -> None:
        self.tenants.add(tenant)
        if (step, unit) not in self.seen:
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


@dataclass
class Requests:
    """Who sends when, and what becomes of it on either arm."""

    world: World
    rng: np.random.Generator
    weights: Floats = field(init=False)
    tenants: Ints = field(init=False)
    buckets: Floats = field(init=False)
    bad: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        world, rng = self.world, self.rng
        n = world.units
        weights = np.ones(n) if not world.tail else rng.pareto(world.tail, n) + 1.0
        self.weights = np.cumsum(weights / weights.sum())
        self.tenants = rng.integers(0, max(len(world.rates), 5), n)
        self.buckets = rng.random(n)
        self.bad = rng.random(n) < world.always

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


def drive(world: World, seed: int, policy: GatePolicy, minutes: int = MINUTES) -> dict[str, Any]:
    """One rollout, judged each minute: how it ended and when, and at which step."""
    rng = np.random.default_rng(seed)
    sent, ledger = Requests(world, rng), UnitLedger()
    steps = list(world.steps)
    slow_ms = 2.0 * P99_MS
    stages = [Stage(steps[0], 0.0, slow_ms * 1e3)]
    advanced = 0
    for at in range(minutes):
        if world.edited and at == 30:
            steps = list(world.edited)
        step = len(stages) - 1
        share = stages[-1].share
        units, challenger, failed, latency = sent.minute(at, share)
        for unit, on, bad, slow in zip(
            units.tolist(), challenger.tolist(), failed.tolist(), (latency > slow_ms).tolist(),
            strict=True,
        ):  # fmt: skip
            ledger.add(step, unit, int(sent.tenants[unit]), on, bad, slow)
        now = (at + 1) * 60.0
        after = steps[step + 1] if step + 1 < len(steps) else 1.0
        facts = GateFacts(ledger.stages(stages), after, slices=len(ledger.tenants))
        verdict = judge_gate(facts, policy, now)
        if verdict.outcome is Outcome.FAIL:
            return {"end": "rolled back", "minute": at + 1, "step": step, "code": verdict.code}
        if verdict.outcome is Outcome.PASS:
            advanced += 1
            if step + 1 >= len(steps):
                return {"end": "promoted", "minute": at + 1, "step": step, "code": ""}
            stages.append(Stage(steps[step + 1], now, slow_ms * 1e3))
    return {"end": "held", "minute": minutes, "step": len(stages) - 1, "code": verdict.code}
