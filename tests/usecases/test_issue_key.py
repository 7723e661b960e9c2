"""API keys: shown once, kept as a hash, published with the routing table."""

from __future__ import annotations

import hashlib

import pytest
from usecases.house import House

from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import PUBLISH


def test_only_the_hash_is_stored(empty_house: House) -> None:
    house = empty_house
    keys = issue_keys(house.store, house.clock, ["AA", "UA"], "first")
    assert list(keys) == ["AA", "UA"]
    assert len(set(keys.values())) == 2
    with house.store.read() as tx:
        held = {entry.tenant: entry.digest for entry in tx.keys()}  # noqa: SIM118
    assert held == {t: hashlib.sha256(k.encode()).hexdigest() for t, k in keys.items()}


def test_no_file_of_the_installation_holds_a_key(empty_house: House) -> None:
    house = empty_house
    (key,) = issue_keys(house.store, house.clock, ["AA"], "first").values()
    secret = key.removeprefix("wv_").encode()
    searched = [p for p in house.folder.rglob("*") if p.is_file()]
    assert any(b"AA" in path.read_bytes() for path in searched)
    assert not any(secret in path.read_bytes() for path in searched)


def test_a_key_has_256_bits(empty_house: House) -> None:
    (key,) = issue_keys(empty_house.store, empty_house.clock, ["AA"], "first").values()
    assert key.startswith("wv_")
    assert len(key) == 3 + 43  # 32 bytes in base64


def test_the_gateways_are_told(empty_house: House) -> None:
    house = empty_house
    issue_keys(house.store, house.clock, ["AA"], "first")
    with house.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert [entry.tenant for entry in table.keys] == ["AA"]
    assert house.queued(PUBLISH) == [{"seq": table.seq}]


def test_issuing_is_recorded_without_the_key(empty_house: House) -> None:
    house = empty_house
    issue_keys(house.store, house.clock, ["AA"], "first")
    issue_keys(house.store, house.clock, ["AA"], "first")
    decisions = house.decisions("issue")
    assert len(decisions) == 2
    assert decisions[0].facts == {"tenants": ["AA"], "name": "first"}
    with house.store.read() as tx:
        assert len(tx.keys()) == 2


@pytest.mark.parametrize("tenant", ["", " ", "a\x00b"])
def test_a_tenant_has_a_name(empty_house: House, tenant: str) -> None:
    with pytest.raises(Exception, match="tenant"):
        issue_keys(empty_house.store, empty_house.clock, [tenant], "first")
