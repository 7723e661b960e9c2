"""Carry out what decisions queued: publish, notify, mirror. Each kind has a lane of its own."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from windvane.core.errors import WindvaneError
from windvane.ports.artifacts import Artifacts
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, OutboxItem, Tx, UnknownName
from windvane.ports.registry import AliasMirror
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.notify_people import (
    FOLLOW,
    Outlets,
    Postponed,
    tell_followers,
    tell_people,
)
from windvane.usecases.publish_routing import (
    ALIAS,
    DELETE_FILES,
    NOTIFY,
    PUBLISH,
    publish_table,
)
from windvane.usecases.send_digest import DIGEST, tell_digest
from windvane.usecases.set_aside import NEVER, failed_notification
from windvane.usecases.tell_updates import UPDATE, tell_update

_log = logging.getLogger(__name__)
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 300.0
_MOST_TRIES = 300  # a day
_CLAIMED_FOR_S = 60.0
# Whoever waits longer was set aside; and how many are looked through for a newer one.
_WAITS_AT_MOST_S = 7 * 86_400.0
_MOST_WAITING = 1_000


@dataclass(frozen=True, slots=True)
class Lane:
    """Effects that wait for each other and for nothing else: the ``kinds`` of one port, carried
    out ``at_once`` at a time by ``carry_out``, which raises Postponed for one whose time has not
    come."""

    name: str
    kinds: tuple[str, ...]
    at_once: int
    carry_out: Callable[[OutboxItem], None]


def make_lanes(
    store: ControlStore,
    clock: Clock,
    feed: RoutingFeed,
    outlets: Outlets,
    mirror: AliasMirror,
    artifacts: Artifacts,
) -> tuple[Lane, ...]:
    """A lane for each port, the most urgent first."""

    def publish(item: OutboxItem) -> None:
        with store.read() as tx:
            table = tx.routing(int(item.body["seq"]))
        if table is not None:  # else one that newer ones have replaced
            publish_table(store, feed, table)

    def notify(item: OutboxItem) -> None:
        if item.kind == FOLLOW:
            tell_followers(store, clock, outlets, item)
        elif item.kind == UPDATE:
            tell_update(store, clock, outlets, item)
        elif item.kind == DIGEST:
            tell_digest(outlets, item)
        else:
            tell_people(store, clock, outlets, item)

    def alias(item: OutboxItem) -> None:
        mirror.mirror_alias(**item.body)

    def delete_files(item: OutboxItem) -> None:
        with store.read() as tx:
            in_use = tx.has_artifact(item.body["artifact"])
        if not in_use:  # registered again meanwhile
            artifacts.remove(item.body["artifact"], item.body["manifest"])

    return (
        Lane("publish", (PUBLISH,), 1, publish),
        Lane("notify", (NOTIFY, FOLLOW, UPDATE, DIGEST), 8, notify),
        Lane("mirror", (ALIAS,), 1, alias),
        Lane("files", (DELETE_FILES,), 1, delete_files),
    )


def deliver_lane(store: ControlStore, clock: Clock, lane: Lane, limit: int = 50) -> int:
    """Deliver the lane's due effects; how many were done.

    Delivery is at least once and every effect is idempotent by its key, so a crash between
    doing and noting repeats without acting twice. Failures wait, twice as long each time
    up to five minutes, with jitter; the queue is the table, so nothing is dropped. A notification
    that fails for a day is set aside, until somebody puts it back. What is claimed here nobody
    else carries out meanwhile.
    """
    with store.begin([]) as tx:
        # No more than are begun now: what waits for others must not fall due meanwhile.
        most = limit if lane.at_once == 1 else min(limit, lane.at_once)
        items = tx.claim_effects(lane.kinds, clock.wall(), most, _CLAIMED_FOR_S)
    items = _newest_tables(store, clock, items)
    items = _newest_notifications(store, clock, items)
    if lane.at_once == 1 or len(items) < 2:
        return sum(_deliver(store, clock, lane, item) for item in items)
    with ThreadPoolExecutor(lane.at_once, f"lane-{lane.name}") as pool:
        return sum(pool.map(lambda item: _deliver(store, clock, lane, item), items))


def deliver_effects(
    store: ControlStore,
    clock: Clock,
    feed: RoutingFeed,
    outlets: Outlets,
    mirror: AliasMirror,
    artifacts: Artifacts,
    limit: int = 50,
) -> int:
    """Every lane once, one after the other, for who has no lanes that run by themselves."""
    lanes = make_lanes(store, clock, feed, outlets, mirror, artifacts)
    done = 0
    for lane in lanes:
        while some := deliver_lane(store, clock, lane, limit):
            done += some
    fail_unknown(store, clock, lanes)
    return done


def fail_unknown(store: ControlStore, clock: Clock, lanes: Sequence[Lane]) -> None:
    """Effects of a kind that no lane has, of a newer release for one, wait and say so."""
    known = {kind for lane in lanes for kind in lane.kinds}
    with store.read() as tx:
        strange = [i for i in tx.due_effects(clock.wall(), 50) if i.kind not in known]
    for item in strange:
        error = WindvaneError(f"effect {item.key} is of unknown kind {item.kind!r}")
        _failed(store, clock, item, error)


def _newest_tables(
    store: ControlStore, clock: Clock, items: Sequence[OutboxItem]
) -> Sequence[OutboxItem]:
    """Of several tables only the newest is worth publishing."""
    tables = [item for item in items if item.kind == PUBLISH]
    old = sorted(tables, key=lambda item: int(item.body["seq"]))[:-1]
    return _without(store, clock, items, old)


def _newest_notifications(
    store: ControlStore, clock: Clock, items: Sequence[OutboxItem]
) -> Sequence[OutboxItem]:
    """Of several notifications of one incident that wait, the newest says what the others say."""
    mine = [item for item in items if _notified(item)]
    if not mine:
        return items
    with store.read() as tx:
        waiting = tx.due_effects(clock.wall() + _WAITS_AT_MOST_S, _MOST_WAITING)
        keys: dict[str, set[str]] = {}
        for item in (*waiting, *mine):
            keys.setdefault(_notified(item), set()).add(item.key)
        newest = {
            name: max(keys[name], key=lambda key: (_decided_at(tx, key), key))
            for name in {_notified(item) for item in mine}
        }
    old = [item for item in mine if newest[_notified(item)] != item.key]
    return _without(store, clock, items, old)


def _notified(item: OutboxItem) -> str:
    """The incident that a notification is of; "" for none, and for what is no notification."""
    return str(item.body.get("incident", "")) if item.kind == NOTIFY else ""


def _decided_at(tx: Tx, key: str) -> float:
    try:
        return tx.decision(key.rpartition("#")[0]).at
    except UnknownName:
        return 0.0


def _without(
    store: ControlStore, clock: Clock, items: Sequence[OutboxItem], old: Sequence[OutboxItem]
) -> Sequence[OutboxItem]:
    """The items but for the ``old``, which newer ones replace: these are done."""
    if old:
        with store.begin([]) as tx:
            for item in old:
                tx.effect_done(item.key, clock.wall())
    replaced = {item.key for item in old}
    return [item for item in items if item.key not in replaced]


def _deliver(store: ControlStore, clock: Clock, lane: Lane, item: OutboxItem) -> int:
    try:
        lane.carry_out(item)
    except Postponed as later:
        with store.begin([]) as tx:
            tx.postpone_effect(item.key, later.body, later.at)
        return 0
    except Exception as error:
        _failed(store, clock, item, error)
        return 0
    with store.begin([]) as tx:
        tx.effect_done(item.key, clock.wall())
    return 1


def _failed(store: ControlStore, clock: Clock, item: OutboxItem, error: Exception) -> None:
    _log.warning("effect %s failed: %s", item.key, error)
    if item.kind in (NOTIFY, FOLLOW, UPDATE, DIGEST) and item.attempts + 1 >= _MOST_TRIES:
        _set_aside(store, clock, item, error)
        return
    wait = min(_FIRST_RETRY_S * 2.0 ** min(item.attempts, 30), _LAST_RETRY_S)
    with store.begin([]) as tx:
        retry_at = clock.wall() + wait * random.uniform(0.5, 1.5)
        tx.effect_failed(item.key, str(error), retry_at)


def _set_aside(store: ControlStore, clock: Clock, item: OutboxItem, error: Exception) -> None:
    with store.begin([]) as tx:
        if tx.add_quarantined([failed_notification(item, error, clock.now())]):
            tx.postpone_effect(item.key, item.body, NEVER)
        else:  # the quarantine is full, which is counted
            tx.effect_done(item.key, clock.wall())
