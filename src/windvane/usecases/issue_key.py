"""Give a tenant an API key. Only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import ClassVar

from windvane.core.authorization import Grant, parse_grants
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.journal import Decision
from windvane.core.routing import CLIENT_SCOPES, EVERYONE, ApiVersion, KeyEntry, Scope
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, KeyRecord, Tx
from windvane.usecases.publish_routing import routing_effects

PREFIX = "wv_"


class BadTenant(WindvaneError):
    """A tenant is called by 1 to 128 printable characters."""

    code: ClassVar[str] = "KEY-101"
    hint = "a short name such as `acme`"


class BadScope(WindvaneError):
    """A key was asked for with a scope that does not exist, or with none."""

    code: ClassVar[str] = "KEY-102"


class BadApiVersion(WindvaneError):
    """A key was asked for with a version of the API that does not exist."""

    code: ClassVar[str] = "KEY-104"


def issue_keys(
    store: ControlStore,
    clock: Clock,
    tenants: Sequence[str],
    name: str,
    *,
    scopes: Sequence[str] = CLIENT_SCOPES,
    expires_in_s: float | None = None,
    api_version: str = "",
    grants: Sequence[str] = (),
    by: str = "",
    reason: str = "",
) -> dict[str, str]:
    """A fresh key for each tenant; shown once, never stored.

    A key is 256 random bits, so a plain SHA-256 of it cannot be searched for. ``grants`` are
    the roles that it has in the control API. ``by`` is who asked and ``reason`` why, for the
    record. Raises BadTenant, BadScope, BadApiVersion, BadGrant.
    """
    for tenant in tenants:
        check_tenant(tenant)
    scopes = check_scopes(scopes)
    held = parse_grants(grants) if grants else ()
    versions = [version.value for version in ApiVersion]
    if api_version and api_version not in versions:
        hint = did_you_mean(api_version, versions)
        raise BadApiVersion(f"no API version {api_version!r}", hint=hint)
    with store.begin() as tx:
        made = {
            tenant: new_key(tx, clock, tenant, name, scopes, expires_in_s, api_version, held)
            for tenant in tenants
        }
        facts: dict[str, object] = {
            "tenants": list(tenants), "name": name, "scopes": list(scopes),
            "keys": [record.entry.id for _, record in made.values()],
        }  # fmt: skip
        if held:
            facts["roles"] = [str(grant) for grant in held]
        message = f"{len(made)} key{'s' if len(made) != 1 else ''} issued"
        decision = f"keys/{name}/{secrets.token_hex(8)}"
        decide_keys(tx, clock, decision, "issue", facts, message, by=by, reason=reason)
    return {tenant: key for tenant, (key, _) in made.items()}


def check_tenant(tenant: str) -> None:
    """Raises BadTenant."""
    if not 0 < len(tenant) <= 128 or tenant != tenant.strip() or not tenant.isprintable():
        raise BadTenant(f"{tenant!r} is no tenant's name")
    if tenant == EVERYONE:
        raise BadTenant("`*` stands for every tenant, so no tenant can be called that")


def check_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes, each once; raises BadScope."""
    known = [scope.value for scope in Scope]
    for scope in scopes:
        if scope not in known:
            raise BadScope(f"no scope {scope!r}", hint=did_you_mean(scope, known))
    if not scopes:
        raise BadScope("a key without a scope is good for nothing", hint=", ".join(known))
    return tuple(dict.fromkeys(scopes))


def new_key(
    tx: Tx,
    clock: Clock,
    tenant: str,
    name: str,
    scopes: tuple[str, ...],
    expires_in_s: float | None,
    api_version: str,
    grants: tuple[Grant, ...] = (),
) -> tuple[str, KeyRecord]:
    """A key, and its record as it was stored. Times are the wall's: a key's life is real."""
    key_id = secrets.token_hex(6)  # revoking goes by it, so no two keys may ever share one
    key = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    now = clock.wall()
    expires_at = None if expires_in_s is None else now + expires_in_s
    digest = hashlib.sha256(key.encode()).hexdigest()
    entry = KeyEntry(digest, tenant, key_id, scopes, expires_at, api_version)
    record = KeyRecord(entry, name, now, grants=grants)
    tx.put_key(record)
    return key, record


def decide_keys(
    tx: Tx,
    clock: Clock,
    decision: str,
    action: str,
    facts: dict[str, object],
    message: str,
    *,
    by: str,
    reason: str,
) -> None:
    """Record what was done to keys, with the routing table that follows."""
    tx.decide(
        Decision(
            id=decision,
            model="",
            judge="",
            subject="keys",
            action=action,
            at=clock.now(),
            policy={},
            facts=facts,
            verdict=Verdict(Outcome.PASS, "KEY-100", message),
            effects=routing_effects(tx, []),
            actor=by,
            reason=reason,
        )
    )
