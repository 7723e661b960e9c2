"""Make the routing table that follows from the control state."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from windvane.core.journal import Effect
from windvane.core.routing import ModelRoute, RoutingTable, VersionEntry
from windvane.core.task import Contract
from windvane.ports.control_store import (
    ControlStore,
    Deployment,
    ModelRecord,
    Tx,
    VersionRecord,
)
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    parse_duration,
    read_model_file,
)

_log = logging.getLogger(__name__)
PUBLISH = "publish"
ALIAS = "alias"
NOTIFY = "notify"
DELETE_FILES = "delete_files"


def routing_effects(tx: Tx, models: Sequence[str] | None = None) -> tuple[Effect, ...]:
    """Store the table as it follows now; the effect that publishes it.

    The routes of ``models`` are made anew, of all for None; the others stay as they are stored:
    for keys and limits that is all of them.
    """
    trusted = {trust.manifest for trust in tx.trusted()}
    routes: list[ModelRoute] = []
    for live in tx.deployments() if models is None else tx.deployments(models) if models else ():
        (model,) = tx.model_records([live.model]) or (None,)
        if model is None:
            continue
        versions = tx.version_summaries(live.model)
        try:
            told = _told(model, live, versions)
        except BadModelFile:
            # What was decided holds all the same, and every other model does not wait.
            _log.exception("the file of model %s cannot be read: what it said stays", model.name)
            held = tx.route(model.name)
            if held is None:
                continue
            told = held
        route = _decided(told, live, {v.version: v for v in versions}, trusted)
        tx.put_contract(live.model, route.contract)
        routes.append(route)
    tx.put_routes(routes)
    keys = [record.entry for record in tx.key_records() if record.revoked_at is None]
    seq = tx.add_routes(keys, tx.limits())
    body: dict[str, Any] = {"seq": seq}
    if models is not None and routes:
        body["routes"] = {route.model: msgspec.to_builtins(route) for route in routes}
    return (Effect(PUBLISH, body),)


def publish_latest(store: ControlStore, feed: RoutingFeed) -> None:
    """Hand the newest table to the gateways now. The outbox does the same a moment later;
    whoever withdraws a key need not wait for it, nor for a steward that is down."""
    with store.read() as tx:
        table = tx.routing()
    if table is not None:
        publish_table(store, feed, table)


def mend_feed(store: ControlStore, feed: RoutingFeed) -> bool:
    """Publish the newest table where what gateways would read is damaged, missing or older than
    it; whether there was nothing to read. What did not change since it was read is not read again.
    """
    with store.read() as tx:
        newest = tx.routing_seq()
    if newest is None:
        return False
    out = feed.last_seq()
    if out is None or out < newest:
        publish_latest(store, feed)
    return out is None


def publish_table(store: ControlStore, feed: RoutingFeed, table: RoutingTable) -> None:
    """Hand a table to the gateways, unless they have a later one of this store.

    A later one that the store does not know means that the store was put back from a copy: what
    it says now would be ignored for as long as its numbers are behind, a withdrawn key among it.
    So its newest table goes on above the number that the gateways have.
    """
    if feed.publish(table):
        return
    out = feed.latest()
    with store.begin() as tx:
        newest = tx.routing()
        if out is None or newest is None or newest.seq >= out.seq:
            return
        seq = tx.add_routing(newest, above=out.seq)
    _log.warning(
        "the gateways have routing table %d, the store's newest is %d: it was put back from a "
        "copy; its newest is published as %d", out.seq, newest.seq, seq,
    )  # fmt: skip
    feed.publish(replace(newest, seq=seq))


def _told(model: ModelRecord, live: Deployment, versions: list[VersionRecord]) -> ModelRoute:
    """The route by what the model's file says. Raises BadModelFile."""
    file = read_model_file(model.text)
    return ModelRoute(
        model=model.name,
        contract=live_contract(file, live, versions),
        outcome=file.predicts.outcome,
        deadline_s=parse_duration(file.serve.deadline),
        versions=(),
        champion=live.champion,
        chain=chain_of(file, live, versions),
        constant=file.constant,
        rule=file.rule,
        cache_ttl_s=file.cache_ttl_s,
        cache_all=file.cache_all,
        tenants=tuple(file.serve.tenants),
        circuit=file.circuit,
        cascade=file.cascade,
        compared_share=file.compared_share,
    )


def _decided(
    told: ModelRoute, live: Deployment, named: Mapping[str, VersionRecord], trusted: set[str]
) -> ModelRoute:
    """The same with what was decided: who answers, and whose files are trusted."""

    def entry(version: str) -> VersionEntry:
        held = named[version]
        trust = held.manifest in trusted
        return VersionEntry(version, held.artifact, held.manifest, trust, held.features)

    chain = tuple(version for version in dict.fromkeys(told.chain) if version in named)
    stand_ins = {t: v for t, v in live.stand_ins.items() if v in named}
    wanted = (live.champion, live.challenger, live.standing_in, *stand_ins.values(), *chain)
    return replace(
        told,
        versions=tuple(entry(v) for v in dict.fromkeys(wanted) if v is not None and v in named),
        champion=live.champion,
        challenger=live.challenger,
        challenger_share=live.share,
        standing_in=live.standing_in,
        stand_ins=tuple(sorted(stand_ins.items())),
        chain=chain,
        compared_share=told.compared_share if chain or told.rule or told.constant else 0.0,
        rollout=f"{live.rollout}#{live.step}" if live.challenger else "",
        off=live.off,
        previous=entry(live.previous) if live.previous and live.previous in named else None,
    )


def live_contract(file: ModelFile, live: Deployment, versions: list[VersionRecord]) -> Contract:
    """What clients are held to now. A feature that the champion does not take is optional to
    them until it does, and one that no live version takes any more may be left out as well."""
    named = {v.version: v for v in versions}
    champion = named.get(live.champion)
    takes = set(champion.features) if champion is not None and champion.features else None
    features = tuple(
        replace(spec, optional=True) if takes is not None and spec.name not in takes else spec
        for spec in file.schema
    )
    return Contract(features, file.contract.task)


def chain_of(file: ModelFile, live: Deployment, versions: list[VersionRecord]) -> tuple[str, ...]:
    """The versions of the file's fallback chain as it is now, in the order in which they are
    tried. ``versions`` are all of the model, oldest first."""
    found = (_chain_version(step, live, versions) for step in file.serve.fallback)
    return tuple(version for version in found if version is not None)


def _chain_version(step: object, live: Deployment, versions: list[VersionRecord]) -> str | None:
    if step == "previous":
        return live.previous
    if isinstance(step, dict) and "without" in step:
        view = str(step["without"])  # pyright: ignore[reportUnknownArgumentType]
        return version_without(versions, (view,), live.rolled_back)
    if isinstance(step, dict) and "version" in step:
        return str(step["version"])  # pyright: ignore[reportUnknownArgumentType]
    return None


def chain_names(file: ModelFile) -> list[str]:
    """The versions that the file's fallback chain names."""
    steps = (s for s in file.serve.fallback if isinstance(s, dict))
    return [str(step["version"]) for step in steps if "version" in step]  # pyright: ignore


def version_without(
    versions: list[VersionRecord], views: tuple[str, ...], rolled_back: tuple[str, ...]
) -> str | None:
    """The newest version that needs none of ``views`` and was never rolled back."""
    for version in reversed(versions):
        if version.version not in rolled_back and not set(views) & set(version.views):
            return version.version
    return None
