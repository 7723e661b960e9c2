"""A rollout under way: who met which arm, what came true, and one turn of the steward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from usecases.harness import MODEL, Harness

from windvane.core.rollout import EVERYONE, FAILED, SLOW, ArmLosses, tenant_slice
from windvane.core.verdict import Verdict
from windvane.ports.rollouts import FirstRequest, UnitEvent
from windvane.usecases.advance_rollout import ArmScores, advance_rollout

SOAK_S = 600.0
Scored = Sequence[ArmScores]
Maker = Callable[[], AbstractContextManager[Harness]]


def losses(rollout: str, arm: str, units: int, mean: float = 0.15) -> ArmScores:
    held = ArmLosses(units, mean * units, 0.05 * units, 0.25 * units)
    return ArmScores(arm, rollout, 0, held, 1.0)


def good(rollout: str) -> Scored:
    return [losses(rollout, "challenger", 20_000), losses(rollout, "champion", 200_000)]


def meet(
    harness: Harness, units: int, *, failed: int = 0, slow: int = 0, first: int = 0,
    arm: str = "challenger", tenant: str = "AA", at: float | None = None,
) -> None:  # fmt: skip
    """Distinct units of a tenant that met an arm for the first time in the current step."""
    live = harness.live
    at = harness.clock.now() if at is None else at
    names = [f"{arm}{first + i}" for i in range(units)]
    seen = [
        FirstRequest(live.rollout, live.step, tenant, name, arm, at, i < failed, i < slow)
        for i, name in enumerate(names)
    ]
    happened = [
        UnitEvent(live.rollout, what, of, tenant, name, arm, live.step, at)
        for what, bad in ((FAILED, failed), (SLOW, slow))
        for name in names[:bad]
        for of in (EVERYONE, tenant_slice(tenant))
    ]
    with harness.store.begin() as tx:
        tx.add_first_requests(seen)
        tx.add_unit_events(happened)


def advance(
    harness: Harness, scored: Scored | None = None, token: int | None = None
) -> Verdict | None:
    told = good(harness.live.rollout) if scored is None else scored
    return advance_rollout(
        harness.store, harness.log, harness.clock, MODEL, token or harness.shards, told
    )


def routing_of(harness: Harness) -> tuple[str, str | None, float, str]:
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    route = table.models[MODEL]
    return route.champion, route.challenger, route.challenger_share, route.rollout
