"""How much the tables hold, from what they say of their own files."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, defaultdict
from collections.abc import Collection

from windvane.adapters.delta.damage import passing_over_damaged
from windvane.adapters.delta.table_folder import TableFolder, connect, files_of, quoted, utc
from windvane.core.health import LogSize

_EPOCH = dt.date(1970, 1, 1)


def read_sizes(tables: TableFolder, recent_from: float) -> list[LogSize]:
    """By table and day; of days from ``recent_from`` (s) on by model, too, by their rows in each
    partition: models of a bucket share its files. Rows of a file that cannot be read are shared out
    as those beside it are, or belong to the model ""."""
    recent = str(utc(recent_from).date())
    out: list[LogSize] = []
    for name, table in tables.open_all():
        actions = files_of(table)
        held: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        first: dict[str, float | None] = {}
        columns = ("partition.day", "partition.bucket", "num_records", "size_bytes")
        parts = [actions[c].to_pylist() for c in columns]
        # Files of another writer may come without statistics.
        known = "min.ts" in actions.column_names
        parts.append(actions["min.ts"].to_pylist() if known else [None] * actions.num_rows)
        for day, bucket, rows, size, began in zip(*parts, strict=True):
            held[day, int(bucket)][0] += rows or 0
            held[day, int(bucket)][1] += size
            before, at = first.get(day, math.inf), None if began is None else began.timestamp()
            first[day] = None if before is None or at is None else min(before, at)
        shares = _rows_by_model(tables, name, recent)
        totals: Counter[tuple[str, str, str]] = Counter()
        for (day, bucket), (rows, size) in sorted(held.items()):
            models = shares.get((day, bucket), {"": max(rows, 1)})
            whole, given, left = sum(models.values()), 0, size
            for i, (model, count) in enumerate(sorted(models.items())):
                part = left if i == len(models) - 1 else size * count // whole
                left -= part
                counted = rows - given if i == len(models) - 1 else rows * count // whole
                given += counted
                totals[day, model, "rows"] += counted
                totals[day, model, "bytes"] += part
        for day, model in sorted({(day, model) for day, model, _ in totals}):
            number = (dt.date.fromisoformat(day) - _EPOCH).days
            rows, size = totals[day, model, "rows"], totals[day, model, "bytes"]
            out.append(LogSize(name, number, model, rows, size, first[day]))
    return out


def _rows_by_model(
    tables: TableFolder, name: str, since: str
) -> dict[tuple[str, int], dict[str, int]]:
    """Rows of each model in the partitions from that day on."""
    recent = [f"day >= {quoted(since)}"]
    return passing_over_damaged(
        tables, {name: recent}, lambda damaged: _counted(tables, name, since, damaged.get(name, ()))
    )


def _counted(
    tables: TableFolder, name: str, since: str, damaged: Collection[str]
) -> dict[tuple[str, int], dict[str, int]]:
    found: dict[tuple[str, int], dict[str, int]] = {}
    with connect() as c:
        if not tables.show(c, name, [f"day >= {quoted(since)}"], damaged):
            return found
        rows = c.execute(
            f"SELECT day, bucket, model, count(*) FROM {name} WHERE day >= {quoted(since)} "
            "GROUP BY ALL"
        ).fetchall()
    for day, bucket, model, count in rows:
        found.setdefault((day, int(bucket)), {})[model] = count
    return found
