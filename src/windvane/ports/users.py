"""People who sign in, and their sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from windvane.core.authorization import Grant, PrincipalKind


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A local user: a password's hash and what they may do. Times in seconds since the epoch;
    ``password_at`` is when the password was last set."""

    name: str
    password_hash: str
    grants: tuple[Grant, ...]
    created_at: float
    password_at: float


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Somebody who signed in. ``digest`` is the SHA-256 of the token that their browser holds.

    ``grants`` are what the identity provider's groups gave; a local user's are looked up at each
    request. It ends at ``expires_at``, and when nothing was asked for long after ``seen_at``.
    """

    digest: str
    kind: PrincipalKind
    user: str
    created_at: float
    seen_at: float
    expires_at: float
    grants: tuple[Grant, ...] = ()


class Users(Protocol):
    def put_user(self, user: UserRecord) -> None: ...
    def find_user(self, name: str) -> UserRecord | None: ...
    def users(self) -> list[UserRecord]:
        """By name."""
        ...

    def drop_user(self, name: str) -> None:
        """With all of their sessions."""
        ...

    def put_session(self, session: SessionRecord) -> None: ...
    def find_session(self, digest: str) -> SessionRecord | None: ...
    def sessions(self, kind: PrincipalKind, user: str) -> list[SessionRecord]:
        """Oldest first."""
        ...

    def drop_session(self, digest: str) -> None: ...
    def drop_expired_sessions(self, wall: float) -> None: ...
