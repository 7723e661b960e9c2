"""Which steward judges which models: shards by name, a lease each, shared by all who live."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windvane.ports.control_store import ControlStore, Tx
from windvane.ports.leases import Lease, LeaseLost

SHARDS = 16
SHARD = "steward/shard/"
"""What the names of shards' leases begin with."""
_MEMBER = "steward/member/"
_FORGET_AFTER_S = 3_600.0


def lease_of(model: str) -> str:
    """The lease of the shard that a model is in, wherever it is asked for."""
    return f"{SHARD}{zlib.crc32(model.encode()) % SHARDS:02d}"


@dataclass(frozen=True, slots=True)
class Shards:
    """Leases that a steward holds: fencing tokens by name."""

    tokens: Mapping[str, int]

    def holds(self, model: str) -> bool:
        return lease_of(model) in self.tokens

    @property
    def leads(self) -> bool:
        """Whether what one of all stewards has to do is this one's."""
        return f"{SHARD}{0:02d}" in self.tokens

    def require(self, tx: Tx, models: Iterable[str]) -> None:
        """Raise LeaseLost, and so roll the transaction back, unless the leases of all of
        ``models`` are still held."""
        for name in sorted({lease_of(model) for model in models}):
            tx.require(name, self.tokens.get(name, -1))


def hold_shards(store: ControlStore, holder: str, ttl: float) -> Shards:
    """Renew what ``holder`` has and take its fair part of the rest, for ``ttl`` seconds.

    Stewards that live share the shards evenly: one that is new gets its part as the others give
    up what is above theirs, and the part of one that died is free once its leases end.
    """
    with store.begin([]) as tx:
        tx.acquire(_MEMBER + holder, holder, ttl)
        members = [lease for lease in tx.leases(_MEMBER) if lease.alive]
        held = {lease.name: lease for lease in tx.leases(SHARD)}
        fair = math.ceil(SHARDS / max(1, len(members)))
        mine = [lease for lease in held.values() if lease.alive and lease.holder == holder]
        for lease in mine[fair:]:
            tx.release(lease.name, lease.token)
        tokens: dict[str, int] = {}
        wanted = [lease.name for lease in mine[:fair]]
        wanted += [name for name in _names() if _free(held.get(name))]
        for name in wanted:
            if len(tokens) < fair and (token := tx.acquire(name, holder, ttl)) is not None:
                tokens[name] = token
        tx.forget_leases(_MEMBER, _FORGET_AFTER_S)
    return Shards(tokens)


def extend_leases(store: ControlStore, holder: str, shards: Shards, ttl: float) -> None:
    """Hold for ``ttl`` seconds more what ``holder`` has, and take and leave nothing: a turn is at
    work on it. Raises LeaseLost where it is another's or ended by now, and nothing is changed."""
    with store.begin([]) as tx:
        tx.acquire(_MEMBER + holder, holder, ttl)
        for name, token in shards.tokens.items():
            if tx.acquire(name, holder, ttl) != token:
                raise LeaseLost(f"lease {name!r} with token {token} has ended")


def give_up(store: ControlStore, holder: str, shards: Shards) -> None:
    """Let others go on at once: a steward that stops need not be waited for."""
    with store.begin([]) as tx:
        for name, token in shards.tokens.items():
            tx.release(name, token)
        member = _MEMBER + holder
        for lease in tx.leases(member):
            tx.release(lease.name, lease.token)


def _names() -> list[str]:
    return [f"{SHARD}{i:02d}" for i in range(SHARDS)]


def _free(lease: Lease | None) -> bool:
    return lease is None or not lease.alive
