"""Let a version answer that does not need what is broken, and go back when it is well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from windvane.core.alerting import Finding
from windvane.core.routing import choose_stand_in
from windvane.ports.control_store import Deployment, Tx, VersionRecord
from windvane.usecases.moves.base import Move, Moved, price


class StandIn(Move):
    name = "stand_in"

    def begin(self, tx: Tx, live: Deployment, findings: Sequence[Finding], now: float) -> Moved:
        del findings
        versions = {v.version: v for v in tx.version_summaries(live.model)}
        champion = versions[live.champion]
        broken = set(live.broken_views)
        if not set(champion.views) & broken:
            return Moved(live, (f"version {live.champion} needs none of it",))
        chosen = choose_stand_in(
            live.champion, {v: r.views for v, r in versions.items()}, broken, live.rolled_back
        )
        names = listed(broken)
        if chosen is None:
            return Moved(live, (f"no version needs less of {names}: left as is",))
        other = versions[chosen]
        if chosen == live.standing_in:
            return Moved(live, (f"version {chosen} goes on standing in: {needs(other, broken)}",))
        line = (
            f"version {chosen}, which {needs(other, broken)}, stands in for version "
            f"{live.champion}{price(champion, other)}"
        )
        return Moved(replace(live, standing_in=chosen, changed_at=now), (line,), "fall_back")

    def end(self, tx: Tx, live: Deployment, findings: Sequence[Finding], now: float) -> Moved:
        del findings
        if live.standing_in is None:
            return Moved(live)
        versions = {v.version: v for v in tx.version_summaries(live.model)}
        broken = set(live.broken_views)
        chosen = choose_stand_in(
            live.champion, {v: r.views for v, r in versions.items()}, broken, live.rolled_back
        )
        if chosen == live.standing_in:
            return Moved(live, (f"version {chosen} still stands in for {listed(broken)}",))
        back = chosen or live.champion
        word = "stands in" if chosen else "answers again"
        fresh = replace(live, standing_in=chosen, changed_at=now)
        return Moved(fresh, (f"version {back} {word}",), "revert")


def needs(version: VersionRecord, broken: set[str]) -> str:
    """What a version needs of broken sources, in words."""
    left = broken & set(version.views)
    missing = broken - left
    if not left:
        return f"does not need {listed(missing)}"
    return f"does not need {listed(missing)} but {listed(left)}"


def listed(names: set[str]) -> str:
    """Names in words."""
    return " and ".join(sorted(names))
