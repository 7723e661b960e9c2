"""Let a version answer that does not need what is broken, and go back when it is well."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from windvane.core.routing import choose_stand_in
from windvane.ports.control_store import Deployment, VersionRecord
from windvane.usecases.moves.base import Move, Moved, MoveRequest, price


class StandIn(Move):
    name = "stand_in"

    def begin(self, live: Deployment, asked: MoveRequest) -> Moved:
        versions = {v.version: v for v in asked.tx.version_summaries(live.model)}
        champion = versions[live.champion]
        broken = set(live.broken_views)
        if not set(champion.views) & broken:
            return Moved(live, (f"version {live.champion} needs none of it",))
        sources = {v: r.views for v, r in versions.items()}
        chosen, skipped = choose_fit(live, sources, broken, asked.unfit)
        names = listed(broken)
        if chosen is None and live.standing_in in asked.unfit:
            line = f"version {live.champion} answers again, without {names}"
            return Moved(_standing_in(live, None, asked), (line, *skipped), "revert")
        if chosen is None:
            if skipped:
                line = f"version {live.champion} goes on answering, without {names}"
                return Moved(live, (line, *skipped))
            return Moved(live, (f"no version needs less of {names}: left as is",))
        other = versions[chosen]
        if chosen == live.standing_in:
            line = f"version {chosen} goes on standing in: {needs(other, broken)}"
            return Moved(live, (line, *skipped))
        line = (
            f"version {chosen}, which {needs(other, broken)}, stands in for version "
            f"{live.champion}{price(champion, other)}"
        )
        return Moved(_standing_in(live, chosen, asked), (line, *skipped), "fall_back")

    def end(self, live: Deployment, asked: MoveRequest) -> Moved:
        if live.standing_in is None:
            return Moved(live)
        versions = {v.version: v for v in asked.tx.version_summaries(live.model)}
        broken = set(live.broken_views)
        sources = {v: r.views for v, r in versions.items()}
        chosen, _ = choose_fit(live, sources, broken, asked.unfit)
        if chosen == live.standing_in:
            return Moved(live, (f"version {chosen} still stands in for {listed(broken)}",))
        back = chosen or live.champion
        word = "stands in" if chosen else "answers again"
        return Moved(_standing_in(live, chosen, asked), (f"version {back} {word}",), "revert")


def _standing_in(live: Deployment, chosen: str | None, asked: MoveRequest) -> Deployment:
    """With another version that stands in; one that goes because it failed is remembered."""
    gone = live.standing_in
    failed = (
        {**live.failed, gone: asked.now}
        if gone is not None and gone in asked.unfit
        else live.failed
    )
    return replace(live, standing_in=chosen, failed=failed, changed_at=asked.now)


def choose_fit(
    live: Deployment,
    sources: Mapping[str, Collection[str]],
    broken: Collection[str],
    unfit: Mapping[str, str],
) -> tuple[str | None, tuple[str, ...]]:
    """The version that stands in while sources are ``broken``, None for the champion itself; and,
    in lines, those that would have but for what is known of them. ``sources`` are those that each
    version needs, oldest version first."""
    skipped: list[str] = []
    while True:
        barred = {*live.rolled_back, *skipped}
        chosen = choose_stand_in(live.champion, sources, broken, barred)
        if chosen is None or chosen not in unfit:
            lines = (f"version {v} is not asked: it {unfit[v]}" for v in skipped)
            return chosen, tuple(lines)
        skipped.append(chosen)


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
