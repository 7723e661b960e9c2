"""End a key's life, at once or after its successor was handed out."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.errors import WindvaneError, did_you_mean
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, KeyRecord, Tx
from windvane.usecases.issue_key import decide_keys, new_key
from windvane.usecases.read_model_file import as_duration


class UnknownKey(WindvaneError):
    """No living key has this id, or none that was not rotated yet."""

    code: ClassVar[str] = "KEY-103"


def revoke_key(
    store: ControlStore, clock: Clock, key_id: str, *, by: str = "", reason: str = ""
) -> KeyRecord:
    """No gateway takes the key once it has the next routing table. Raises UnknownKey."""
    with store.begin() as tx:
        held = living_key(tx, clock, key_id)
        ended = replace(held, revoked_at=clock.wall())
        tx.put_key(ended)
        facts: dict[str, object] = {"keys": [key_id], "tenants": [held.entry.tenant]}
        message = f"key {key_id} of {held.entry.tenant} was revoked"
        decision = f"keys/{key_id}/revoke"
        decide_keys(tx, clock, decision, "revoke", facts, message, by=by, reason=reason)
    return ended


def rotate_key(
    store: ControlStore,
    clock: Clock,
    key_id: str,
    *,
    grace_s: float,
    by: str = "",
    reason: str = "",
) -> tuple[str, KeyRecord]:
    """A key of the same tenant, name, scopes, roles and version; the old one is good for
    ``grace_s`` seconds more, so that its callers can change over. Raises UnknownKey."""
    with store.begin() as tx:
        held = living_key(tx, clock, key_id)
        if held.successor:
            hint = f"rotate {held.successor}"
            raise UnknownKey(f"key {key_id} gave way to {held.successor} already", hint=hint)
        old = held.entry
        now = clock.wall()
        lifetime = None if old.expires_at is None else old.expires_at - held.created_at
        key, fresh = new_key(
            tx, clock, old.tenant, held.name, old.scopes, lifetime, old.api_version, held.grants
        )
        until = now + grace_s if old.expires_at is None else min(old.expires_at, now + grace_s)
        given_way = replace(held, entry=replace(old, expires_at=until), successor=fresh.entry.id)
        tx.put_key(given_way)
        facts: dict[str, object] = {
            "keys": [key_id, fresh.entry.id], "tenants": [old.tenant], "until": until,
        }  # fmt: skip
        message = (
            f"key {key_id} of {old.tenant} gives way to {fresh.entry.id} in {as_duration(grace_s)}"
        )
        decision = f"keys/{key_id}/rotate/{fresh.entry.id}"
        decide_keys(tx, clock, decision, "rotate", facts, message, by=by, reason=reason)
    return key, fresh


def living_key(tx: Tx, clock: Clock, key_id: str) -> KeyRecord:
    """The key with this id, if it still works; raises UnknownKey."""
    living = {
        record.entry.id: record
        for record in tx.key_records()
        if record.revoked_at is None and not record.entry.expired(clock.wall())
    }
    if key_id not in living:
        raise UnknownKey(f"no living key {key_id!r}", hint=did_you_mean(key_id, living))
    return living[key_id]
