"""The part of the control API that is about tenants: keys, limits, and the audit.

Each route says which role it needs; the audit of a tenant is also open to its own keys with the
scope ``read``.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from windvane.apps.console.access import (
    GuardedRoute,
    needs,
    visit_of,
)
from windvane.apps.console.answering import NotAllowed
from windvane.apps.console.api import ErrorOut
from windvane.core.authorization import Action, authorize
from windvane.core.routing import CLIENT_SCOPES, Scope, TenantLimit
from windvane.ports.clock import Clock
from windvane.ports.control_store import Access, ControlStore, KeyRecord
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.revoke_key import revoke_key, rotate_key

_DAY_S = 86_400.0
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KeyWanted(_Strict):
    """A key to issue. ``expires_in_s`` null: it works until it is revoked. ``roles`` are what it
    may do by this API, such as ``viewer`` or ``operator@team:ops``."""

    tenant: str = Field(min_length=1, max_length=128)
    name: str = Field("api", min_length=1, max_length=128)
    scopes: list[Scope] = [Scope(scope) for scope in CLIENT_SCOPES]
    expires_in_s: float | None = Field(None, gt=0.0, le=3_650 * _DAY_S)
    api_version: str = Field("", max_length=32)
    roles: list[Annotated[str, StringConstraints(max_length=300)]] = Field([], max_length=64)
    reason: Reason = ""


class KeyOut(BaseModel):
    """A key as it is managed; its hash stays here."""

    id: str
    tenant: str
    name: str
    scopes: list[str]
    roles: list[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class NewKey(KeyOut):
    """``key`` is shown this once."""

    key: str


class RotationWanted(_Strict):
    """How long the old key still works, in seconds."""

    grace_s: float = Field(_DAY_S, ge=0.0, le=365 * _DAY_S)
    reason: Reason = ""


class LimitLine(_Strict):
    """A tenant's bounds (``*`` for everyone's), over all models or on one; 0 for no bound."""

    tenant: str = Field(min_length=1, max_length=128)
    model: str = Field("", max_length=64)
    rate: int = Field(0, ge=0, le=10_000_000)
    per_s: float = Field(60.0, gt=0.0, le=_DAY_S)
    concurrent: int = Field(0, ge=0, le=10_000_000)
    reason: Reason = ""


class LimitOut(BaseModel):
    """A tenant's bounds as they are, whoever set them."""

    tenant: str
    model: str
    rate: int
    per_s: float
    concurrent: int


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
    problems = {status: {"model": ErrorOut} for status in (400, 401, 403, 404, 413, 422, 503)}
    router = APIRouter(
        prefix="/api", tags=["tenants"], responses={**problems}, route_class=GuardedRoute
    )

    def actor(request: Request) -> str:
        return visit_of(request).principal.actor

    def publish() -> None:
        if feed is not None:
            publish_latest(store, feed)

    @router.get("/keys", summary="Every key that ever was")
    @needs(Action.MANAGE_KEYS)
    def keys(tenant: str = "") -> list[KeyOut]:
        with store.read() as tx:
            return [_key(k) for k in tx.key_records() if tenant in ("", k.entry.tenant)]

    @router.post("/keys", summary="Issue a key", status_code=201)
    @needs(Action.MANAGE_KEYS)
    def issue(request: Request, wanted: KeyWanted) -> NewKey:
        made = issue_keys(
            store, clock, [wanted.tenant], wanted.name, scopes=[s.value for s in wanted.scopes],
            expires_in_s=wanted.expires_in_s, api_version=wanted.api_version,
            grants=wanted.roles, by=actor(request), reason=wanted.reason,
        )[wanted.tenant]  # fmt: skip
        publish()
        digest = hashlib.sha256(made.encode()).hexdigest()
        with store.read() as tx:
            record = next(k for k in tx.key_records() if k.entry.digest == digest)
        return NewKey(**_key(record).model_dump(), key=made)

    @router.post("/keys/{key}/rotate", summary="Issue a key's successor", status_code=201)
    @needs(Action.MANAGE_KEYS)
    def rotate(request: Request, key: str, wanted: RotationWanted) -> NewKey:
        made, record = rotate_key(
            store, clock, key, grace_s=wanted.grace_s, by=actor(request), reason=wanted.reason
        )
        publish()
        return NewKey(**_key(record).model_dump(), key=made)

    @router.delete("/keys/{key}", summary="End a key now")
    @needs(Action.MANAGE_KEYS)
    def revoke(request: Request, key: str, reason: Reason = "") -> KeyOut:
        ended = revoke_key(store, clock, key, by=actor(request), reason=reason)
        publish()
        return _key(ended)

    @router.get("/limits", summary="Every tenant's bounds")
    @needs(Action.MANAGE_LIMITS)
    def limits() -> list[LimitOut]:
        with store.read() as tx:
            return [_limit(line) for line in tx.limits()]

    @router.put("/limits", summary="Set a tenant's bounds; with none, remove them")
    @needs(Action.MANAGE_LIMITS)
    def set_limit(request: Request, line: LimitLine) -> LimitOut:
        limit = TenantLimit(**line.model_dump(exclude={"reason"}))
        limit_tenant(store, clock, limit, by=actor(request), reason=line.reason)
        publish()
        return _limit(limit)

    @router.get("/audit", summary="Who called what, under which key, from when to when")
    @needs(Action.READ_AUDIT, own_tenant=True)
    def audit(
        request: Request,
        tenant: str = "",
        since: Annotated[float, Query(ge=0.0)] = 0.0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    ) -> list[AccessOut]:
        who = visit_of(request).principal
        if not authorize(who, Action.READ_AUDIT, None).allowed:
            if tenant not in ("", who.tenant):
                raise NotAllowed(f"{who.actor} may read the audit of {who.tenant} alone")
            tenant = who.tenant
        with store.read() as tx:
            return [_access(line) for line in tx.access(tenant, since, limit)]

    del keys, issue, rotate, revoke, limits, set_limit, audit
    return router


def _key(record: KeyRecord) -> KeyOut:
    entry = record.entry
    return KeyOut(
        id=entry.id,
        tenant=entry.tenant,
        name=record.name,
        scopes=list(entry.scopes),
        roles=[str(grant) for grant in record.grants],
        created_at=record.created_at,
        expires_at=entry.expires_at,
        revoked_at=record.revoked_at,
    )


def _limit(line: TenantLimit) -> LimitOut:
    return LimitOut(**{name: getattr(line, name) for name in LimitOut.model_fields})


def _access(line: Access) -> AccessOut:
    return AccessOut(**{name: getattr(line, name) for name in AccessOut.model_fields})
