"""Sessions: begin one for whoever proves who they are, find one, end it."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from windvane.core.authorization import Grant, Principal, PrincipalKind, Role
from windvane.core.errors import WindvaneError
from windvane.core.routing import Scope
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, KeyRecord, Tx
from windvane.ports.passwords import PasswordHasher
from windvane.ports.users import SessionRecord
from windvane.usecases.manage_users import MOST_PASSWORD, normal_password

_log = logging.getLogger(__name__)
_MOST_SESSIONS = 20  # of one user; the oldest give way
_NOTED_EACH_S = 60.0


class WrongCredentials(WindvaneError):
    """The user or the password is wrong; which of them is not told."""

    code: ClassVar[str] = "USR-105"
    hint = "`windvane user password NAME`, on the machine itself, sets another password"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """A session ends ``idle_s`` after its last request, ``lifetime_s`` after its begin."""

    idle_s: float = 8 * 3_600.0
    lifetime_s: float = 7 * 86_400.0


def sign_in(
    store: ControlStore,
    clock: Clock,
    hasher: PasswordHasher,
    limits: SessionLimits,
    name: str,
    password: str,
) -> str:
    """The token of a new session; only its hash is kept. Raises WrongCredentials.

    An unknown user costs as much time as a wrong password.
    """
    with store.read() as tx:
        user = tx.find_user(name)
    normal = normal_password(password[: MOST_PASSWORD * 4])
    right = hasher.verify(user.password_hash if user else "", normal)
    if user is None or not right:
        # A name that nobody has may be a password, typed into the wrong field.
        _log.warning("sign-in refused for %s", f"user {user.name}" if user else "an unknown user")
        raise WrongCredentials("the user or the password is wrong")
    stronger = hasher.hash(normal) if hasher.is_outdated(user.password_hash) else ""
    with store.begin() as tx:
        held = tx.find_user(name)
        if held is None or held.password_hash != user.password_hash:
            raise WrongCredentials("the user or the password is wrong")
        if stronger:
            tx.put_user(replace(held, password_hash=stronger))
        token = _begin(tx, clock, limits, PrincipalKind.USER, name, ())
    _log.info("user %s signed in", name)
    return token


def begin_oidc_session(
    store: ControlStore, clock: Clock, limits: SessionLimits, name: str, grants: Sequence[Grant]
) -> str:
    """The token of a session of somebody whom the identity provider knows."""
    with store.begin() as tx:
        token = _begin(tx, clock, limits, PrincipalKind.OIDC, name, tuple(grants))
    _log.info("user %s signed in by OpenID Connect", name)
    return token


def _begin(
    tx: Tx,
    clock: Clock,
    limits: SessionLimits,
    kind: PrincipalKind,
    name: str,
    grants: tuple[Grant, ...],
) -> str:
    token = secrets.token_urlsafe(32)
    now = clock.wall()
    tx.drop_expired_sessions(now)
    for oldest in tx.sessions(kind, name)[: -_MOST_SESSIONS + 1 or None]:
        tx.drop_session(oldest.digest)
    tx.put_session(
        SessionRecord(token_digest(token), kind, name, now, now, now + limits.lifetime_s, grants)
    )
    return token


def sign_out(store: ControlStore, token: str) -> None:
    """End the session, if it is one."""
    with store.begin() as tx:
        tx.drop_session(token_digest(token))


def find_session(
    tx: Tx, token: str, now: float, limits: SessionLimits
) -> tuple[Principal, SessionRecord] | None:
    """Who holds the token of a session that goes on; ``now`` by the wall's clock."""
    held = tx.find_session(token_digest(token))
    if held is None or now >= held.expires_at or now >= held.seen_at + limits.idle_s:
        return None
    if held.kind is not PrincipalKind.USER:
        return Principal(held.kind, held.user, held.grants), held
    user = tx.find_user(held.user)
    if user is None or held.created_at < user.password_at:
        return None
    return Principal(held.kind, user.name, user.grants), held


def note_session(store: ControlStore, session: SessionRecord, now: float) -> None:
    """Remember that it is used, once a minute at most."""
    if now - session.seen_at < _NOTED_EACH_S:
        return
    with store.begin() as tx:
        held = tx.find_session(session.digest)
        if held is not None:  # it may have ended meanwhile
            tx.put_session(replace(held, seen_at=max(held.seen_at, now)))


def find_key(tx: Tx, given: str) -> KeyRecord | None:
    """The record of an API key, whether it is good or not."""
    return tx.find_key(token_digest(given))


def key_principal(record: KeyRecord) -> Principal:
    """What a key may do by the control API: its roles; ``admin``, if it has that scope; and its
    own tenant's audit, if it may read. A scope ``read`` is no role of viewer: what viewers see
    spans tenants."""
    scopes = record.entry.scopes
    grants = record.grants + ((Grant(Role.ADMIN),) if Scope.ADMIN in scopes else ())
    tenant = record.entry.tenant if Scope.READ in scopes else ""
    return Principal(PrincipalKind.KEY, record.entry.id, grants, tenant)


def token_digest(token: str) -> str:
    """A token is 256 random bits, so a plain SHA-256 of it cannot be searched for."""
    return hashlib.sha256(token.encode()).hexdigest()
