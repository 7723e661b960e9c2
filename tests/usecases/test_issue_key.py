"""API keys: shown once, kept as a hash, good for what they were issued for."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from usecases.harness import Harness

from windvane.core.routing import KeyEntry
from windvane.ports.control_store import KeyRecord
from windvane.usecases.issue_key import BadApiVersion, BadScope, BadTenant, issue_keys
from windvane.usecases.publish_routing import PUBLISH


def issued(harness: Harness, **given: Any) -> KeyRecord:
    """The record of a key for acme."""
    issue_keys(harness.store, harness.clock, ["acme"], "test", **given)
    with harness.store.read() as tx:
        return tx.key_records()[-1]


def test_only_the_hash_is_stored(empty_harness: Harness) -> None:
    harness = empty_harness
    keys = issue_keys(harness.store, harness.clock, ["AA", "UA"], "first")
    assert list(keys) == ["AA", "UA"]
    assert len(set(keys.values())) == 2
    with harness.store.read() as tx:
        held = {record.entry.tenant: record.entry.digest for record in tx.key_records()}
    assert held == {t: hashlib.sha256(k.encode()).hexdigest() for t, k in keys.items()}


def test_no_file_of_the_installation_holds_a_key(empty_harness: Harness) -> None:
    harness = empty_harness
    (key,) = issue_keys(harness.store, harness.clock, ["AA"], "first").values()
    _, _, secret = key.encode().split(b"_", 2)
    searched = [p for p in harness.folder.rglob("*") if p.is_file()]
    assert any(b"AA" in path.read_bytes() for path in searched)
    assert not any(secret in path.read_bytes() for path in searched)


def test_a_key_names_itself_and_has_256_bits_beside(empty_harness: Harness) -> None:
    harness = empty_harness
    (key,) = issue_keys(harness.store, harness.clock, ["AA"], "first").values()
    word, name, secret = key.split("_", 2)
    assert word == "wv"
    assert len(secret) == 43  # 32 bytes in base64
    with harness.store.read() as tx:
        (record,) = tx.key_records()
    assert record.entry.id == name


def test_no_two_keys_share_an_id(empty_harness: Harness) -> None:
    harness = empty_harness
    issue_keys(harness.store, harness.clock, [f"t{i}" for i in range(300)], "many")
    with harness.store.read() as tx:
        ids = [record.entry.id for record in tx.key_records()]
    assert len(set(ids)) == 300
    assert min(map(len, ids)) >= 12, "too short to be unique over an installation's life"


def test_the_gateways_are_told(empty_harness: Harness) -> None:
    harness = empty_harness
    issue_keys(harness.store, harness.clock, ["AA"], "first", scopes=["read"], expires_in_s=60.0)
    with harness.store.read() as tx:
        table = tx.routing()
        (record,) = tx.key_records()
    assert table is not None
    assert table.keys == (record.entry,)
    assert harness.queued(PUBLISH) == [{"seq": table.seq}]


def test_issuing_is_recorded_without_the_key(empty_harness: Harness) -> None:
    harness = empty_harness
    issue_keys(harness.store, harness.clock, ["AA"], "first", by="cli:ada", reason="T-1")
    harness.clock.at += 1
    issue_keys(harness.store, harness.clock, ["AA"], "first")
    newest, first = harness.decisions("issue")
    with harness.store.read() as tx:
        ids = [record.entry.id for record in tx.key_records()]
    assert len(ids) == 2
    assert first.facts["keys"][0] in ids
    assert {k: v for k, v in first.facts.items() if k != "keys"} == {
        "tenants": ["AA"], "name": "first", "scopes": ["predict", "outcomes"],
    }  # fmt: skip
    assert (first.actor, first.reason) == ("cli:ada", "T-1")
    assert (newest.actor, newest.reason) == ("", "")
    assert (first.verdict.code, first.verdict.sentence) == ("KEY-100", "1 key issued")


# What it is good for


def test_without_scopes_it_may_predict_and_send_outcomes(empty_harness: Harness) -> None:
    record = issued(empty_harness)
    assert record == KeyRecord(
        KeyEntry(record.entry.digest, "acme", record.entry.id, ("predict", "outcomes"), None, ""),
        "test",
        empty_harness.clock.wall(),
    )


def test_scopes_are_kept_in_their_order_each_once(empty_harness: Harness) -> None:
    record = issued(empty_harness, scopes=["admin", "read", "admin"])
    assert record.entry.scopes == ("admin", "read")


@pytest.mark.parametrize(
    ("scopes", "said", "hint"),
    [
        (["predikt"], "no scope 'predikt'", "did you mean 'predict'?"),
        (["predict", "Admin"], "no scope 'Admin'", "did you mean 'admin'?"),
        (["*"], "no scope '*'", "known: admin, events, operate, outcomes, predict, read"),
        ([""], "no scope ''", "known: admin"),
        ([], "good for nothing", "predict, outcomes, events, read, operate, admin"),
    ],
)
def test_a_bad_scope_issues_nothing(
    empty_harness: Harness, scopes: list[str], said: str, hint: str
) -> None:
    with pytest.raises(BadScope, match="KEY-102") as raised:
        issued(empty_harness, scopes=scopes)
    assert said in raised.value.message
    assert hint in raised.value.advice
    assert empty_harness.decisions("issue") == []


def test_a_life_is_counted_by_the_wall_clock(empty_harness: Harness) -> None:
    """Business time may be a demo's; a key's end is real."""
    empty_harness.clock.at, empty_harness.clock.wall_at = 5e9, 1_000.0
    record = issued(empty_harness, expires_in_s=90.0)
    assert (record.created_at, record.entry.expires_at) == (1_000.0, 1_090.0)


def test_a_version_pins_its_callers(empty_harness: Harness) -> None:
    assert issued(empty_harness, api_version="2026-11-01").entry.api_version == "2026-11-01"


# Tenants


@pytest.mark.parametrize("tenant", ["", " ", " acme", "acme\n", "a\x00b", "x" * 129, "*"])
def test_a_tenant_has_a_name(empty_harness: Harness, tenant: str) -> None:
    with pytest.raises(BadTenant, match="KEY-101"):
        issue_keys(empty_harness.store, empty_harness.clock, ["fine", tenant], "first")
    with empty_harness.store.read() as tx:
        assert tx.key_records() == [], "all or none"


def test_the_star_is_everyone_and_says_so(empty_harness: Harness) -> None:
    with pytest.raises(BadTenant, match="every tenant"):
        issue_keys(empty_harness.store, empty_harness.clock, ["*"], "first")


@pytest.mark.parametrize("tenant", ["a", "x" * 128, "Müller & Söhne", "a/b", "**", "日本"])
def test_any_printable_name_will_do(empty_harness: Harness, tenant: str) -> None:
    assert list(issue_keys(empty_harness.store, empty_harness.clock, [tenant], "n")) == [tenant]


def test_a_key_is_pinned_to_a_version_that_exists(empty_harness: Harness) -> None:
    harness = empty_harness
    with pytest.raises(BadApiVersion, match="did you mean '2026-11-"):
        issue_keys(harness.store, harness.clock, ["AA"], "first", api_version="2026-11-02")
    issue_keys(harness.store, harness.clock, ["AA"], "first", api_version="2026-11-01")
    with harness.store.read() as tx:
        assert [record.entry.api_version for record in tx.key_records()] == ["2026-11-01"]
