"""Incidents over a long time, and what is to be done after them."""

from __future__ import annotations

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, dump, load
from windvane.ports.control_store import UnknownName
from windvane.ports.incidents import ActionItem, IncidentSummary

_FETCHED = 200


class IncidentRows(Rows):
    def incident_summaries(
        self, since: float, limit: int, model: str = ""
    ) -> list[IncidentSummary]:
        c = t.incidents.c
        found = sa.select(c.body).where(c.opened_at >= since)
        if model:
            found = found.where(c.model == model)
        found = found.order_by(c.opened_at.desc(), c.id).limit(limit)
        # One body at a time: a summary is small, and what it leaves out is not.
        with self._c.execute(found, execution_options={"yield_per": _FETCHED}) as rows:
            return [load(row.body, IncidentSummary) for row in rows]

    def put_action_item(self, item: ActionItem) -> None:
        row = {name: getattr(item, name) for name in ("id", "model", "incident", "state", "due")}
        self.put(t.action_items, {**row, "body": dump(item)})

    def action_item(self, item_id: str) -> ActionItem:
        c = t.action_items.c
        row = self.one(sa.select(c.body).where(c.id == item_id))
        if row is None:
            hint = "`windvane action-items list` lists them"
            raise UnknownName(f"no action item {item_id!r}", hint=hint)
        return load(row.body, ActionItem)

    def action_items(
        self, limit: int, *, model: str = "", incident: str = "", state: str = ""
    ) -> list[ActionItem]:
        c = t.action_items.c
        found = sa.select(c.body)
        for column, wanted in ((c.model, model), (c.incident, incident), (c.state, state)):
            if wanted:
                found = found.where(column == wanted)
        found = found.order_by(c.due, c.id).limit(limit)
        return [load(row.body, ActionItem) for row in self.all(found)]
