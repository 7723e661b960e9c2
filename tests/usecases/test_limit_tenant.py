"""Bounds of tenants: set, changed, taken back, each on record and in the next table."""

from __future__ import annotations

import math

import pytest
from usecases.harness import MODEL, Harness

from windvane.core.routing import EVERYONE, TenantLimit
from windvane.ports.control_store import UnknownName
from windvane.usecases.issue_key import BadTenant
from windvane.usecases.limit_tenant import BadLimit, limit_tenant
from windvane.usecases.publish_routing import PUBLISH


def published(harness: Harness) -> tuple[TenantLimit, ...]:
    with harness.store.read() as tx:
        table = tx.routing()
        assert table is not None
        assert table.limits == tuple(tx.limits())
    assert harness.queued(PUBLISH)[-1] == {"seq": table.seq}
    return table.limits


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (TenantLimit("acme", "", 600, 60.0, 20), "acme: 600 per 1m, 20 at once"),
        (TenantLimit("acme", MODEL, 5, 10.0), f"acme on {MODEL}: 5 per 10s, any at once"),
        (TenantLimit("acme", "", 0, 60.0, 3), "acme: any per 1m, 3 at once"),
        (TenantLimit(EVERYONE, "", 10_000_000, 0.5), "*: 10000000 per 0.5s, any at once"),
    ],
)
def test_a_limit_is_recorded_and_published(harness: Harness, limit: TenantLimit, said: str) -> None:
    limit_tenant(harness.store, harness.clock, limit, by="cli:ada", reason="T-1")
    assert published(harness) == (limit,)
    (decision,) = harness.decisions("limit")
    assert decision.verdict.sentence == said
    assert decision.subject == f"tenant {limit.tenant}"
    assert decision.facts == {
        "limit": {
            "tenant": limit.tenant, "model": limit.model, "rate": limit.rate,
            "per_s": limit.per_s, "concurrent": limit.concurrent,
        },
    }  # fmt: skip
    assert (decision.actor, decision.reason) == ("cli:ada", "T-1")


def test_the_last_word_holds_and_no_bound_takes_it_back(harness: Harness) -> None:
    for limit in (
        TenantLimit("acme", "", 1),
        TenantLimit("acme", "", 2),
        TenantLimit("zeta", "", 3),
    ):
        limit_tenant(harness.store, harness.clock, limit)
    assert published(harness) == (TenantLimit("acme", "", 2), TenantLimit("zeta", "", 3))
    limit_tenant(harness.store, harness.clock, TenantLimit("acme"))
    assert published(harness) == (TenantLimit("zeta", "", 3),)
    assert len(harness.decisions("limit")) == 4


@pytest.mark.parametrize(
    ("limit", "error", "code"),
    [
        (TenantLimit("", "", 1), BadTenant, "KEY-101"),
        (TenantLimit(" acme", "", 1), BadTenant, "KEY-101"),
        (TenantLimit("a\nb", "", 1), BadTenant, "KEY-101"),
        (TenantLimit("acme", "", -1), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 10_000_001), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 1, 60.0, -1), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 1, 60.0, 10_000_001), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 1, 0.0), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 1, -1.0), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 1, math.nan), BadLimit, "LIM-110"),
        (TenantLimit("acme", "", 1, math.inf), BadLimit, "LIM-110"),
        (TenantLimit("acme", "dleay", 1), UnknownName, "did you mean 'delay'?"),
        (TenantLimit(EVERYONE, "other", 1), UnknownName, "STO-103"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    harness: Harness, limit: TenantLimit, error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as raised:
        limit_tenant(harness.store, harness.clock, limit)
    assert code in str(raised.value)
    assert harness.decisions("limit") == []
    with harness.store.read() as tx:
        assert tx.limits() == []
