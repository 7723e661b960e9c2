"""Users and sessions."""

from __future__ import annotations

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.core.authorization import PrincipalKind
from windvane.ports.users import SessionRecord, UserRecord


class UserRows(Rows):
    def put_user(self, user: UserRecord) -> None:
        row = {"name": user.name, "created_at": user.created_at, "body": dump(user)}
        self.put(t.users, row)

    def find_user(self, name: str) -> UserRecord | None:
        row = self.one(sa.select(t.users.c.body).where(t.users.c.name == name))
        return None if row is None else load(row.body, UserRecord)

    def users(self) -> list[UserRecord]:
        found = sa.select(t.users.c.body).order_by(t.users.c.name)
        return [load(row.body, UserRecord) for row in self.all(found)]

    def drop_user(self, name: str) -> None:
        self._c.execute(sa.delete(t.users).where(t.users.c.name == name))
        mine = (t.sessions.c.kind == PrincipalKind.USER.value) & (t.sessions.c.user_name == name)
        self._c.execute(sa.delete(t.sessions).where(mine))

    def put_session(self, session: SessionRecord) -> None:
        self.put(
            t.sessions,
            {
                "digest": session.digest,
                "kind": session.kind.value,
                "user_name": session.user,
                "created_at": session.created_at,
                "expires_at": session.expires_at,
                "body": dump(session),
            },
        )

    def find_session(self, digest: str) -> SessionRecord | None:
        row = self.one(sa.select(t.sessions.c.body).where(t.sessions.c.digest == digest))
        return None if row is None else load(row.body, SessionRecord)

    def sessions(self, kind: PrincipalKind, user: str) -> list[SessionRecord]:
        c = t.sessions.c
        found = sa.select(c.body).where(c.kind == kind.value, c.user_name == user)
        found = found.order_by(c.created_at, c.digest)
        return [load(row.body, SessionRecord) for row in self.all(found)]

    def drop_session(self, digest: str) -> None:
        self._c.execute(sa.delete(t.sessions).where(t.sessions.c.digest == digest))

    def drop_expired_sessions(self, wall: float) -> None:
        self._c.execute(sa.delete(t.sessions).where(t.sessions.c.expires_at <= wall))
