"""A rollback while the control database does not answer: in this machine's routing table at once,
and on record as soon as the database is back."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace

from windvane.core.errors import did_you_mean
from windvane.core.routing import RolledBack, RoutingTable, roll_back_route
from windvane.ports.artifacts import Artifacts
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, UnknownName
from windvane.ports.pending_rollbacks import PendingRollback, PendingRollbacks
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.actions import ActionRefused, Asked, perform
from windvane.usecases.actions.roll_back import CannotRollBack, RollBack

_log = logging.getLogger(__name__)
_TRIES = 3


def roll_back_offline(
    feed: RoutingFeed,
    pending: PendingRollbacks,
    artifacts: Artifacts,
    clock: Clock,
    asked: Asked,
) -> str:
    """What was done, in a sentence. Raises UnknownName, CannotRollBack, ManifestMismatch."""
    for _ in range(_TRIES):
        table, done = _rolled_back(feed, asked.model)
        artifacts.open(done.after.artifact, done.after.manifest)
        held = PendingRollback(asked.model, done.gone, clock.wall(), asked.by, asked.reason)
        pending.add(held)
        models = {**table.models, asked.model: done.route}
        if feed.publish(replace(table, seq=table.seq + 1, models=models)):
            return (
                f"version {done.gone} was taken out of this machine's routing table: version "
                f"{done.after.version} answers everyone here"
            )
        pending.drop(held)  # another table came in between: it may say something else
    raise CannotRollBack(f"the routing table of {asked.model} changed {_TRIES} times meanwhile")


def _rolled_back(feed: RoutingFeed, model: str) -> tuple[RoutingTable, RolledBack]:
    try:
        table = feed.latest()
    except Exception as error:  # of whatever is wrong with a file
        why = f"the routing table cannot be read: {type(error).__name__}: {error}"
        raise CannotRollBack(why, hint="put the control database right") from error
    routes = {} if table is None else table.models
    if table is None or model not in routes:
        raise UnknownName(
            f"the routing table has no model {model!r}", hint=did_you_mean(model, routes)
        )
    done = roll_back_route(routes[model])
    if done is None:
        champion = routes[model].champion
        raise CannotRollBack(
            f"the routing table names no version of {model} before {champion}",
            hint="put the control database right, and deploy the version that should answer",
        )
    return table, done


def record_pending(
    store: ControlStore, clock: Clock, feed: RoutingFeed, pending: PendingRollbacks
) -> int:
    """Roll back in the control database what was rolled back without it, unless that version is
    not live there any more; how many were."""
    recorded = 0
    for held in pending.waiting():
        with store.read() as tx:
            live = tx.deployment(held.model)
        goes = None if live is None else live.challenger or live.champion
        if goes == held.version:
            since = dt.datetime.fromtimestamp(held.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
            reason = f"{held.reason} (done without the control database at {since} UTC)".strip()
            try:
                perform(store, clock, RollBack(), Asked(held.model, held.by, reason, held.version))
                recorded += 1
            except (ActionRefused, UnknownName):
                _log.exception("the rollback of %s cannot be recorded", held.model)
        else:
            _log.warning(
                "version %s of %s was rolled back without the control database, and is not live "
                "there: nothing is left to do", held.version, held.model,
            )  # fmt: skip
        _publish_above(store, feed)
        pending.drop(held)
    return recorded


def _publish_above(store: ControlStore, feed: RoutingFeed) -> None:
    """The store's newest table, numbered above what the gateways have by themselves."""
    out = feed.last_seq()
    with store.begin() as tx:
        newest = tx.routing()
        if newest is None:
            return
        if out is not None and newest.seq <= out:
            newest = replace(newest, seq=tx.add_routing(newest, above=out))
    feed.publish(newest)
