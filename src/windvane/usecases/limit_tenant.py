"""Bound what a tenant may ask for."""

from __future__ import annotations

import math
import secrets
from typing import ClassVar

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.routing import EVERYONE, TenantLimit
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore
from windvane.usecases.issue_key import check_tenant
from windvane.usecases.publish_routing import routing_effects
from windvane.usecases.read_model_file import as_duration

_MOST = 10_000_000


class BadLimit(WindvaneError):
    """A rate or a cap that no gateway could keep."""

    code: ClassVar[str] = "LIM-110"
    hint = 'for example --rate "600 per minute" --concurrent 20; 0 for no bound'


def limit_tenant(
    store: ControlStore, clock: Clock, limit: TenantLimit, *, by: str = "", reason: str = ""
) -> None:
    """Set, change or (with neither bound) remove the limit of a tenant, or of everyone ("*").

    Raises BadTenant, BadLimit, UnknownName.
    """
    if limit.tenant != EVERYONE:
        check_tenant(limit.tenant)
    counts = (limit.rate, limit.concurrent)
    if not all(0 <= count <= _MOST for count in counts) or not 0.0 < limit.per_s < math.inf:
        sides = f"{limit.rate} per {as_duration(limit.per_s)}, {limit.concurrent} at once"
        raise BadLimit(f"{sides}; 0 to {_MOST:,} are allowed")
    with store.begin() as tx:
        if limit.model:
            tx.model(limit.model)
        tx.put_limit(limit)
        rate = f"{limit.rate or 'any'} per {as_duration(limit.per_s)}"
        bounds = f"{rate}, {limit.concurrent or 'any'} at once"
        on = f" on {limit.model}" if limit.model else ""
        tx.decide(
            Decision(
                id=f"limits/{secrets.token_hex(8)}",
                model="",
                judge="",
                subject=f"tenant {limit.tenant}",
                action="limit",
                at=clock.now(),
                policy={},
                facts={"limit": msgspec.to_builtins(limit)},
                verdict=Verdict(Outcome.PASS, "LIM-100", f"{limit.tenant}{on}: {bounds}"),
                effects=routing_effects(tx, []),
                actor=by,
                reason=reason,
            )
        )
