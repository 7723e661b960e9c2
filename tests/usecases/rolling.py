"""A rollout under way: who met the challenger, what came true, and one turn of the steward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from usecases.harness import MODEL, Harness

from windvane.core.verdict import Verdict
from windvane.ports.control_store import UnitSeen
from windvane.usecases.advance_rollout import advance_rollout

SOAK_S = 600.0
Scored = Sequence[dict[str, Any]]
Maker = Callable[[], AbstractContextManager[Harness]]


def losses(rollout: str, arm: str, n: int, mean: float = 0.15) -> dict[str, Any]:
    return {
        "routed": "", "arm": arm, "rollout": f"{rollout}#0", "bin": 0, "value": 1.0,
        "n": n, "loss": mean * n, "loss_squares": 0.05 * n,
    }  # fmt: skip


def good(rollout: str) -> Scored:
    return [losses(rollout, "challenger", 4_000), losses(rollout, "champion", 40_000)]


def meet(harness: Harness, units: int, *, failed: int = 0, slow: int = 0, first: int = 0) -> None:
    """Distinct units that met the challenger in the current step."""
    live = harness.live
    seen = [
        UnitSeen(live.rollout, "challenger", f"u{first + i}", live.step, i < failed, i < slow)
        for i in range(units)
    ]
    with harness.store.begin() as tx:
        tx.add_units(seen)


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
