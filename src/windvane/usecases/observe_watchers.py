"""What the control database says of those who work beside the console."""

from __future__ import annotations

from windvane.core.health import WatcherFacts
from windvane.ports.control_store import Tx
from windvane.usecases.leases import SHARD, SHARDS
from windvane.usecases.recorded_until import seen_ages


def observe_watchers(tx: Tx, wall: float) -> WatcherFacts:
    """At ``wall`` (s). The recorder that was seen last speaks for all: one that is gone for good
    must not keep an installation degraded."""
    ages = seen_ages(tx.checkpoints(), wall)
    held = sum(lease.alive for lease in tx.leases(SHARD))
    return WatcherFacts(
        recorder_seen_ago=min(ages.values(), default=None),
        shards_held=held,
        shards=SHARDS,
        routing_seq=tx.routing_seq(),
    )
