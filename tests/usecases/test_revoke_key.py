"""A key's end: at once, or after its successor was handed out."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from usecases.harness import Harness

from windvane.core.routing import KeyEntry
from windvane.ports.control_store import KeyRecord
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.revoke_key import UnknownKey, revoke_key, rotate_key

DAY_S = 86_400.0


def issue(harness: Harness, tenant: str = "acme", **given: Any) -> str:
    """The fresh key's id."""
    key = issue_keys(harness.store, harness.clock, [tenant], "test", **given)[tenant]
    return key.split("_")[1]


def record(harness: Harness, key_id: str) -> KeyRecord:
    with harness.store.read() as tx:
        (found,) = [k for k in tx.key_records() if k.entry.id == key_id]
    return found


def published(harness: Harness) -> list[KeyEntry]:
    """What gateways are told of, in the newest table."""
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert harness.queued(PUBLISH)[-1] == {"seq": table.seq}
    return list(table.keys)


def works(harness: Harness, key_id: str) -> bool:
    found = [entry for entry in published(harness) if entry.id == key_id]
    return bool(found) and not found[0].expired(harness.clock.wall())


# Revoke


def test_a_revoked_key_leaves_the_table_and_stays_on_record(empty_harness: Harness) -> None:
    harness = empty_harness
    kept, ended = issue(harness), issue(harness)
    harness.clock.wall_at += 5.0
    told = revoke_key(harness.store, harness.clock, ended, by="cli:ada")
    assert [entry.id for entry in published(harness)] == [kept]
    assert told == record(harness, ended)
    assert told.revoked_at == harness.clock.wall()
    (decision,) = harness.decisions("revoke")
    assert decision.facts == {"keys": [ended], "tenants": ["acme"]}
    assert decision.actor == "cli:ada"
    assert decision.verdict.sentence == f"key {ended} of acme was revoked"


def test_revoking_twice_finds_nothing_to_revoke(empty_harness: Harness) -> None:
    harness = empty_harness
    key_id = issue(harness)
    revoke_key(harness.store, harness.clock, key_id)
    first = record(harness, key_id)
    harness.clock.wall_at += 5.0
    with pytest.raises(UnknownKey, match="KEY-103"):
        revoke_key(harness.store, harness.clock, key_id)
    assert record(harness, key_id) == first
    assert len(harness.decisions("revoke")) == 1


@pytest.mark.parametrize("act", ["revoke", "rotate"])
def test_an_unknown_id_says_which_was_meant(empty_harness: Harness, act: str) -> None:
    harness = empty_harness
    key_id = issue(harness)
    mistyped = key_id[:-1] + ("0" if key_id[-1] != "0" else "1")
    with pytest.raises(UnknownKey, match="KEY-103") as raised:
        if act == "revoke":
            revoke_key(harness.store, harness.clock, mistyped)
        else:
            rotate_key(harness.store, harness.clock, mistyped, grace_s=0.0)
    assert mistyped in raised.value.message
    assert raised.value.advice == f"did you mean {key_id!r}?"
    assert works(harness, key_id)


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_dead_key_is_neither_rotated_nor_proposed(empty_harness: Harness, how: str) -> None:
    harness = empty_harness
    dead = issue(harness, expires_in_s=60.0)
    if how == "revoked":
        revoke_key(harness.store, harness.clock, dead)
    else:
        harness.clock.wall_at += 60.0
    with pytest.raises(UnknownKey) as raised:
        rotate_key(harness.store, harness.clock, dead, grace_s=DAY_S)
    assert raised.value.advice == "none is known yet"


# Rotate


def test_a_successor_is_good_for_the_same(empty_harness: Harness) -> None:
    harness = empty_harness
    old = issue(harness, scopes=["read", "predict"], api_version="2026-11-01")
    issue(harness, "other")
    harness.clock.wall_at += 100.0
    key, fresh = rotate_key(harness.store, harness.clock, old, grace_s=DAY_S, by="cli:ada")
    assert fresh.entry.digest == hashlib.sha256(key.encode()).hexdigest()
    assert fresh.entry.id == key.split("_")[1] != old
    assert (fresh.name, fresh.created_at) == ("test", harness.clock.wall())
    assert (fresh.entry.tenant, fresh.entry.scopes) == ("acme", ("read", "predict"))
    assert (fresh.entry.expires_at, fresh.entry.api_version) == (None, "2026-11-01")
    held = record(harness, old)
    assert (held.successor, held.revoked_at) == (fresh.entry.id, None)
    (decision,) = harness.decisions("rotate")
    assert decision.facts == {
        "keys": [old, fresh.entry.id], "tenants": ["acme"],
        "until": harness.clock.wall() + DAY_S,
    }  # fmt: skip
    assert decision.actor == "cli:ada"


def test_both_work_until_the_grace_is_over(empty_harness: Harness) -> None:
    harness = empty_harness
    old = issue(harness)
    _, fresh = rotate_key(harness.store, harness.clock, old, grace_s=DAY_S)
    for passed, old_works in ((DAY_S - 1.0, True), (1.0, False), (1e9, False)):
        harness.clock.wall_at += passed
        assert works(harness, old) == old_works
        assert works(harness, fresh.entry.id)


def test_without_grace_the_old_key_ends_at_once(empty_harness: Harness) -> None:
    harness = empty_harness
    old = issue(harness)
    _, fresh = rotate_key(harness.store, harness.clock, old, grace_s=0.0)
    assert (works(harness, old), works(harness, fresh.entry.id)) == (False, True)


def test_an_expiring_keys_successor_lives_as_long_as_it_was_to(empty_harness: Harness) -> None:
    harness = empty_harness
    old = issue(harness, expires_in_s=30 * DAY_S)
    harness.clock.wall_at += 20 * DAY_S
    _, fresh = rotate_key(harness.store, harness.clock, old, grace_s=DAY_S)
    assert fresh.entry.expires_at == harness.clock.wall() + 30 * DAY_S
    assert record(harness, old).entry.expires_at == harness.clock.wall() + DAY_S


def test_grace_never_lengthens_a_life(empty_harness: Harness) -> None:
    harness = empty_harness
    old = issue(harness, expires_in_s=100.0)
    end = record(harness, old).entry.expires_at
    harness.clock.wall_at += 60.0
    rotate_key(harness.store, harness.clock, old, grace_s=DAY_S)
    assert record(harness, old).entry.expires_at == end


def test_a_key_gives_way_once(empty_harness: Harness) -> None:
    """A second rotation would take the grace for a lifetime, and end the grace anew."""
    harness = empty_harness
    old = issue(harness)
    _, fresh = rotate_key(harness.store, harness.clock, old, grace_s=DAY_S)
    with pytest.raises(UnknownKey, match=f"gave way to {fresh.entry.id}") as raised:
        rotate_key(harness.store, harness.clock, old, grace_s=DAY_S)
    assert raised.value.advice == f"rotate {fresh.entry.id}"
    _, again = rotate_key(harness.store, harness.clock, fresh.entry.id, grace_s=DAY_S)
    assert again.entry.expires_at is None
    assert len(published(harness)) == 3


def test_a_rotated_key_may_be_revoked_before_its_grace_is_over(empty_harness: Harness) -> None:
    harness = empty_harness
    old = issue(harness)
    _, fresh = rotate_key(harness.store, harness.clock, old, grace_s=DAY_S)
    revoke_key(harness.store, harness.clock, old)
    assert [entry.id for entry in published(harness)] == [fresh.entry.id]
