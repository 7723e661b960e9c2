"""What is older than the installation keeps: rolled up, or removed, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, load, pack
from windvane.core.sketch import Sketch
from windvane.ports.control_store import ROLLED_UP_SPANS_S, Deployment, rolled_up_to
from windvane.ports.incidents import ItemState
from windvane.ports.retention import AgedRows

_NOTHING = pack({})


class RetentionRows(Rows):
    def roll_up_sketches(self, model: str, before: float, span_s: float, limit: int) -> int:
        c = t.window_sketches.c
        name = rolled_up_to(span_s)
        found = self.all(
            sa.select(t.window_sketches)
            .where(c.model == model, c.start < before, ~c.recorder.in_(_at_least(span_s)))
            .order_by(c.start)
            .limit(limit)
            .with_for_update()  # a recorder may still add to one of them
        )
        merged: dict[tuple[object, ...], Sketch] = {}
        for r in found:
            start = r.start // span_s * span_s
            key = (r.model, start, r.version, r.arm, r.tenant, name, r.layout_id)
            sketch = Sketch.from_bytes(r.sketch)
            merged[key] = merged[key] + sketch if key in merged else sketch
        names = [column.name for column in t.window_sketches.primary_key]
        rows: list[dict[str, object]] = []
        for key, sketch in merged.items():
            place = dict(zip(names, key, strict=True))
            held = self.one(sa.select(c.sketch).where(*(c[n] == v for n, v in place.items())))
            total = sketch if held is None else Sketch.from_bytes(held.sketch) + sketch
            rows.append({**place, "sketch": total.to_bytes()})
        if found:
            self.put(t.window_sketches, rows)
            self._drop(t.window_sketches, found)
        return len(found)

    def drop_aged(
        self,
        kind: AgedRows,
        model: str,
        before: float,
        limit: int,
        newest_of: Sequence[str] = (),
    ) -> int:
        match kind:
            case AgedRows.SKETCHES:
                c = t.window_sketches.c
                return self._drop_some(
                    t.window_sketches, (c.model == model) & (c.start < before), limit
                )
            case AgedRows.SEGMENTS:
                c = t.segment_sketches.c
                return self._drop_some(
                    t.segment_sketches, (c.model == model) & (c.start < before), limit
                )
            case AgedRows.VERDICTS:
                old = self._old_verdicts(model, before, newest_of)
                return self._drop_some(t.window_verdicts, old, limit)
            case AgedRows.VERDICT_DETAILS:
                old = self._old_verdicts(model, before, newest_of)
                return self._empty_details(old, limit)
            case AgedRows.DECISIONS:
                c = t.decisions.c
                return self._drop_some(t.decisions, (c.model == model) & (c.at < before), limit)
            case AgedRows.INCIDENTS:
                return self._drop_incidents(model, before, limit)
            case AgedRows.EFFECTS:
                return self._drop_some(t.outbox, t.outbox.c.done < before, limit)
            case AgedRows.ACCESS:
                return self._drop_some(t.access, t.access.c.last < before, limit)
            case AgedRows.UNITS:
                return self._drop_units(limit)

    def oldest_kept(self) -> Mapping[AgedRows, float]:
        def oldest_of_models(model: sa.ColumnElement[Any], at: sa.ColumnElement[Any]) -> Any:
            """The least of each model's least: one step in the index for each."""
            first = sa.select(sa.func.min(at)).where(model == t.models.c.name).scalar_subquery()
            return sa.select(sa.func.min(first)).select_from(t.models)

        sketches, verdicts, decided = (
            t.window_sketches.c, t.window_verdicts.c, t.decisions.c,
        )  # fmt: skip
        asked = {
            AgedRows.SKETCHES: oldest_of_models(sketches.model, sketches.start),
            AgedRows.VERDICTS: oldest_of_models(verdicts.model, verdicts.start),
            AgedRows.DECISIONS: oldest_of_models(decided.model, decided.at),
            AgedRows.EFFECTS: sa.select(sa.func.min(t.outbox.c.done)),
            AgedRows.ACCESS: sa.select(sa.func.min(t.access.c.last)),
        }
        found = {kind: self._c.execute(one).scalar_one() for kind, one in asked.items()}
        return {kind: float(at) for kind, at in found.items() if at is not None}

    def _old_verdicts(
        self, model: str, before: float, newest_of: Sequence[str]
    ) -> sa.ColumnElement[bool]:
        c = t.window_verdicts.c
        old = (c.model == model) & (c.start < before)
        for monitor in newest_of:
            mine = (c.model == model) & (c.monitor == monitor) & (c.subject == "")
            newest = self.one(sa.select(c.start).where(mine).order_by(c.start.desc()).limit(1))
            if newest is not None and newest.start < before:
                old &= (c.monitor != monitor) | (c.subject != "") | (c.start != newest.start)
        return old

    def _empty_details(self, old: sa.ColumnElement[bool], limit: int) -> int:
        old &= t.window_verdicts.c.detail != _NOTHING
        keys = list(t.window_verdicts.primary_key)
        found = self.all(sa.select(*keys).where(old).limit(limit))
        if found:
            mine = [column == sa.bindparam(f"b_{column.name}") for column in keys]
            self._c.execute(
                sa.update(t.window_verdicts).where(*mine).values(detail=_NOTHING),
                [{f"b_{n}": v for n, v in row._mapping.items()} for row in found],
            )
        return len(found)

    def _drop_incidents(self, model: str, before: float, limit: int) -> int:
        """Closed ones, with their notes and action items, unless some of those are open."""
        c, notes, items = t.incidents.c, t.incident_notes, t.action_items
        to_do = sa.select(items.c.incident).where(items.c.state == ItemState.OPEN)
        closed = (c.model == model) & (c.closed_at < before) & ~c.id.in_(to_do)
        found = [row.id for row in self.all(sa.select(c.id).where(closed).limit(limit))]
        for table in (notes, items):
            self._c.execute(sa.delete(table).where(table.c.incident.in_(found)))
        self._c.execute(sa.delete(t.incidents).where(c.id.in_(found)))
        return len(found)

    def _drop_units(self, limit: int) -> int:
        """Units of rollouts that are over; those that are under way are named by deployments."""
        live = [load(row.body, Deployment) for row in self.all(sa.select(t.deployments.c.body))]
        running = [one.rollout for one in live if one.rollout]
        dropped = 0
        for table in (t.rollout_first_requests, t.rollout_unit_events):
            over = ~table.c.rollout.in_(running)
            dropped += self._drop_some(table, over, limit - dropped) if dropped < limit else 0
        return dropped

    def _drop_some(self, table: sa.Table, where: sa.ColumnElement[bool], limit: int) -> int:
        found = self.all(sa.select(*table.primary_key).where(where).limit(limit))
        if found:
            self._drop(table, found)
        return len(found)

    def _drop(self, table: sa.Table, rows: Iterable[Any]) -> None:
        keys = list(table.primary_key)
        mine = [column == sa.bindparam(f"b_{column.name}") for column in keys]
        self._c.execute(
            sa.delete(table).where(*mine),
            [{f"b_{c.name}": row._mapping[c.name] for c in keys} for row in rows],
        )


def _at_least(span_s: float) -> list[str]:
    """Recorder's names of what is rolled up to this span already, or to a longer one."""
    return [rolled_up_to(s) for s in ROLLED_UP_SPANS_S if s >= span_s]
