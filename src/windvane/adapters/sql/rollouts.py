"""Rollouts and the units that they met."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.core.rollout import ArmCounts, FirstEvents, Stage, StageFacts
from windvane.core.routing import Arm
from windvane.ports.rollouts import FirstRequest, LeftOut, RolloutRecord, UnitEvent

_MIXED = -1  # of a first request that is slow or not by the rows of both arms


class RolloutRows(Rows):
    def put_rollout(self, rollout: RolloutRecord) -> None:
        row = {
            "id": rollout.id, "model": rollout.model, "started": rollout.started,
            "body": dump(rollout),
        }  # fmt: skip
        self.put(t.rollouts, row)

    def rollout(self, rollout_id: str) -> RolloutRecord | None:
        row = self.one(sa.select(t.rollouts.c.body).where(t.rollouts.c.id == rollout_id))
        return None if row is None else load(row.body, RolloutRecord)

    def rollouts(self, model: str, limit: int) -> list[RolloutRecord]:
        c = t.rollouts.c
        found = sa.select(c.body).where(c.model == model)
        rows = self.all(found.order_by(c.started.desc(), c.id.desc()).limit(limit))
        return [load(row.body, RolloutRecord) for row in rows]

    def add_first_requests(self, requests: Sequence[FirstRequest]) -> None:
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for one in requests:
            unit = _hashed(one.tenant, one.unit)
            row = {**msgspec.to_builtins(one), "unit": unit}
            slow = _MIXED if one.slow is None else int(one.slow)
            row |= {"failed": int(one.failed), "slow": slow}
            rows.setdefault((one.rollout, one.step, unit), row)
        self._keep(t.rollout_first_requests, rows)

    def add_unit_events(self, events: Sequence[UnitEvent]) -> None:
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for one in events:
            unit = _hashed(one.tenant, one.unit)
            row = {**msgspec.to_builtins(one), "unit": unit}
            rows.setdefault((one.rollout, one.what, one.slice, unit), row)
        self._keep(t.rollout_unit_events, rows)

    def _keep(self, table: sa.Table, rows: dict[tuple[Any, ...], dict[str, Any]]) -> None:
        if rows:  # in one order, so that two writers never wait for each other
            self.put(table, [rows[key] for key in sorted(rows)], keep=True)

    def stage_facts(
        self, rollout: str, stages: Sequence[Stage], left_out: Sequence[LeftOut] = ()
    ) -> tuple[StageFacts, ...]:
        exposed = self._exposed(rollout, left_out)
        first = self._first(rollout, left_out)
        return tuple(
            StageFacts(
                stage,
                exposed.get((step, Arm.CHALLENGER), ArmCounts()),
                exposed.get((step, Arm.CHAMPION), ArmCounts()),
                first.get(step, {}),
            )
            for step, stage in enumerate(stages)
        )

    def _exposed(
        self, rollout: str, left_out: Sequence[LeftOut]
    ) -> dict[tuple[int, str], ArmCounts]:
        c = t.rollout_first_requests.c
        found = (
            sa.select(
                c.step,
                c.arm,
                sa.func.count(),
                sa.func.sum(c.failed),
                sa.func.sum(sa.case((c.slow == 1, 1), else_=0)),
                sa.func.sum(sa.case((c.slow == _MIXED, 1), else_=0)),
            )
            .where(c.rollout == rollout, *_outside(c, left_out))
            .group_by(c.step, c.arm)
        )
        return {
            (step, arm): ArmCounts(units, int(failed), int(slow), int(mixed))
            for step, arm, units, failed, slow, mixed in self.all(found)
        }

    def _first(
        self, rollout: str, left_out: Sequence[LeftOut]
    ) -> dict[int, dict[str, dict[str, FirstEvents]]]:
        c = t.rollout_unit_events.c
        found = (
            sa.select(c.step, c.what, c.slice, c.arm, sa.func.count())
            .where(c.rollout == rollout, *_outside(c, left_out))
            .group_by(c.step, c.what, c.slice, c.arm)
        )
        out: dict[int, dict[str, dict[str, FirstEvents]]] = {}
        for step, what, of, arm, units in self.all(found):
            held = out.setdefault(step, {}).setdefault(what, {})
            before = held.get(of, FirstEvents())
            held[of] = FirstEvents(
                before.challenger + units * (arm == Arm.CHALLENGER),
                before.champion + units * (arm == Arm.CHAMPION),
            )
        return out

    def slices_of(self, rollout: str) -> int:
        c = t.rollout_first_requests.c
        asked = sa.select(sa.func.count(sa.distinct(c.tenant))).where(c.rollout == rollout)
        return int(self._c.execute(asked).scalar_one())


def _outside(c: Any, left_out: Sequence[LeftOut]) -> list[sa.ColumnElement[bool]]:
    out: list[sa.ColumnElement[bool]] = []
    for one in left_out:
        within = (c.at >= one.since) & (c.at < one.until)
        out.append(~(within & (c.tenant == one.tenant)) if one.tenant else ~within)
    return out


def _hashed(tenant: str, unit: str) -> str:
    """Units are counted, never read, and may hold anything."""
    named = f"{tenant}\x00{unit}".encode("utf-8", "replace")
    return hashlib.blake2b(named, digest_size=12).hexdigest()
