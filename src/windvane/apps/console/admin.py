"""The part of the control API that changes things: keys, limits, trust. And the audit.

Every call carries an API key with the scope ``admin``; the audit of a tenant is also open to
its own keys with the scope ``read``.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from windvane.apps.console.answering import NotAllowed
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.keys import key_check
from windvane.core.routing import CLIENT_SCOPES, KeyEntry, Scope, TenantLimit
from windvane.ports.clock import Clock
from windvane.ports.control_store import Access, ControlStore, KeyRecord
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.revoke_key import revoke_key, rotate_key
from windvane.usecases.trust_version import trust_version

_DAY_S = 86_400.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KeyWanted(_Strict):
    """A key to issue. ``expires_in_s`` null: it works until it is revoked."""

    tenant: str = Field(min_length=1, max_length=128)
    name: str = Field("api", min_length=1, max_length=128)
    scopes: list[Scope] = [Scope(scope) for scope in CLIENT_SCOPES]
    expires_in_s: float | None = Field(None, gt=0.0, le=3_650 * _DAY_S)
    api_version: str = Field("", max_length=32)


class KeyOut(BaseModel):
    """A key as it is managed; its hash stays here."""

    id: str
    tenant: str
    name: str
    scopes: list[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class NewKey(KeyOut):
    """``key`` is shown this once."""

    key: str


class RotationWanted(_Strict):
    """How long the old key still works, in seconds."""

    grace_s: float = Field(_DAY_S, ge=0.0, le=365 * _DAY_S)


class LimitLine(_Strict):
    """A tenant's bounds (``*`` for everyone's), over all models or on one; 0 for no bound."""

    tenant: str = Field(min_length=1, max_length=128)
    model: str = Field("", max_length=64)
    rate: int = Field(0, ge=0, le=10_000_000)
    per_s: float = Field(60.0, gt=0.0, le=_DAY_S)
    concurrent: int = Field(0, ge=0, le=10_000_000)


class LimitOut(BaseModel):
    """A tenant's bounds as they are, whoever set them."""

    tenant: str
    model: str
    rate: int
    per_s: float
    concurrent: int


class TrustWanted(_Strict):
    model: str
    version: str


class TrustOut(BaseModel):
    """Whose files are trusted: a manifest's hash, not a name."""

    manifest: str
    model: str
    version: str
    by: str
    at: float


class AccessOut(BaseModel):
    """Calls of one key on one model in one hour, seconds since the epoch."""

    tenant: str
    key: str
    model: str
    action: str
    hour: float
    calls: int
    first: float
    last: float


def admin_router(store: ControlStore, clock: Clock, feed: RoutingFeed | None) -> APIRouter:
    """``feed`` hears of every change at once; None leaves it to the steward."""
    problems = {status: {"model": ErrorOut} for status in (400, 401, 403, 404, 422, 503)}
    router = APIRouter(prefix="/api", tags=["tenants"], responses={**problems})

    known = Depends(key_check(store, clock))

    def admin(who: KeyEntry = known) -> str:
        if Scope.ADMIN not in who.scopes:
            raise NotAllowed(f"key {who.id} has {', '.join(who.scopes)}; admin is needed")
        return f"key:{who.id}"

    signed = Depends(admin)

    def publish() -> None:
        if feed is not None:
            publish_latest(store, feed)

    @router.get("/keys", summary="Every key that ever was")
    def keys(tenant: str = "", by: str = signed) -> list[KeyOut]:
        del by
        with store.read() as tx:
            return [_key(k) for k in tx.key_records() if tenant in ("", k.entry.tenant)]

    @router.post("/keys", summary="Issue a key", status_code=201)
    def issue(wanted: KeyWanted, by: str = signed) -> NewKey:
        made = issue_keys(
            store, clock, [wanted.tenant], wanted.name, scopes=[s.value for s in wanted.scopes],
            expires_in_s=wanted.expires_in_s, api_version=wanted.api_version, by=by,
        )[wanted.tenant]  # fmt: skip
        publish()
        digest = hashlib.sha256(made.encode()).hexdigest()
        with store.read() as tx:
            record = next(k for k in tx.key_records() if k.entry.digest == digest)
        return NewKey(**_key(record).model_dump(), key=made)

    @router.post("/keys/{key}/rotate", summary="Issue a key's successor", status_code=201)
    def rotate(key: str, wanted: RotationWanted, by: str = signed) -> NewKey:
        made, record = rotate_key(store, clock, key, grace_s=wanted.grace_s, by=by)
        publish()
        return NewKey(**_key(record).model_dump(), key=made)

    @router.delete("/keys/{key}", summary="End a key now")
    def revoke(key: str, by: str = signed) -> KeyOut:
        ended = revoke_key(store, clock, key, by=by)
        publish()
        return _key(ended)

    @router.get("/limits", summary="Every tenant's bounds")
    def limits(by: str = signed) -> list[LimitOut]:
        del by
        with store.read() as tx:
            return [_limit(line) for line in tx.limits()]

    @router.put("/limits", summary="Set a tenant's bounds; with none, remove them")
    def set_limit(line: LimitLine, by: str = signed) -> LimitLine:
        limit_tenant(store, clock, TenantLimit(**line.model_dump()), by=by)
        publish()
        return line

    @router.put("/trust", summary="Vouch for a version whose files can run code")
    def trust(wanted: TrustWanted, by: str = signed) -> TrustOut:
        given = trust_version(store, clock, wanted.model, wanted.version, by=by)
        publish()
        return TrustOut(**{name: getattr(given, name) for name in TrustOut.model_fields})

    @router.delete("/trust", summary="Take that back")
    def distrust(model: str, version: str, by: str = signed) -> TrustOut:
        given = trust_version(store, clock, model, version, by=by, revoke=True)
        publish()
        return TrustOut(**{name: getattr(given, name) for name in TrustOut.model_fields})

    @router.get("/audit", summary="Who called what, under which key, from when to when")
    def audit(
        tenant: str = "",
        since: Annotated[float, Query(ge=0.0)] = 0.0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
        who: KeyEntry = known,
    ) -> list[AccessOut]:
        if Scope.ADMIN not in who.scopes:
            if Scope.READ not in who.scopes or tenant not in ("", who.tenant):
                raise NotAllowed(f"key {who.id} of {who.tenant} has {', '.join(who.scopes)}")
            tenant = who.tenant
        with store.read() as tx:
            return [_access(line) for line in tx.access(tenant, since, limit)]

    del keys, issue, rotate, revoke, limits, set_limit, trust, distrust, audit
    return router


def _key(record: KeyRecord) -> KeyOut:
    entry = record.entry
    return KeyOut(
        id=entry.id,
        tenant=entry.tenant,
        name=record.name,
        scopes=list(entry.scopes),
        created_at=record.created_at,
        expires_at=entry.expires_at,
        revoked_at=record.revoked_at,
    )


def _limit(line: TenantLimit) -> LimitOut:
    return LimitOut(**{name: getattr(line, name) for name in LimitOut.model_fields})


def _access(line: Access) -> AccessOut:
    return AccessOut(**{name: getattr(line, name) for name in AccessOut.model_fields})
