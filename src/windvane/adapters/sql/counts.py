"""Counts that only grow."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from windvane.adapters.sql import schema as t
from windvane.adapters.sql.rows import Rows
from windvane.ports.quarantine import Counted

PLACE = Counted("quarantine_place")


class CountRows(Rows):
    def add_counts(self, counts: Mapping[Counted, int]) -> None:
        rows = [
            {**msgspec.to_builtins(counted), "total": n} for counted, n in _in_order(counts) if n
        ]
        if not rows:
            return
        insert = self._insert(t.recorded_counts)
        keys = [column.name for column in t.recorded_counts.primary_key]
        total = t.recorded_counts.c.total + insert.excluded.total
        self._c.execute(
            insert.on_conflict_do_update(index_elements=keys, set_={"total": total}), rows
        )

    def counts(self) -> Mapping[Counted, int]:
        c = t.recorded_counts.c
        found = sa.select(t.recorded_counts).where(c.name != PLACE.name)
        rows = self.all(found.order_by(c.name, c.subject, c.reason))
        return {Counted(row.name, row.subject, row.reason): row.total for row in rows}


def _in_order(counts: Mapping[Counted, int]) -> list[tuple[Counted, int]]:
    """In one order, so that two writers never wait for each other."""
    return sorted(counts.items(), key=lambda one: (one[0].name, one[0].subject, one[0].reason))
