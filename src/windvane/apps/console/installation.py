"""Keys, limits and users: changed the same way by the pages and by the control API."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from windvane.apps.console.hashing import HashingThreads
from windvane.apps.console.signing_in import NoWayIn
from windvane.core.errors import did_you_mean
from windvane.core.routing import TenantLimit
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, KeyRecord, UnknownName
from windvane.ports.passwords import PasswordHasher
from windvane.ports.routing_feed import RoutingFeed
from windvane.ports.users import UserRecord
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.manage_users import (
    add_user,
    random_password,
    remove_user,
    set_password,
    set_roles,
)
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.revoke_key import revoke_key, rotate_key


@dataclass(frozen=True, slots=True)
class Who:
    """``by`` whom a change is made, and the ``reason``, for the record."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """A key to issue. ``expires_in_s`` None: it works until it is revoked."""

    tenant: str
    name: str
    scopes: Sequence[str]
    expires_in_s: float | None = None
    api_version: str = ""
    roles: Sequence[str] = ()


class Installation:
    """What admins change. Keys and limits reach the gateways at once by ``feed``; without it that
    is left to the steward. Without a ``hasher`` there are no passwords, and no users to add."""

    def __init__(
        self,
        store: ControlStore,
        clock: Clock,
        feed: RoutingFeed | None,
        hasher: PasswordHasher | None,
        hashing: HashingThreads,
        *,
        admins_elsewhere: bool = False,
    ) -> None:
        self._admins_elsewhere = admins_elsewhere
        self._store, self._clock, self._feed = store, clock, feed
        self._hasher, self._hashing = hasher, hashing

    def issue_key(self, order: KeyOrder, who: Who) -> tuple[str, KeyRecord]:
        """Raises BadTenant, BadScope, BadApiVersion, BadGrant."""
        made = issue_keys(
            self._store, self._clock, [order.tenant], order.name, scopes=order.scopes,
            expires_in_s=order.expires_in_s, api_version=order.api_version, grants=order.roles,
            by=who.by, reason=who.reason,
        )[order.tenant]  # fmt: skip
        self._publish()
        digest = hashlib.sha256(made.encode()).hexdigest()
        with self._store.read() as tx:
            record = tx.find_key(digest)
        if record is None:
            raise UnknownName(f"the key of {order.tenant} was taken away at once")
        return made, record

    def rotate_key(self, key: str, grace_s: float, who: Who) -> tuple[str, KeyRecord]:
        """Raises UnknownKey."""
        made = rotate_key(
            self._store, self._clock, key, grace_s=grace_s, by=who.by, reason=who.reason
        )
        self._publish()
        return made

    def revoke_key(self, key: str, who: Who) -> KeyRecord:
        """Raises UnknownKey."""
        ended = revoke_key(self._store, self._clock, key, by=who.by, reason=who.reason)
        self._publish()
        return ended

    def set_limit(self, limit: TenantLimit, who: Who) -> None:
        """With neither bound the line is removed. Raises BadTenant, BadLimit, UnknownName."""
        limit_tenant(self._store, self._clock, limit, by=who.by, reason=who.reason)
        self._publish()

    def remove_limit(self, tenant: str, model: str, who: Who) -> None:
        """Raises UnknownName where there is no such line."""
        with self._store.read() as tx:
            find_limit(tx.limits(), tenant, model)
        self.set_limit(TenantLimit(tenant, model), who)

    async def add_user(
        self, name: str, password: str, roles: Sequence[str], who: Who
    ) -> tuple[UserRecord, str]:
        """The user, and the password if it was made up here: where ``password`` is "". Raises
        BadUser, BadPassword, BadGrant, NoWayIn, TooManyAttempts."""
        given = password or random_password()
        add = partial(
            add_user, self._store, self._clock, self._passwords(), name, given, roles,
            by=who.by, reason=who.reason,
        )  # fmt: skip
        return await self._hashing.work(add), "" if password else given

    async def set_password(self, name: str, password: str, who: Who) -> tuple[UserRecord, str]:
        """As ``add_user``; ends the user's sessions. Raises UnknownUser as well."""
        given = password or random_password()
        change = partial(
            set_password, self._store, self._clock, self._passwords(), name, given,
            by=who.by, reason=who.reason,
        )  # fmt: skip
        return await self._hashing.work(change), "" if password else given

    def set_roles(self, name: str, roles: Sequence[str], who: Who) -> UserRecord:
        """Raises UnknownUser, BadGrant, LastAdmin."""
        return set_roles(self._store, self._clock, name, roles, by=who.by, reason=who.reason)

    def remove_user(self, name: str, who: Who) -> UserRecord:
        """Raises UnknownUser, LastAdmin."""
        return remove_user(
            self._store, self._clock, name, by=who.by, reason=who.reason,
            admins_elsewhere=self._admins_elsewhere,
        )  # fmt: skip

    def _passwords(self) -> PasswordHasher:
        if self._hasher is None:
            raise NoWayIn("passwords are not taken here")
        return self._hasher

    def _publish(self) -> None:
        if self._feed is not None:
            publish_latest(self._store, self._feed)


def find_limit(limits: Sequence[TenantLimit], tenant: str, model: str) -> TenantLimit:
    """The line of this tenant and model; raises UnknownName."""
    for line in limits:
        if (line.tenant, line.model) == (tenant, model):
            return line
    on = f" on {model[:64]}" if model else ""
    hint = did_you_mean(tenant[:128], {line.tenant for line in limits})
    raise UnknownName(f"there is no limit of {tenant[:128]}{on}", hint=hint)
