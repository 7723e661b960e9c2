"""Incidents over a long time."""

from __future__ import annotations

import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows, load
from windvane.ports.incidents import IncidentSummary

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
