"""Carry out what decisions queued: publish, notify, mirror."""

from __future__ import annotations

import logging
import random

from windvane.core.errors import WindvaneError
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Tx, UnknownName
from windvane.ports.notifier import Notifier
from windvane.ports.registry import AliasMirror
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.publish_routing import ALIAS, NOTIFY, PUBLISH, publish_table
from windvane.usecases.read_model_file import BadModelFile, read_model_file

_log = logging.getLogger(__name__)
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 300.0


def deliver_effects(
    store: ControlStore,
    clock: Clock,
    feed: RoutingFeed,
    notifier: Notifier,
    mirror: AliasMirror,
    limit: int = 50,
) -> int:
    """Deliver due effects; how many were done.

    Delivery is at least once and every effect is idempotent by its key, so a crash between
    doing and noting repeats without acting twice. Failures wait, twice as long each time
    up to five minutes, with jitter; the queue is the table, so nothing is dropped.
    """
    with store.read() as tx:
        due = tx.due_effects(clock.wall(), limit)
        tables = {
            item.key: tx.routing(int(item.body["seq"])) for item in due if item.kind == PUBLISH
        }
        consumers = {item.key: _consumers(tx, item.key) for item in due if item.kind == NOTIFY}
    done = 0
    for item in due:
        try:
            match item.kind:
                case kind if kind == PUBLISH:
                    if (table := tables[item.key]) is not None:
                        publish_table(store, feed, table)
                case kind if kind == NOTIFY:
                    body = item.body["body"] + consumers[item.key]
                    notifier.send(item.key, item.body["title"], body)
                case kind if kind == ALIAS:
                    mirror.mirror_alias(**item.body)
                case _:
                    raise WindvaneError(f"effect {item.key} is of unknown kind {item.kind!r}")
        except Exception as error:
            _log.warning("effect %s failed: %s", item.key, error)
            wait = min(_FIRST_RETRY_S * 2.0**item.attempts, _LAST_RETRY_S)
            with store.begin() as tx:
                retry_at = clock.wall() + wait * random.uniform(0.5, 1.5)
                tx.effect_failed(item.key, str(error), retry_at)
            continue
        with store.begin() as tx:
            tx.effect_done(item.key, clock.wall())
        done += 1
    return done


def _consumers(tx: Tx, key: str) -> str:
    """A line that names the teams which depend on the model, "" for none. Who is not known must
    not keep the others from being told."""
    try:
        model = tx.decision(key.rpartition("#")[0]).model
        teams = read_model_file(tx.model(model).text).consumers
    except (UnknownName, BadModelFile):
        return ""
    return f"\nconsumers: {', '.join(teams)}" if teams else ""
