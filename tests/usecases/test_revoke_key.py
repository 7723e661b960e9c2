"""A key's end: at once, or after its successor was handed out."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from usecases.house import House

from windvane.core.routing import KeyEntry
from windvane.ports.control_store import KeyRecord
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.revoke_key import UnknownKey, revoke_key, rotate_key

DAY_S = 86_400.0


def issue(house: House, tenant: str = "acme", **given: Any) -> str:
    """The fresh key's id."""
    key = issue_keys(house.store, house.clock, [tenant], "test", **given)[tenant]
    return key.split("_")[1]


def record(house: House, key_id: str) -> KeyRecord:
    with house.store.read() as tx:
        (found,) = [k for k in tx.key_records() if k.entry.id == key_id]
    return found


def published(house: House) -> list[KeyEntry]:
    """What gateways are told of, in the newest table."""
    with house.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert house.queued(PUBLISH)[-1] == {"seq": table.seq}
    return list(table.keys)


def works(house: House, key_id: str) -> bool:
    found = [entry for entry in published(house) if entry.id == key_id]
    return bool(found) and not found[0].expired(house.clock.wall())


# Revoke


def test_a_revoked_key_leaves_the_table_and_stays_on_record(empty_house: House) -> None:
    house = empty_house
    kept, ended = issue(house), issue(house)
    house.clock.wall_at += 5.0
    told = revoke_key(house.store, house.clock, ended, by="cli:ada")
    assert [entry.id for entry in published(house)] == [kept]
    assert told == record(house, ended)
    assert told.revoked_at == house.clock.wall()
    (decision,) = house.decisions("revoke")
    assert decision.facts == {"keys": [ended], "tenants": ["acme"], "by": "cli:ada"}
    assert decision.verdict.sentence == f"key {ended} of acme was revoked"


def test_revoking_twice_finds_nothing_to_revoke(empty_house: House) -> None:
    house = empty_house
    key_id = issue(house)
    revoke_key(house.store, house.clock, key_id)
    first = record(house, key_id)
    house.clock.wall_at += 5.0
    with pytest.raises(UnknownKey, match="KEY-103"):
        revoke_key(house.store, house.clock, key_id)
    assert record(house, key_id) == first
    assert len(house.decisions("revoke")) == 1


@pytest.mark.parametrize("act", ["revoke", "rotate"])
def test_an_unknown_id_says_which_was_meant(empty_house: House, act: str) -> None:
    house = empty_house
    key_id = issue(house)
    mistyped = key_id[:-1] + ("0" if key_id[-1] != "0" else "1")
    with pytest.raises(UnknownKey, match="KEY-103") as raised:
        if act == "revoke":
            revoke_key(house.store, house.clock, mistyped)
        else:
            rotate_key(house.store, house.clock, mistyped, grace_s=0.0)
    assert mistyped in raised.value.message
    assert raised.value.advice == f"did you mean {key_id!r}?"
    assert works(house, key_id)


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_dead_key_is_neither_rotated_nor_proposed(empty_house: House, how: str) -> None:
    house = empty_house
    dead = issue(house, expires_in_s=60.0)
    if how == "revoked":
        revoke_key(house.store, house.clock, dead)
    else:
        house.clock.wall_at += 60.0
    with pytest.raises(UnknownKey) as raised:
        rotate_key(house.store, house.clock, dead, grace_s=DAY_S)
    assert raised.value.advice == "none is known yet"


# Rotate


def test_a_successor_is_good_for_the_same(empty_house: House) -> None:
    house = empty_house
    old = issue(house, scopes=["read", "predict"], api_version="2026-11-01")
    issue(house, "other")
    house.clock.wall_at += 100.0
    key, fresh = rotate_key(house.store, house.clock, old, grace_s=DAY_S, by="cli:ada")
    assert fresh.entry.digest == hashlib.sha256(key.encode()).hexdigest()
    assert fresh.entry.id == key.split("_")[1] != old
    assert (fresh.name, fresh.created_at) == ("test", house.clock.wall())
    assert (fresh.entry.tenant, fresh.entry.scopes) == ("acme", ("read", "predict"))
    assert (fresh.entry.expires_at, fresh.entry.api_version) == (None, "2026-11-01")
    held = record(house, old)
    assert (held.successor, held.revoked_at) == (fresh.entry.id, None)
    (decision,) = house.decisions("rotate")
    assert decision.facts == {
        "keys": [old, fresh.entry.id], "tenants": ["acme"], "by": "cli:ada",
        "until": house.clock.wall() + DAY_S,
    }  # fmt: skip


def test_both_work_until_the_grace_is_over(empty_house: House) -> None:
    house = empty_house
    old = issue(house)
    _, fresh = rotate_key(house.store, house.clock, old, grace_s=DAY_S)
    for passed, old_works in ((DAY_S - 1.0, True), (1.0, False), (1e9, False)):
        house.clock.wall_at += passed
        assert works(house, old) == old_works
        assert works(house, fresh.entry.id)


def test_without_grace_the_old_key_ends_at_once(empty_house: House) -> None:
    house = empty_house
    old = issue(house)
    _, fresh = rotate_key(house.store, house.clock, old, grace_s=0.0)
    assert (works(house, old), works(house, fresh.entry.id)) == (False, True)


def test_an_expiring_keys_successor_lives_as_long_as_it_was_to(empty_house: House) -> None:
    house = empty_house
    old = issue(house, expires_in_s=30 * DAY_S)
    house.clock.wall_at += 20 * DAY_S
    _, fresh = rotate_key(house.store, house.clock, old, grace_s=DAY_S)
    assert fresh.entry.expires_at == house.clock.wall() + 30 * DAY_S
    assert record(house, old).entry.expires_at == house.clock.wall() + DAY_S


def test_grace_never_lengthens_a_life(empty_house: House) -> None:
    house = empty_house
    old = issue(house, expires_in_s=100.0)
    end = record(house, old).entry.expires_at
    house.clock.wall_at += 60.0
    rotate_key(house.store, house.clock, old, grace_s=DAY_S)
    assert record(house, old).entry.expires_at == end


def test_a_key_gives_way_once(empty_house: House) -> None:
    """A second rotation would take the grace for a lifetime, and end the grace anew."""
    house = empty_house
    old = issue(house)
    _, fresh = rotate_key(house.store, house.clock, old, grace_s=DAY_S)
    with pytest.raises(UnknownKey, match=f"gave way to {fresh.entry.id}") as raised:
        rotate_key(house.store, house.clock, old, grace_s=DAY_S)
    assert raised.value.advice == f"rotate {fresh.entry.id}"
    _, again = rotate_key(house.store, house.clock, fresh.entry.id, grace_s=DAY_S)
    assert again.entry.expires_at is None
    assert len(published(house)) == 3


def test_a_rotated_key_may_be_revoked_before_its_grace_is_over(empty_house: House) -> None:
    house = empty_house
    old = issue(house)
    _, fresh = rotate_key(house.store, house.clock, old, grace_s=DAY_S)
    revoke_key(house.store, house.clock, old)
    assert [entry.id for entry in published(house)] == [fresh.entry.id]
