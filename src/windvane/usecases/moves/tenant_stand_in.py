"""Let a version answer one tenant that does not need what is broken in what it sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from windvane.ports.control_store import Deployment, Tx
from windvane.usecases.moves.base import Move, Moved, MoveRequest, price
from windvane.usecases.moves.stand_in import choose_fit, needs

_MOST_TENANTS = 1_000
"""For more of them nobody stands in: each is in every gateway's routing table."""


class TenantStandIn(Move):
    name = "tenant_stand_in"

    def begin(self, live: Deployment, asked: MoveRequest) -> Moved:
        broken = dict(live.tenant_broken)
        for finding in asked.findings:
            tenant = finding.cause.subject
            broken[tenant] = tuple(sorted({*broken.get(tenant, ()), *finding.sources}))
        if len(broken) > _MOST_TENANTS:
            line = f"{len(broken):,} tenants have broken sources, {_MOST_TENANTS:,} at most get a"
            return Moved(live, (f"{line} version of their own: left as is",))
        after = replace(live, tenant_broken=broken)
        tenants = sorted({f.cause.subject for f in asked.findings})
        return self._choose(asked.tx, after, tenants, asked.now, asked.unfit)

    def end(self, live: Deployment, asked: MoveRequest) -> Moved:
        broken = dict(live.tenant_broken)
        for finding in asked.findings:
            tenant = finding.cause.subject
            # What a tenant sends of several sources is one finding, which ends with the last.
            broken.pop(tenant, None)
        if broken == live.tenant_broken:
            return Moved(live)
        back = sorted(live.stand_ins.keys() - broken.keys())
        stand_ins = {t: v for t, v in live.stand_ins.items() if t in broken}
        fresh = replace(live, tenant_broken=broken, stand_ins=stand_ins)
        if not back:
            return Moved(fresh)
        lines = tuple(
            f"version {live.standing_in or live.champion} answers tenant {t} again" for t in back
        )
        return Moved(replace(fresh, changed_at=asked.now), lines, "revert")

    def _choose(
        self,
        tx: Tx,
        live: Deployment,
        tenants: Sequence[str],
        now: float,
        unfit: Mapping[str, str],
    ) -> Moved:
        versions = {v.version: v for v in tx.version_summaries(live.model)}
        champion = versions[live.champion]
        sources = {v: r.views for v, r in versions.items()}
        stand_ins = dict(live.stand_ins)
        lines: list[str] = []
        for tenant in tenants:
            broken = {*live.tenant_broken[tenant], *live.broken_views}
            chosen, skipped = choose_fit(live, sources, broken, unfit)
            if chosen is None:
                word = (
                    "needs none of it" if not set(champion.views) & broken else "answers it still"
                )
                lines.append(f"tenant {tenant}: version {live.champion} {word}")
                lines += skipped
                stand_ins.pop(tenant, None)
                continue
            other = versions[chosen]
            word = "goes on standing in" if stand_ins.get(tenant) == chosen else "stands in"
            lines.append(
                f"version {chosen}, which {needs(other, broken)}, {word} for tenant {tenant}"
                f"{price(champion, other)}"
            )
            lines += skipped
            stand_ins[tenant] = chosen
        if stand_ins == live.stand_ins:
            return Moved(live, tuple(lines))
        return Moved(replace(live, stand_ins=stand_ins, changed_at=now), tuple(lines), "fall_back")
