"""Appending once a position, removing what is too old, and the questions to the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError

from windvane.adapters.delta.arrow_rows import ArrowRows, in_file_order
from windvane.adapters.delta.compaction import Compaction
from windvane.adapters.delta.damage import count_damaged
from windvane.adapters.delta.durable import force_commits
from windvane.adapters.delta.newest import read_newest
from windvane.adapters.delta.questions import (
    count_rows,
    read_label_delays,
    read_outcome_counts,
    read_recent_keys,
    read_refusals,
    read_samples,
    read_scored,
)
from windvane.adapters.delta.rows import read_rows, read_span
from windvane.adapters.delta.sizes import read_sizes
from windvane.adapters.delta.table_folder import TableFolder, files_of, quoted, utc
from windvane.adapters.delta.tables import PARTITIONS, TABLES, bucket_of, table_of, to_arrow
from windvane.core.health import LogSize
from windvane.core.task import Contract
from windvane.ports.event_log import (
    LabelDelays,
    LogEntry,
    LogKind,
    LogRows,
    LogSpan,
    NewestRows,
    OutcomeCounts,
    RemovedRows,
    RowFilter,
    RowKind,
    RowPlace,
    ScoredRows,
    UnknownLogVersion,
)

_log = logging.getLogger(__name__)
_DAYS_A_CALL = 31
_TRIES = 5
_READ_WITHIN_HOURS = 24
# Dictionaries cost more time than they save space in a file that is soon rewritten.
_QUICK = WriterProperties(
    compression="SNAPPY", default_column_properties=ColumnProperties(dictionary_enabled=False)
)
# The entries of the table's own log that a version needs go in `expire`, which knows the versions
# that are to be kept.
_CONFIGURATION = {"delta.enableExpiredLogCleanup": "false"}


class DeltaEventLog:
    """One Delta table a kind of event, for all models, below one folder or object-store prefix.

    A table remembers, in the same commit as the rows, the spool position it has reached
    (Delta's application transactions); so an append repeated after a crash adds only what
    is missing.
    """

    def __init__(
        self,
        root: str,
        storage: Mapping[str, str] | None = None,
        *,
        read_within_hours: int = _READ_WITHIN_HOURS,
    ) -> None:
        """``read_within_hours``: how long a reader may go on with a version that it began."""
        self._tables = TableFolder(root, storage or {})
        self._compaction = Compaction(self._tables)
        self._forced: dict[str, int] = {}  # by table, the first version that may not be on the disk
        self._read_within_hours = read_within_hours

    def check_layout(self) -> None:
        """Raises OldLogLayout."""
        self._tables.check_layout()

    def check_storage(self) -> None:
        self._tables.check_storage()

    def damaged_files(self) -> int:
        return count_damaged(self._tables)

    def append(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        contracts: Mapping[str, Contract],
    ) -> None:
        self.commit([self.prepare(spool, end, entries, contracts)], {spool: end})

    def prepare(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        contracts: Mapping[str, Contract],
    ) -> ArrowRows:
        groups: dict[str, list[LogEntry]] = {}
        for entry in entries:
            groups.setdefault(table_of(entry), []).append(entry)
        tables = {name: to_arrow(name, found, contracts) for name, found in groups.items()}
        return ArrowRows(spool, end, tables)

    def commit(self, rows: Sequence[LogRows], ends: Mapping[str, int]) -> None:
        for name in TABLES:
            mine = [one for one in rows if isinstance(one, ArrowRows) and name in one.tables]
            if mine:
                self._commit_table(name, mine, ends)
                # Also where nothing was new: who committed it may have died before this.
                self._force(name)

    def _force(self, name: str) -> None:
        """To the disk, so that a power cut leaves it; an object store does so itself."""
        folder = self._tables.local_folder(name)
        if folder is not None:
            since = self._forced.get(name)
            if since is None:
                since = self._tables.checkpoint_version(name)
            self._forced[name] = force_commits(folder, since)

    def _commit_table(self, name: str, mine: Sequence[ArrowRows], ends: Mapping[str, int]) -> None:
        """Whoever rewrites files of the table at that moment may win; then it is done again, from
        what the table has reached by then."""
        for tries_left in reversed(range(_TRIES)):
            try:
                self._append_to(name, mine, ends)
            except CommitFailedError:
                if not tries_left:
                    raise
                _log.info("rows were not appended to %s: others rewrote it; trying again", name)
            else:
                break

    def _append_to(self, name: str, mine: Sequence[ArrowRows], ends: Mapping[str, int]) -> None:
        table = self._tables.open(name)
        reached = {
            spool: (table.transaction_version(spool) or 0) if table else 0
            for spool in {*ends, *(one.spool for one in mine)}
        }
        fresh = [one.since(name, reached[one.spool]) for one in mine]
        fresh = [found for found in fresh if found.num_rows]
        if not fresh:
            return
        write_deltalake(
            table or self._tables.uri(name),
            in_file_order(fresh),
            mode="append",
            partition_by=list(PARTITIONS),
            schema_mode="merge",
            configuration=None if table else _CONFIGURATION,
            storage_options=self._tables.storage,
            writer_properties=_QUICK,
            commit_properties=CommitProperties(
                app_transactions=[
                    Transaction(spool, end) for spool, end in ends.items() if end > reached[spool]
                ]
            ),
        )

    def appended(self, spool: str) -> int:
        reached = [t.transaction_version(spool) or 0 for _, t in self._tables.open_all()]
        return max(reached, default=0)

    def recent_keys(self, positions: Mapping[str, int], limit: int) -> list[str]:
        return read_recent_keys(self._tables, positions, limit)

    def counts(self, model: str) -> dict[str, int]:
        return count_rows(self._tables, model)

    def samples(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        where: Mapping[str, Any],
        limit: int,
    ) -> list[dict[str, Any]]:
        return read_samples(self._tables, model, contract, start, end, where, limit)

    def refusals(
        self, model: str, tenant: str, start: float, end: float, limit: int
    ) -> list[dict[str, Any]]:
        return read_refusals(self._tables, model, tenant, start, end, limit)

    def scored(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        arrive_within_s: float | None = None,
        *,
        limit: int | None = None,
        within_s: float | None = None,
        labelled: tuple[float, float] | None = None,
        features: Sequence[str] = (),
    ) -> list[ScoredRows]:
        return read_scored(
            self._tables, model, contract, start, end, arrive_within_s, limit, within_s, labelled,
            features,
        )  # fmt: skip

    def rows(
        self,
        kind: RowKind,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        *,
        tenant: str,
        after: RowPlace | None,
        limit: int,
        within_s: float,
    ) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
        return read_rows(
            self._tables, kind, model, contract, start, end, tenant, after, limit, within_s
        )

    def newest(
        self,
        kind: LogKind,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        where: RowFilter,
        *,
        before: RowPlace | None,
        limit: int,
        within_s: float,
    ) -> NewestRows:
        return read_newest(
            self._tables, kind, model, contract, start, end, where, before, limit, within_s
        )

    def span(self, model: str, tenant: str) -> LogSpan:
        return read_span(self._tables, model, tenant)

    def outcome_counts(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        arrive_within_s: float | None,
        *,
        within_s: float | None = None,
    ) -> list[OutcomeCounts]:
        return read_outcome_counts(
            self._tables, model, contract, start, end, arrive_within_s, within_s
        )

    def label_delays(
        self,
        model: str,
        start: float,
        cohort_s: float,
        cohorts: int,
        seen_until: float,
        edges: Sequence[float],
        *,
        within_s: float | None = None,
    ) -> list[LabelDelays]:
        return read_label_delays(
            self._tables, model, start, cohort_s, cohorts, seen_until, edges, within_s
        )

    def sizes(self, recent_from: float) -> list[LogSize]:
        return read_sizes(self._tables, recent_from)

    def free_bytes(self) -> int | None:
        return self._tables.free_bytes()

    def compact(self, most: int) -> int:
        return self._compaction.run(most)

    def erase(self, model: str, tenant: str, before: float) -> RemovedRows:
        predicate = (
            f"day <= {quoted(str(utc(before).date()))} AND bucket = {bucket_of(model)} "
            f"AND model = {quoted(model)} AND tenant = {quoted(tenant)} "
            f"AND ts < {quoted(utc(before).isoformat())}"
        )
        counted: Counter[str] = Counter()
        for name, _ in self._tables.open_all():
            counted.update(_delete(lambda of=name: self._tables.open(of), predicate))
        return _removed(counted)

    def expire(self, kind: LogKind, before: float, keep: Sequence[int]) -> RemovedRows:
        table = self._tables.open(kind)
        if table is None:
            return RemovedRows()
        wrong = [version for version in keep if not 0 <= version <= table.version()]
        if wrong:
            raise UnknownLogVersion(
                f"{kind} has versions 0 to {table.version():,}, and none is {min(wrong):,}"
            )
        counted: Counter[str] = Counter()
        limit = str(utc(before).date())
        old = sorted({day for day in files_of(table)["partition.day"].to_pylist() if day < limit})
        if old:
            last = old[:_DAYS_A_CALL][-1]
            predicate = f"day <= {quoted(last)}"
            counted.update(_delete(lambda: self._tables.open(kind), predicate))
        table.update_incremental()
        table.vacuum(
            retention_hours=self._read_within_hours,
            dry_run=False,
            enforce_retention_duration=False,
            keep_versions=sorted(set(keep)) or None,
        )
        if not keep:
            table.cleanup_metadata()
        return _removed(counted)


def _delete(table_of_now: Callable[[], DeltaTable | None], predicate: str) -> dict[str, int]:
    """Whoever rewrites the same files at that moment wins, and it is done again."""
    for tries_left in reversed(range(_TRIES)):
        table = table_of_now()
        if table is None:
            break
        try:
            done = table.delete(predicate)
        except CommitFailedError:
            if not tries_left:
                raise
            _log.info("rows were not removed: others rewrote their files; trying again")
            continue
        return {name: int(value or 0) for name, value in done.items()}
    return {}


def _removed(counted: Mapping[str, int]) -> RemovedRows:
    return RemovedRows(
        rows=counted.get("num_deleted_rows", 0),
        removed_files=counted.get("num_removed_files", 0),
        rewritten_files=counted.get("num_added_files", 0),
    )
