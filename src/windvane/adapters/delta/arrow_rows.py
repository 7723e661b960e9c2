"""Events as they wait to be committed: rows of the tables, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from windvane.adapters.delta.tables import ORDER


@dataclass(frozen=True, eq=False)
class ArrowRows:
    """Of one spool below ``end``, by table, each in the order of its files."""

    spool: str
    end: int
    tables: Mapping[str, pa.Table]

    @property
    def rows(self) -> int:
        return sum(table.num_rows for table in self.tables.values())

    @property
    def bytes(self) -> int:
        return sum(table.nbytes for table in self.tables.values())

    def positions(self) -> Sequence[int]:
        held = [table["position"].to_numpy() for table in self.tables.values()]
        return np.unique(np.concatenate(held)).tolist() if held else []

    def since(self, name: str, position: int) -> pa.Table:
        """A table's rows from ``position`` on."""
        table = self.tables[name]
        later = table["position"].to_numpy() >= position
        return table if later.all() else table.filter(pa.array(later))

    def halves(self) -> tuple[ArrowRows, ArrowRows]:
        positions = self.positions()
        middle = positions[len(positions) // 2]
        before, after = dict[str, pa.Table](), dict[str, pa.Table]()
        for name, table in self.tables.items():
            first = table["position"].to_numpy() < middle
            before[name] = table.filter(pa.array(first))
            after[name] = table.filter(pa.array(~first))
        return (
            ArrowRows(self.spool, middle, {n: t for n, t in before.items() if t.num_rows}),
            ArrowRows(self.spool, self.end, {n: t for n, t in after.items() if t.num_rows}),
        )


def in_file_order(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables that are each in the order of files as one that is; equal rows keep theirs."""
    if len(tables) == 1:
        return tables[0]
    whole = pa.concat_tables(tables).combine_chunks()
    return whole.sort_by([(column, "ascending") for column in ORDER])
