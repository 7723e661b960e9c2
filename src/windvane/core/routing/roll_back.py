"""A rollback by what the routing table knows alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from windvane.core.routing.table import ModelRoute, RoutingTable, VersionEntry


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The route from then on, the version that goes, and the one that answers everyone."""

    route: ModelRoute
    gone: str
    after: VersionEntry


def roll_back_route(route: ModelRoute) -> RolledBack | None:
    """Without its challenger, or with the version before as its champion; None where it has
    neither. Clients are held to what they were: a new contract would be known to nobody."""
    entries = {entry.version: entry for entry in route.versions}
    if route.challenger is not None and route.champion in entries:
        gone, after, previous = route.challenger, entries[route.champion], route.previous
    elif route.challenger is None and route.previous is not None:
        gone, after, previous = route.champion, route.previous, None
    else:
        return None
    chain = tuple(version for version in route.chain if version not in (gone, after.version))
    # A stand-in answers for one champion: with another it has to be chosen anew.
    stands_in = route.standing_in if after.version == route.champion else None
    kept = [entry for entry in route.versions if entry.version in (*chain, stands_in)]
    fresh = replace(
        route,
        versions=(after, *kept),
        champion=after.version,
        challenger=None,
        challenger_share=0.0,
        standing_in=stands_in,
        chain=chain,
        rollout="",
        previous=previous,
    )
    return RolledBack(fresh, gone, after)


def without_versions(table: RoutingTable, gone: Iterable[tuple[str, str]]) -> RoutingTable:
    """The table after these rollbacks, of a model and the version that goes, in their order; one
    whose version would not go any more changes nothing."""
    models = dict(table.models)
    for model, version in gone:
        done = roll_back_route(models[model]) if model in models else None
        if done is not None and done.gone == version:
            models[model] = done.route
    return replace(table, models=models)
