"""Few large files, sorted, in place of the many small ones that a recorder appends."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from windvane.adapters.delta.table_folder import TableFolder, files_of, open_connection, quoted
from windvane.adapters.delta.tables import ORDER, SCHEMAS

_log = logging.getLogger(__name__)
_WHOLE_BYTES = 64 << 20
_PARTITIONS_A_CALL = 16
_LOOKS_A_CALL = 64
_SORT_MEMORY = "512MB"
_BATCH_ROWS = 32_768
_DENSE = WriterProperties(
    compression="ZSTD",
    compression_level=3,
    max_row_group_size=_BATCH_ROWS,
    statistics_truncate_length=512,
)

_FAILURES = (OSError, DeltaError, duckdb.Error, pa.ArrowException)

Place = tuple[str, int]
"""A partition: the day and the bucket."""


@dataclass
class _Partition:
    small: int = 0
    paths: set[str] = field(default_factory=set[str])


class Compaction:
    """Remembers which partitions it has seen to be sorted, or to have a file that cannot be read:
    their files need no second look."""

    def __init__(self, tables: TableFolder) -> None:
        self._tables = tables
        self._settled: dict[tuple[str, Place], frozenset[str]] = {}

    def run(self, most: int) -> int:
        """The number of files that were replaced."""
        return sum(self._compact(name, table, most) for name, table in self._tables.open_all())

    def _compact(self, name: str, table: DeltaTable, most: int) -> int:
        partitions = _partitions(table)
        newest = max((day for day, _ in partitions), default="")
        removed = done = looks = 0
        self._forget(name, partitions)
        for place in sorted(partitions, reverse=True):
            held = partitions[place]
            if done >= _PARTITIONS_A_CALL or looks >= _LOOKS_A_CALL:
                break
            paths = frozenset(held.paths)
            if self._settled.get((name, place)) == paths:
                continue
            try:
                if place[0] == newest:  # a rewrite of it all would lose against the next append
                    if held.small > most:
                        done += 1
                        removed += _concatenate(table, place)
                    continue
                looks += 1
                if held.small <= 1 and _is_sorted(table, place):
                    self._settled[name, place] = paths
                    continue
                done += 1
                replaced = self._sort(name, table, place, held)
                if not replaced and held.small > most:
                    replaced = _concatenate(table, place)
                removed += replaced
            except _FAILURES as error:
                self._leave_damaged(name, place, paths, error)
        return removed

    def _leave_damaged(
        self, name: str, place: Place, paths: frozenset[str], error: Exception
    ) -> None:
        """A partition with a file that cannot be read stays as it is, and the others go on. Raises
        ``error`` where each can be: then it is an outage."""
        day, bucket = place
        bad = self._tables.unreadable(name, [f"day = {quoted(day)}", f"bucket = {bucket}"])
        if not bad:
            raise error
        _log.error("%s of %s are not joined, %s cannot be read: %s", name, day, bad[0], error)
        self._settled[name, place] = paths

    def _forget(self, name: str, partitions: Mapping[Place, _Partition]) -> None:
        for table, place in list(self._settled):
            if table == name and place not in partitions:
                del self._settled[table, place]

    def _sort(self, name: str, table: DeltaTable, place: Place, held: _Partition) -> int:
        """Sort a partition on disk where memory is too small. If rows were appended meanwhile,
        nothing has happened, and the next call does it."""
        day, bucket = place
        order = [*ORDER, "position", *(["row"] if "row" in SCHEMAS[name].names else [])]
        with TemporaryDirectory() as spilled, open_connection() as c:
            c.execute(
                f"SET memory_limit='{_SORT_MEMORY}'; SET threads=1; "
                f"SET temp_directory={quoted(spilled)}"
            )
            c.register("rows_of_day", _dataset(table, place))
            rows = c.sql(f"SELECT * FROM rows_of_day ORDER BY {', '.join(order)}")
            try:
                write_deltalake(
                    table,
                    rows.to_arrow_reader(_BATCH_ROWS),
                    mode="overwrite",
                    predicate=f"day = {quoted(day)} AND bucket = {bucket}",
                    target_file_size=_WHOLE_BYTES,
                    writer_properties=_DENSE,
                )
            except CommitFailedError:
                _log.info("%s of %s were appended to while they were sorted", name, day)
                table.update_incremental()
                return 0
        return len(held.paths)


def _partitions(table: DeltaTable) -> dict[Place, _Partition]:
    out: dict[Place, _Partition] = {}
    files = files_of(table)
    columns = ("partition.day", "partition.bucket", "size_bytes", "path")
    for day, bucket, size, path in zip(*(files[c].to_pylist() for c in columns), strict=True):
        held = out.setdefault((day, int(bucket)), _Partition())
        held.small += size < _WHOLE_BYTES
        held.paths.add(path)
    return out


def _concatenate(table: DeltaTable, place: Place) -> int:
    """No append is in its way; if others removed rows meanwhile, the next call does it."""
    day, bucket = place
    try:
        done = table.optimize.compact(
            [("day", "=", day), ("bucket", "=", str(bucket))],
            target_size=_WHOLE_BYTES,
            writer_properties=_DENSE,
        )
    except CommitFailedError:
        _log.info("files of %s were rewritten by others while they were joined", day)
        table.update_incremental()
        return 0
    return int(done["numFilesRemoved"])


def _dataset(table: DeltaTable, place: Place) -> ds.Dataset:
    day, bucket = place
    return table.to_pyarrow_dataset(
        file_pruning_predicate=[("day", "=", day), ("bucket", "=", bucket)]
    )


def _is_sorted(table: DeltaTable, place: Place) -> bool:
    """By the statistics of row groups, which lie at the ends of the files."""
    return all(
        _precedes(before, after)
        for fragment in _dataset(table, place).get_fragments()
        for before, after in pairwise(_groups(fragment))
    )


def _groups(fragment: Any) -> Iterator[Mapping[str, Any]]:
    for group in fragment.row_groups:
        yield group.statistics or {}


def _precedes(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    for column in ORDER:
        if column not in before or column not in after:
            return False
        first, second = before[column], after[column]
        if first["max"] < second["min"]:
            return True
        if not first["min"] == first["max"] == second["min"] == second["max"]:
            return bool(first["max"] <= second["min"])
    return True
