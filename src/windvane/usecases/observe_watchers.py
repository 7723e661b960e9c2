"""What the control database says of those who work beside the console."""

from __future__ import annotations

from windvane.core.health import WatcherFacts
from windvane.ports.control_store import Tx
from windvane.usecases.leases import SHARD, SHARDS


def observe_watchers(tx: Tx, wall: float) -> WatcherFacts:
    """At ``wall`` (s). The recorder that was seen last speaks for all: one that is gone for good
    must not keep an installation degraded."""
    seen = [c.seen_at for c in tx.checkpoints() if not c.dropped and c.seen_at is not None]
    held = sum(lease.alive for lease in tx.leases(SHARD))
    return WatcherFacts(
        recorder_seen_ago=max(0.0, wall - max(seen)) if seen else None,
        shards_held=held,
        shards=SHARDS,
        routing_seq=tx.routing_seq(),
    )
