"""A rollback while the control database does not answer: in this machine's routing table at once,
and on record as soon as the database is back."""

from __future__ import annotations

import datetime as dt
import logging

from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.routing import RolledBack, RoutingTable, roll_back_route
from windvane.ports.artifacts import Artifacts
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Tx, UnknownName
from windvane.ports.pending_rollbacks import PendingRollback, PendingRollbacks
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.actions import ActionRefused, Asked, perform
from windvane.usecases.actions.roll_back import CannotRollBack, RollBack

_log = logging.getLogger(__name__)
_DECISIONS = 200


def roll_back_offline(
    feed: RoutingFeed,
    pending: PendingRollbacks,
    artifacts: Artifacts,
    clock: Clock,
    asked: Asked,
) -> str:
    """What was done, in a sentence. Raises UnknownName, CannotRollBack, ManifestMismatch, and then
    nothing will be done later either."""
    done = _rolled_back(feed, asked.model)
    artifacts.open(done.after.artifact, done.after.manifest)
    held = PendingRollback(asked.model, done.gone, clock.now(), asked.by, asked.reason)
    try:
        pending.add(held)
    except OSError as error:
        raise CannotRollBack(
            f"what is to be done later cannot be written down: {error}",
            hint="free some space on the disk of the home",
        ) from error
    try:
        # Whoever publishes leaves out what is pending: so does this.
        feed.amend(lambda table: table)
        left = _newest(feed).models.get(asked.model)
        if left is None or done.gone in (left.champion, left.challenger):
            raise CannotRollBack(f"the routing table of {asked.model} changed meanwhile")
    except (OSError, WindvaneError) as error:
        pending.drop(held)
        if isinstance(error, CannotRollBack):
            raise
        message = f"the routing table cannot be written: {error}"
        raise CannotRollBack(message, hint="look at the disk of the home, and try again") from error
    return (
        f"version {done.gone} was taken out of this machine's routing table: version "
        f"{done.after.version} answers everyone here"
    )


def _newest(feed: RoutingFeed) -> RoutingTable:
    try:
        table = feed.latest()
    except Exception as error:  # of whatever is wrong with a file
        why = f"the routing table cannot be read: {type(error).__name__}: {error}"
        raise CannotRollBack(why, hint="put the control database right") from error
    if table is None:
        raise CannotRollBack("there is no routing table", hint="put the control database right")
    return table


def _rolled_back(feed: RoutingFeed, model: str) -> RolledBack:
    routes = _newest(feed).models
    if model not in routes:
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
    return done


def record_pending(
    store: ControlStore, clock: Clock, feed: RoutingFeed, pending: PendingRollbacks
) -> int:
    """Roll back in the control database what was rolled back without it, each in its order, unless
    that version is not live there any more or was deployed again since; how many were."""
    recorded = 0
    for held in pending.waiting():
        with store.read() as tx:
            wanted = _is_live(tx, held) and not _deployed_since(tx, held)
        if wanted:
            since = dt.datetime.fromtimestamp(held.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
            reason = f"{held.reason} (done without the control database at {since} UTC)".strip()
            asked = Asked(held.model, held.by, reason, held.version)
            try:
                perform(store, clock, RollBack(), asked)
                recorded += 1
            except (ActionRefused, UnknownName):
                wanted = False
        if not wanted:
            _log.warning(
                "version %s of %s was rolled back without the control database, and is not live "
                "there or was deployed since: nothing is left to do", held.version, held.model,
            )  # fmt: skip
        pending.drop(held)
        _publish(store, feed)
    return recorded


def _is_live(tx: Tx, held: PendingRollback) -> bool:
    live = tx.deployment(held.model)
    return live is not None and held.version == (live.challenger or live.champion)


def _deployed_since(tx: Tx, held: PendingRollback) -> bool:
    return any(
        one.action == "deploy" and one.facts.get("version") == held.version and one.at > held.at
        for one in tx.decisions(held.model, _DECISIONS)
    )


def _publish(store: ControlStore, feed: RoutingFeed) -> None:
    """What the store says, now that nothing of it is left out; also under the same number."""
    with store.read() as tx:
        newest = tx.routing()
    if newest is None or feed.publish(newest):
        return
    feed.amend(lambda held: newest if newest.seq >= held.seq else held)
