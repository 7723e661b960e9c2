"""Remember that sources are broken: a rollout waits, and no version is chosen for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from windvane.core.alerting import Finding
from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.moves.base import Move, Moved


class MarkSource(Move):
    name = "mark_source"

    def begin(
        self,
        tx: Tx,
        live: Deployment,
        findings: Sequence[Finding],
        now: float,
        unfit: Mapping[str, str],
    ) -> Moved:
        del tx, now, unfit
        broken = {*live.broken_views, *(s for f in findings for s in f.sources)}
        return Moved(replace(live, broken_views=tuple(sorted(broken))))

    def end(
        self,
        tx: Tx,
        live: Deployment,
        findings: Sequence[Finding],
        now: float,
        unfit: Mapping[str, str],
    ) -> Moved:
        del tx, now, unfit
        well = {s for f in findings for s in f.sources}
        if not well & set(live.broken_views):
            return Moved(live)
        left = tuple(v for v in live.broken_views if v not in well)
        return Moved(replace(live, broken_views=left), (), "revert")
