"""Who may ask, for how long, and under which bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.routing import (
    CLIENT_SCOPES,
    EVERYONE,
    KeyEntry,
    Scope,
    TenantLimit,
    limits_of,
)

OWN = TenantLimit("acme", "", 10)
OWN_ON_FRAUD = TenantLimit("acme", "fraud", 2)
SHARED = TenantLimit(EVERYONE, "", 100)
SHARED_ON_FRAUD = TenantLimit(EVERYONE, "fraud", 20)
ANOTHERS = TenantLimit("other", "", 1)
ANOTHERS_ON_FRAUD = TenantLimit("other", "fraud", 1)
ALL = [ANOTHERS_ON_FRAUD, SHARED_ON_FRAUD, OWN_ON_FRAUD, ANOTHERS, SHARED, OWN]


@pytest.mark.parametrize(
    ("lines", "tenant", "model", "bound"),
    [
        ([], "acme", "fraud", []),
        ([ANOTHERS, ANOTHERS_ON_FRAUD], "acme", "fraud", []),
        ([SHARED], "acme", "fraud", [SHARED]),
        ([SHARED, OWN], "acme", "fraud", [OWN]),  # one's own takes the place of everyone's
        ([OWN, SHARED], "acme", "fraud", [OWN]),
        ([OWN, SHARED], "other", "fraud", [SHARED]),
        ([OWN_ON_FRAUD], "acme", "fraud", [OWN_ON_FRAUD]),
        ([OWN_ON_FRAUD], "acme", "churn", []),
        ([OWN, OWN_ON_FRAUD], "acme", "churn", [OWN]),
        # Over all models and on one: both bind, and each is replaced for itself.
        ([OWN, OWN_ON_FRAUD], "acme", "fraud", [OWN, OWN_ON_FRAUD]),
        ([OWN, SHARED_ON_FRAUD], "acme", "fraud", [OWN, SHARED_ON_FRAUD]),
        ([SHARED, OWN_ON_FRAUD], "acme", "fraud", [SHARED, OWN_ON_FRAUD]),
        (ALL, "acme", "fraud", [OWN, OWN_ON_FRAUD]),
        (ALL, "acme", "churn", [OWN]),
        (ALL, "other", "fraud", [ANOTHERS, ANOTHERS_ON_FRAUD]),
        (ALL, "third", "fraud", [SHARED, SHARED_ON_FRAUD]),
    ],
)
def test_the_lines_that_bind(
    lines: list[TenantLimit], tenant: str, model: str, bound: list[TenantLimit]
) -> None:
    assert limits_of(lines, tenant, model) == bound


TENANTS = ["acme", "other", EVERYONE]
MODELS = ["", "fraud", "churn"]
LINES = st.lists(
    st.builds(TenantLimit, st.sampled_from(TENANTS), st.sampled_from(MODELS), st.integers(1, 9)),
    unique_by=lambda line: (line.tenant, line.model),
)


@given(LINES, st.sampled_from(["acme", "other", "third"]), st.sampled_from(["fraud", "churn"]))
def test_no_tenant_is_bound_by_anothers_line(
    lines: list[TenantLimit], tenant: str, model: str
) -> None:
    found = limits_of(lines, tenant, model)
    assert {line.tenant for line in found} <= {tenant, EVERYONE}
    assert len({line.model for line in found}) == len(found)
    theirs = [line for line in lines if line.tenant in (tenant, EVERYONE)]
    assert found == limits_of(theirs, tenant, model)
    assert found == limits_of(list(reversed(lines)), tenant, model)
    for line in lines:  # who has a line of their own is bound by it
        if line.tenant == tenant and line.model in ("", model):
            assert line in found


@pytest.mark.parametrize(
    ("expires_at", "now", "expired"),
    [(None, 1e18, False), (10.0, 9.999, False), (10.0, 10.0, True), (10.0, 11.0, True),
     (0.0, 0.0, True), (-1.0, 0.0, True)],
)  # fmt: skip
def test_a_key_ends_at_its_time(expires_at: float | None, now: float, expired: bool) -> None:
    assert KeyEntry("d" * 64, "acme", expires_at=expires_at).expired(now) == expired


def test_a_key_from_before_scopes_may_do_what_it_could() -> None:
    key = KeyEntry("d" * 64, "acme")
    assert key.scopes == CLIENT_SCOPES == ("predict", "outcomes")
    assert (key.id, key.expires_at, key.api_version) == ("", None, "")


def test_scopes_are_the_published_five() -> None:
    assert [scope.value for scope in Scope] == [
        "predict",
        "outcomes",
        "events",
        "read",
        "operate",
        "admin",
    ]
