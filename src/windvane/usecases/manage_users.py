"""Local users: add, remove, change roles and passwords. Each is a recorded decision."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from windvane.core.authorization import Grant, PrincipalKind, Role, parse_grants
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Tx
from windvane.ports.passwords import PasswordHasher
from windvane.ports.users import UserRecord

FIRST_USER = "admin"
LEAST_PASSWORD, MOST_PASSWORD = 12, 256
_MOST_USERS = 10_000
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what looks alike


class BadUser(WindvaneError):
    """No name for a user, one that is taken, or one more than there may be."""

    code: ClassVar[str] = "USR-101"
    hint = "1 to 64 letters, digits and . _ - @, beginning with a letter or digit"


class BadPassword(WindvaneError):
    """A password that is too short, too long or too easy to guess. It is never shown."""

    code: ClassVar[str] = "USR-102"
    hint = "a sentence of a few words is long and easy to type"


class UnknownUser(WindvaneError):
    """There is no local user of this name."""

    code: ClassVar[str] = "USR-103"


class LastAdmin(WindvaneError):
    """The change would leave nobody who may manage the installation."""

    code: ClassVar[str] = "USR-104"
    hint = "give another user the role admin first"


def add_user(
    store: ControlStore,
    clock: Clock,
    hasher: PasswordHasher,
    name: str,
    password: str,
    roles: Sequence[str],
    *,
    by: str,
    reason: str = "",
) -> UserRecord:
    """Raises BadUser, BadPassword, BadGrant."""
    check_user_name(name)
    grants = parse_grants(roles)
    hashed = hasher.hash(check_password(password, name))
    now = clock.wall()
    user = UserRecord(name, hashed, grants, now, now)
    with store.begin() as tx:
        if tx.find_user(name) is not None:
            hint = "`windvane user password` and `windvane user role` change one"
            raise BadUser(f"user {name} exists already", hint=hint)
        if len(tx.users()) >= _MOST_USERS:
            raise BadUser(f"{_MOST_USERS:,} users are there already", hint="use OpenID Connect")
        tx.put_user(user)
        _decide(tx, clock, user, "add_user", f"user {name} was added", by, reason)
    return user


def add_first_user(store: ControlStore, clock: Clock, hasher: PasswordHasher) -> str | None:
    """The admin of an installation that has no user yet; the password, which is shown this once.
    None where there is a user."""
    with store.read() as tx:
        if tx.users():
            return None
    password = random_password()
    reason = "the installation has no user yet"
    add_user(store, clock, hasher, FIRST_USER, password, [Role.ADMIN.value], by="up", reason=reason)
    return password


def random_password() -> str:
    """20 letters and digits, about 99 bits, in groups that can be read out."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(5))


def remove_user(
    store: ControlStore,
    clock: Clock,
    name: str,
    *,
    by: str,
    reason: str = "",
    admins_elsewhere: bool = False,
) -> UserRecord:
    """With all of their sessions. ``admins_elsewhere``: others than local users may be admins,
    by the roles of an identity provider's groups, and then the last user of all can go. Raises
    UnknownUser, LastAdmin."""
    with store.begin() as tx:
        held = known_user(tx, name)
        if not admins_elsewhere or len(tx.users()) > 1:
            _keep_an_admin(tx, held, ())
        tx.drop_user(name)
        _decide(tx, clock, held, "remove_user", f"user {name} was removed", by, reason)
    return held


def set_roles(
    store: ControlStore, clock: Clock, name: str, roles: Sequence[str], *, by: str, reason: str = ""
) -> UserRecord:
    """In place of those that the user has; from their next request on. Raises UnknownUser,
    BadGrant, LastAdmin."""
    grants = parse_grants(roles)
    with store.begin() as tx:
        held = known_user(tx, name)
        _keep_an_admin(tx, held, grants)
        fresh = replace(held, grants=grants)
        tx.put_user(fresh)
        words = ", ".join(map(str, grants))
        _decide(tx, clock, fresh, "set_roles", f"user {name} is {words}", by, reason)
    return fresh


def set_password(
    store: ControlStore,
    clock: Clock,
    hasher: PasswordHasher,
    name: str,
    password: str,
    *,
    by: str,
    reason: str = "",
) -> UserRecord:
    """Ends every session of the user. Raises UnknownUser, BadPassword."""
    with store.read() as tx:
        known_user(tx, name)
    hashed = hasher.hash(check_password(password, name))
    with store.begin() as tx:
        held = known_user(tx, name)
        fresh = replace(held, password_hash=hashed, password_at=clock.wall())
        tx.put_user(fresh)
        for session in tx.sessions(PrincipalKind.USER, name):
            tx.drop_session(session.digest)
        message = f"user {name} has a new password"
        _decide(tx, clock, fresh, "set_password", message, by, reason)
    return fresh


def check_user_name(name: str) -> None:
    """Raises BadUser."""
    allowed = all(c.isascii() and (c.isalnum() or c in "._-@") for c in name)
    if not (0 < len(name) <= 64 and allowed and name[0].isalnum()):
        raise BadUser(f"{name[:80]!r} is no name for a user")


def normal_password(password: str) -> str:
    """The same text for the same keys, whichever keyboard typed them (Unicode NFKC)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, name: str) -> str:
    """The password as it is hashed; raises BadPassword, which does not show it."""
    normal = normal_password(password)
    if not LEAST_PASSWORD <= len(normal) <= MOST_PASSWORD:
        sides = f"{len(normal)} characters, {LEAST_PASSWORD} to {MOST_PASSWORD} allowed"
        raise BadPassword(f"the password has {sides}")
    if name.lower() in normal.lower() and len(normal) - len(name) < LEAST_PASSWORD // 2:
        raise BadPassword("the password is hardly more than the user's name")
    if len(set(normal)) < 5:
        raise BadPassword(f"the password has {len(set(normal))} different characters, 5 needed")
    return normal


def known_user(tx: Tx, name: str) -> UserRecord:
    """Raises UnknownUser, with the closest name."""
    found = tx.find_user(name)
    if found is None:
        names = [user.name for user in tx.users()]
        raise UnknownUser(f"no user {name[:80]!r}", hint=did_you_mean(name[:80], names))
    return found


def admins_by_group(roles: Mapping[str, Sequence[str]]) -> bool:
    """Whether a group of an identity provider has the role admin on everything. Raises
    BadGrant."""
    return any(_is_admin(parse_grants(given)) for given in roles.values())


def _is_admin(grants: tuple[Grant, ...]) -> bool:
    return any(grant.role is Role.ADMIN and grant.on_everything for grant in grants)


def _keep_an_admin(tx: Tx, held: UserRecord, grants: tuple[Grant, ...]) -> None:
    others = [user for user in tx.users() if user.name != held.name]
    loses = _is_admin(held.grants) and not _is_admin(grants)
    if loses and not any(_is_admin(user.grants) for user in others):
        total = len(others) + 1
        raise LastAdmin(
            f"user {held.name} is the only admin of {total} user{'s' if total > 1 else ''}"
        )


def _decide(
    tx: Tx, clock: Clock, user: UserRecord, action: str, message: str, by: str, reason: str
) -> None:
    tx.decide(
        Decision(
            id=f"users/{user.name}/{secrets.token_hex(8)}",
            model="",
            judge="",
            subject=f"user {user.name}",
            action=action,
            at=clock.now(),
            policy={},
            facts={"roles": [str(grant) for grant in user.grants]},
            verdict=Verdict(Outcome.PASS, "USR-100", message),
            actor=by,
            reason=reason,
        )
    )
