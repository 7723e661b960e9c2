"""Users and sessions, on both databases."""

from __future__ import annotations

from dataclasses import replace

from windvane.adapters.sql import SqlControlStore
from windvane.core.authorization import Grant, PrincipalKind, Role
from windvane.core.routing import KeyEntry
from windvane.ports.control_store import KeyRecord
from windvane.ports.users import SessionRecord, UserRecord

ANA = UserRecord("ana", "$hash", (Grant(Role.OPERATOR, team="é ops"), Grant(Role.VIEWER)), 1.5, 2.5)
BEN = UserRecord("ben", "$other", (Grant(Role.ADMIN),), 1.0, 1.0)


def session(digest: str, user: str = "ana", at: float = 1.0, **more: object) -> SessionRecord:
    made = SessionRecord(digest, PrincipalKind.USER, user, at, at, at + 100.0)
    return replace(made, **more)  # type: ignore[arg-type]


def test_users_are_kept_changed_and_dropped_with_their_sessions(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.put_user(BEN)
        tx.put_user(ANA)
        tx.put_session(session("a"))
        tx.put_session(session("o", kind=PrincipalKind.OIDC, grants=(Grant(Role.VIEWER),)))
    with store.read() as tx:
        assert tx.users() == [ANA, BEN]
        assert tx.find_user("ana") == ANA
        assert tx.find_user("Ana") is None
    changed = replace(ANA, grants=(Grant(Role.APPROVER, model="late"),))
    with store.begin() as tx:
        tx.put_user(changed)
        tx.drop_user("ben")
    with store.begin() as tx:
        assert tx.users() == [changed]
        tx.drop_user("ana")
        assert tx.find_session("a") is None
        assert tx.find_session("o") is not None, "of another ana, whom the provider knows"
        assert tx.users() == []


def test_sessions_are_found_listed_and_end(store: SqlControlStore) -> None:
    given = [session("c", at=3.0), session("a", at=1.0), session("b", "ben", at=2.0)]
    with store.begin() as tx:
        for one in given:
            tx.put_session(one)
        tx.put_session(replace(given[0], seen_at=9.0))
    with store.begin() as tx:
        assert tx.find_session("c") == replace(given[0], seen_at=9.0)
        assert [s.digest for s in tx.sessions(PrincipalKind.USER, "ana")] == ["a", "c"]
        assert tx.sessions(PrincipalKind.OIDC, "ana") == []
        tx.drop_session("c")
        tx.drop_session("never")
        tx.drop_expired_sessions(101.0)
        assert tx.find_session("a") is None
        assert tx.find_session("b") is not None


def test_a_key_is_found_by_its_hash_with_its_roles(store: SqlControlStore) -> None:
    key = KeyRecord(KeyEntry("d" * 64, "acme", "id"), "x", 1.0, grants=(Grant(Role.VIEWER),))
    with store.begin() as tx:
        tx.put_key(key)
    with store.read() as tx:
        assert tx.find_key("d" * 64) == key
        assert tx.find_key("e" * 64) is None
