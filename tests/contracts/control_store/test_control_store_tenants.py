"""Keys, limits, trust and the record of access, on every dialect."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windvane.adapters.sql import SqlControlStore
from windvane.core.routing import EVERYONE, KeyEntry, RoutingTable, Scope, TenantLimit
from windvane.ports.control_store import Access, KeyRecord, StoreUnavailable, Trust

Opener = Callable[[], SqlControlStore]
DEADLINE_S = 20.0
HOUR = 1_700_006_400.0


def key(digest: str, tenant: str = "acme", made: float = 1.0) -> KeyRecord:
    scopes = (Scope.PREDICT.value, Scope.ADMIN.value)
    entry = KeyEntry(digest * 64, tenant, f"id-{digest}", scopes, 1e9 + 0.25, "2026-11-01")
    return KeyRecord(entry, "é 'first'", made)


def seen(calls: int, first: float, last: float, **given: object) -> Access:
    about = {"tenant": "acme", "key": "k1", "model": "delay", "action": "predict", "hour": HOUR}
    return Access(**{**about, **given}, calls=calls, first=first, last=last)  # type: ignore[arg-type]


def all_access(store: SqlControlStore, tenant: str = "") -> list[Access]:
    with store.read() as tx:
        return tx.access(tenant, 0.0, 10_000)


# Keys


def test_keys_read_back_oldest_first(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.key_records() == []
        for record in (key("b", made=2.0), key("c", "zeta"), key("a", "zeta")):
            tx.put_key(record)
    with store.read() as tx:
        assert tx.key_records() == [key("a", "zeta"), key("c", "zeta"), key("b", made=2.0)]


def test_a_key_put_twice_is_one(store: SqlControlStore) -> None:
    ended = replace(key("a"), revoked_at=9.5, successor="id-b")
    with store.begin() as tx:
        tx.put_key(key("a"))
        tx.put_key(ended)
    with store.begin() as tx:
        tx.put_key(ended)
        assert tx.key_records() == [ended]


def test_a_key_without_bounds_reads_back_as_one(store: SqlControlStore) -> None:
    plain = KeyRecord(KeyEntry("d" * 64, "acme"), "", 0.0)
    with store.begin() as tx:
        tx.put_key(plain)
        tx.add_routing(RoutingTable(0, {}, (plain.entry, key("a").entry)))
    with store.read() as tx:
        table = tx.routing()
        assert tx.key_records() == [plain]
    assert table is not None
    assert table.keys == (plain.entry, key("a").entry)


# Limits


def test_limits_are_replaced_by_tenant_and_model(store: SqlControlStore) -> None:
    everyones = TenantLimit(EVERYONE, "", 100, 1.5, 7)
    with store.begin() as tx:
        assert tx.limits() == []
        for line in (
            TenantLimit("acme", "delay", 5, 60.0, 0),
            TenantLimit("acme", "", 10),
            everyones,
            TenantLimit("acme", "", 0, 60.0, 3),  # a cap alone is a bound
        ):
            tx.put_limit(line)
    with store.read() as tx:
        assert tx.limits() == [
            everyones, TenantLimit("acme", "", 0, 60.0, 3), TenantLimit("acme", "delay", 5),
        ]  # fmt: skip
        assert tx.routing() is None


def test_a_line_without_bounds_removes_only_itself(store: SqlControlStore) -> None:
    kept = [TenantLimit("acme", "", 1), TenantLimit("other", "delay", 1)]
    with store.begin() as tx:
        for line in (*kept, TenantLimit("acme", "delay", 1)):
            tx.put_limit(line)
        tx.put_limit(TenantLimit("acme", "delay"))
        tx.put_limit(TenantLimit("acme", "delay"))
        tx.put_limit(TenantLimit("nobody"))
    with store.read() as tx:
        assert tx.limits() == kept


# Trust


def test_trust_is_in_a_manifest(store: SqlControlStore) -> None:
    first = Trust("a" * 64, "delay", "1", "cli:ada", 2.0)
    same_files = Trust("a" * 64, "delay", "7", "cli:bob", 3.0)
    other = Trust("b" * 64, "delay", "2", "cli:ada", 1.0)
    with store.begin() as tx:
        assert tx.trusted() == []
        tx.put_trust(first)
        tx.put_trust(other)
        tx.put_trust(same_files)
    with store.begin() as tx:
        assert tx.trusted() == [other, same_files]
        tx.drop_trust("b" * 64)
        tx.drop_trust("c" * 64)
    with store.read() as tx:
        assert tx.trusted() == [same_files]


# Access


def test_access_merges_calls_first_and_last(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.add_access([])
        tx.add_access([seen(2, HOUR + 10, HOUR + 20), seen(1, HOUR, HOUR, action="outcomes")])
        tx.add_access([seen(3, HOUR + 5, HOUR + 15)])
    with store.begin() as tx:
        tx.add_access([seen(1, HOUR + 30, HOUR + 30)])
    assert all_access(store) == [
        seen(6, HOUR + 5, HOUR + 30), seen(1, HOUR, HOUR, action="outcomes"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [{"tenant": "zeta"}, {"key": "k2"}, {"model": ""}, {"action": "refused CON-101"},
     {"hour": HOUR + 3_600.0}],
    ids=str,
)  # fmt: skip
def test_what_differs_in_anything_is_a_line_of_its_own(
    store: SqlControlStore, other: dict[str, object]
) -> None:
    lines = [seen(1, HOUR, HOUR + 1), seen(1, HOUR, HOUR, **other)]
    with store.begin() as tx:
        tx.add_access(lines)
        tx.add_access(lines)
    assert [line.calls for line in all_access(store)] == [2, 2]


def test_access_is_read_newest_first_by_tenant_since_when(store: SqlControlStore) -> None:
    lines = [
        seen(1, HOUR, HOUR + at, tenant=tenant, key=name)
        for at, tenant, name in ((1, "acme", "a"), (3, "zeta", "b"), (2, "acme", "c"))
    ]
    with store.begin() as tx:
        tx.add_access(lines)
    with store.read() as tx:
        assert [line.key for line in tx.access("", 0.0, 10)] == ["b", "c", "a"]
        assert [line.key for line in tx.access("acme", 0.0, 10)] == ["c", "a"]
        assert [line.key for line in tx.access("acme", 0.0, 1)] == ["c"]
        assert [line.key for line in tx.access("", HOUR + 2, 10)] == ["b", "c"]
        assert tx.access("nobody", 0.0, 10) == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 2**40), st.floats(0, 3_600)), min_size=1, max_size=8),
    st.lists(st.integers(0, 8), max_size=3),
)
def test_any_cut_and_order_gives_the_same_line(
    store: SqlControlStore, calls: list[tuple[int, float]], cuts: list[int]
) -> None:
    """Each example has a tenant of its own."""
    tenant = f"t{abs(hash((tuple(calls), tuple(cuts))))}"
    lines = [seen(n, HOUR + at, HOUR + at, tenant=tenant) for n, at in calls]
    edges = sorted({0, len(lines), *(c for c in cuts if c < len(lines))})
    with store.begin() as tx:
        already = sum(line.calls for line in tx.access(tenant, 0.0, 10))
        for low, high in pairwise(edges):
            tx.add_access(lines[low:high])
    (whole,) = all_access(store, tenant)
    times = [HOUR + at for _, at in calls]
    assert whole.calls == already + sum(n for n, _ in calls)
    assert (whole.first, whole.last) == (min(times), max(times))


def test_recorders_that_add_at_once_lose_no_call(open_store: Opener) -> None:
    """Four machines meet the same tenant's line, in opposite orders."""
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def work(machine: int) -> None:
        try:
            mine = open_store()
            start.wait(DEADLINE_S)
            for turn in range(5):
                lines = [seen(1, HOUR + machine, HOUR + turn, key=name) for name in ("k1", "k2")]
                with mine.begin() as tx:
                    tx.add_access(lines if machine % 2 else lines[::-1])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert errors == []
    assert {(a.key, a.calls, a.first, a.last) for a in all_access(open_store())} == {
        ("k1", 20, HOUR, HOUR + 4), ("k2", 20, HOUR, HOUR + 4),
    }  # fmt: skip


def test_an_error_takes_it_all_back(store: SqlControlStore) -> None:
    with pytest.raises(ZeroDivisionError), store.begin() as tx:
        tx.put_key(key("a"))
        tx.put_limit(TenantLimit("acme", "", 1))
        tx.put_trust(Trust("a" * 64, "delay", "1", "x", 1.0))
        tx.add_access([seen(1, HOUR, HOUR)])
        raise ZeroDivisionError
    with store.read() as tx:
        assert (tx.key_records(), tx.limits(), tx.trusted()) == ([], [], [])
        assert tx.access("", 0.0, 10) == []


def test_a_reader_cannot_make_a_key(store: SqlControlStore) -> None:
    with pytest.raises(StoreUnavailable), store.read() as tx:
        tx.put_key(key("a"))
    with store.read() as tx:
        assert tx.key_records() == []
