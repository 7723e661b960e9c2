"""The part of the control API that is about the installation: keys, limits, users, the audit.

Each route says which role it needs; the audit of a tenant is also open to its own keys with the
scope ``read``.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from windvane.apps.console.access import GuardedRoute, needs, visit_of
from windvane.apps.console.answering import NotAllowed, ReadService
from windvane.apps.console.api import ErrorOut
from windvane.apps.console.asking import PER_PAGE_API, PerPage, note_paging
from windvane.apps.console.installation import Installation, KeyOrder, Who
from windvane.apps.console.installation_lists import (
    KeysQuery,
    WordsQuery,
    find_keys,
    find_limits,
    find_users,
)
from windvane.apps.console.tables import paged
from windvane.core.authorization import Action, Role, authorize
from windvane.core.routing import CLIENT_SCOPES, Scope, TenantLimit
from windvane.ports.clock import Clock
from windvane.ports.control_store import Access, ControlStore, KeyRecord
from windvane.ports.users import UserRecord
from windvane.usecases.manage_users import MOST_PASSWORD, BadPassword

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


class UserOut(BaseModel):
    """A local user. ``password_at``: when the password was last set."""

    name: str
    roles: list[str]
    created_at: float
    password_at: float


class UserWithPassword(UserOut):
    """``password`` is shown this once, if it was made up; null where one was sent."""

    password: str | None


Password = Annotated[SecretStr, Field(max_length=MOST_PASSWORD)]
Roles = Annotated[
    list[Annotated[str, StringConstraints(max_length=300)]], Field(min_length=1, max_length=64)
]


class UserWanted(_Strict):
    """A user to add. Without a ``password`` one is made up."""

    name: str = Field(min_length=1, max_length=64)
    roles: Roles = [Role.VIEWER.value]
    password: Password | None = None
    reason: Reason = ""


class RolesWanted(_Strict):
    """In place of those that the user has."""

    roles: Roles
    reason: Reason = ""


class PasswordWanted(_Strict):
    """Without a ``password`` one is made up."""

    password: Password | None = None
    reason: Reason = ""


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorOut} for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)
}


def admin_router(
    installation: Installation, reads: ReadService, store: ControlStore, clock: Clock
) -> APIRouter:
    """Keys, limits and the audit."""
    router = APIRouter(
        prefix="/api", tags=["tenants"], responses=_PROBLEMS, route_class=GuardedRoute
    )

    def who(request: Request, reason: str) -> Who:
        return Who(visit_of(request).principal.actor, reason)

    @router.get("/keys", summary="Every key that ever was, those that work first")
    @needs(Action.MANAGE_KEYS)
    async def keys(
        response: Response, asked: KeysQuery, per_page: PerPage = PER_PAGE_API
    ) -> list[KeyOut]:
        wall = clock.wall()
        found = await reads.ask(lambda tx: find_keys(tx, asked, wall))
        shown = paged(found, asked.page, "/api/keys", asked.query(), per_page)
        note_paging(response, shown, per_page)
        return [_key(key) for key in shown.rows]

    @router.post("/keys", summary="Issue a key", status_code=201)
    @needs(Action.MANAGE_KEYS)
    def issue(request: Request, wanted: KeyWanted) -> NewKey:
        order = KeyOrder(
            wanted.tenant, wanted.name, [scope.value for scope in wanted.scopes],
            wanted.expires_in_s, wanted.api_version, wanted.roles,
        )  # fmt: skip
        made, record = installation.issue_key(order, who(request, wanted.reason))
        return NewKey(**_key(record).model_dump(), key=made)

    @router.post("/keys/{key}/rotate", summary="Issue a key's successor", status_code=201)
    @needs(Action.MANAGE_KEYS)
    def rotate(request: Request, key: str, wanted: RotationWanted) -> NewKey:
        by = who(request, wanted.reason)
        made, record = installation.rotate_key(key, wanted.grace_s, by)
        return NewKey(**_key(record).model_dump(), key=made)

    @router.delete("/keys/{key}", summary="End a key now")
    @needs(Action.MANAGE_KEYS)
    def revoke(request: Request, key: str, reason: Reason = "") -> KeyOut:
        return _key(installation.revoke_key(key, who(request, reason)))

    @router.get("/limits", summary="Every tenant's bounds")
    @needs(Action.MANAGE_LIMITS)
    async def limits(
        response: Response, asked: WordsQuery, per_page: PerPage = PER_PAGE_API
    ) -> list[LimitOut]:
        found = await reads.ask(lambda tx: find_limits(tx, asked))
        shown = paged(found, asked.page, "/api/limits", {"q": asked.q}, per_page)
        note_paging(response, shown, per_page)
        return [_limit(line) for line in shown.rows]

    @router.put("/limits", summary="Set a tenant's bounds; with none, remove them")
    @needs(Action.MANAGE_LIMITS)
    def set_limit(request: Request, line: LimitLine) -> LimitOut:
        limit = TenantLimit(**line.model_dump(exclude={"reason"}))
        installation.set_limit(limit, who(request, line.reason))
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


def users_router(installation: Installation, reads: ReadService) -> APIRouter:
    """Local users."""
    router = APIRouter(
        prefix="/api/users", tags=["users"], responses=_PROBLEMS, route_class=GuardedRoute
    )

    def who(request: Request, reason: str) -> Who:
        return Who(visit_of(request).principal.actor, reason)

    @router.get("", summary="Local users by name")
    @needs(Action.MANAGE_USERS)
    async def users(
        response: Response, asked: WordsQuery, per_page: PerPage = PER_PAGE_API
    ) -> list[UserOut]:
        found = await reads.ask(lambda tx: find_users(tx, asked))
        shown = paged(found, asked.page, "/api/users", {"q": asked.q}, per_page)
        note_paging(response, shown, per_page)
        return [_user(user) for user in shown.rows]

    @router.post("", summary="Add a user", status_code=201)
    @needs(Action.MANAGE_USERS)
    async def add(request: Request, wanted: UserWanted) -> UserWithPassword:
        by, given = who(request, wanted.reason), _typed(wanted.password)
        user, made = await installation.add_user(wanted.name, given, wanted.roles, by)
        return UserWithPassword(**_user(user).model_dump(), password=made or None)

    @router.put("/{name}/roles", summary="Set what a user may do, from the next request on")
    @needs(Action.MANAGE_USERS)
    def set_roles(request: Request, name: str, wanted: RolesWanted) -> UserOut:
        return _user(installation.set_roles(name, wanted.roles, who(request, wanted.reason)))

    @router.put("/{name}/password", summary="Set a user's password; ends their sessions")
    @needs(Action.MANAGE_USERS)
    async def set_password(request: Request, name: str, wanted: PasswordWanted) -> UserWithPassword:
        by, given = who(request, wanted.reason), _typed(wanted.password)
        user, made = await installation.set_password(name, given, by)
        return UserWithPassword(**_user(user).model_dump(), password=made or None)

    @router.delete("/{name}", summary="Remove a user, with their sessions")
    @needs(Action.MANAGE_USERS)
    def remove(request: Request, name: str, reason: Reason = "") -> UserOut:
        return _user(installation.remove_user(name, who(request, reason)))

    del users, add, set_roles, set_password, remove
    return router


def _typed(password: SecretStr | None) -> str:
    """ "" for one to be made up. Raises BadPassword where an empty one was sent."""
    if password is None:
        return ""
    given = password.get_secret_value()
    if not given:
        raise BadPassword("the password is empty", hint="leave it out, and one is made up")
    return given


def _user(user: UserRecord) -> UserOut:
    return UserOut(
        name=user.name, roles=[str(grant) for grant in user.grants],
        created_at=user.created_at, password_at=user.password_at,
    )  # fmt: skip


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
