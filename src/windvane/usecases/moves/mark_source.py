"""Remember that sources are broken: a rollout waits, and no version is chosen for them."""

from __future__ import annotations

from dataclasses import replace

from windvane.ports.control_store import Deployment
from windvane.usecases.moves.base import Move, Moved, MoveRequest


class MarkSource(Move):
    name = "mark_source"

    def begin(self, live: Deployment, asked: MoveRequest) -> Moved:
        broken = {*live.broken_views, *(s for f in asked.findings for s in f.sources)}
        return Moved(replace(live, broken_views=tuple(sorted(broken))))

    def end(self, live: Deployment, asked: MoveRequest) -> Moved:
        well = {s for f in asked.findings for s in f.sources}
        if not well & set(live.broken_views):
            return Moved(live)
        left = tuple(v for v in live.broken_views if v not in well)
        return Moved(replace(live, broken_views=left), (), "revert")
