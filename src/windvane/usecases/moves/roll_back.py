"""Go back to the version before."""

from __future__ import annotations

from dataclasses import replace

from windvane.ports.control_store import Deployment
from windvane.usecases.moves.base import Move, Moved, MoveRequest, price


class RollBack(Move):
    name = "roll_back"

    def begin(self, live: Deployment, asked: MoveRequest) -> Moved:
        """To the version before, where there is one and no other rollout is under way."""
        failed = {f.version for f in asked.findings}
        if "" not in failed and live.champion not in failed:
            named = " and ".join(sorted(failed))
            line = f"not rolled back: what failed was version {named}, not version {live.champion}"
            return Moved(live, (line,))
        if live.challenger:
            line = f"not rolled back: version {live.challenger} is being rolled out"
            return Moved(live, (line,))
        if live.previous is None:
            return Moved(live, ("no earlier version to roll back to",))
        if live.previous in asked.unfit:
            line = f"not rolled back: version {live.previous} {asked.unfit[live.previous]}"
            return Moved(live, (line,))
        versions = {v.version: v for v in asked.tx.version_summaries(live.model)}
        cost = ""
        if {live.champion, live.previous} <= versions.keys():
            cost = price(versions[live.champion], versions[live.previous])
        out = tuple(sorted({*live.rolled_back, live.champion}))
        fresh = replace(
            live, champion=live.previous, previous=None, changed_at=asked.now, rolled_back=out
        )
        line = f"rolled back from version {live.champion} to version {live.previous}{cost}"
        return Moved(fresh, (line,), "rollback")
