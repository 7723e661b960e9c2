"""Appending once a position, and the few questions that Windvane asks its log."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError

from windvane.adapters.delta.rows import read_rows, read_span
from windvane.adapters.delta.tables import (
    FEATURE,
    OUTPUT,
    TABLES,
    column_name,
    table_of,
    to_arrow,
)
from windvane.core.task import Contract, make_task
from windvane.ports.event_log import LogEntry, LogSpan, RowKind, RowPlace, ScoredRows
from windvane.ports.events import dedupe_key

_WHOLE_BYTES = 64 << 20
_FEATURES = "features."
# An outcome names a prediction by our id, or by the client's where that stands for one only.
_JOINED = """
WITH found AS (SELECT * FROM predictions WHERE ts >= $start AND ts < $end AND {present}),
names AS (
    SELECT DISTINCT tenant, prediction_id AS named, prediction_id FROM found
    UNION
    SELECT tenant, request_id, any_value(prediction_id) FROM found WHERE request_id <> ''
    GROUP BY tenant, request_id HAVING count(DISTINCT prediction_id) = 1
),
truth AS (
    SELECT names.tenant, names.prediction_id, o.row, arg_max(o.value, o.ts) AS value
    FROM outcomes o JOIN names ON o.tenant = names.tenant AND o.prediction_id = names.named
    GROUP BY names.tenant, names.prediction_id, o.row
)
SELECT p.routed, p.arm, p.rollout, truth.value AS label_, {outputs}
FROM found p JOIN truth USING (tenant, prediction_id, row)
ORDER BY ALL
"""


class DeltaEventLog:
    """Three Delta tables a model, below one folder or object-store prefix.

    A table remembers, in the same commit as the rows, the spool position it has reached
    (Delta's application transactions); so an append repeated after a crash adds only what
    is missing.
    """

    def __init__(self, root: str, storage: Mapping[str, str] | None = None) -> None:
        self._root = root.rstrip("/")
        self._storage = dict(storage or {})
        self._open: dict[str, DeltaTable] = {}

    def append(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        contracts: Mapping[str, Contract],
    ) -> None:
        groups: dict[tuple[str, str], list[LogEntry]] = {}
        for entry in entries:
            groups.setdefault((entry.event.model, table_of(entry)), []).append(entry)
        for (model, name), found in groups.items():
            table = self._table(model, name)
            reached = (table.transaction_version(spool) or 0) if table else 0
            fresh = [entry for entry in found if entry.position >= reached]
            if not fresh:
                continue
            write_deltalake(
                table or self._uri(model, name),
                to_arrow(name, fresh, contracts),
                mode="append",
                partition_by=["day"],
                schema_mode="merge",
                storage_options=self._storage or None,
                commit_properties=CommitProperties(app_transactions=[Transaction(spool, end)]),
            )

    def appended(self, spool: str) -> int:
        reached = [t.transaction_version(spool) or 0 for t in self._tables()]
        return max(reached, default=0)

    def recent_keys(self, positions: Mapping[str, int], limit: int) -> list[str]:
        parts: list[str] = []
        for table in self._tables():
            uris = table.file_uris()
            if not uris:
                continue
            model, name = table.table_uri.rstrip("/").split("/")[-2:]
            named = "event_id" if name == "outcomes" else "prediction_id"
            parts.append(
                f"SELECT DISTINCT tenant, '{model}' AS model, '{name[0].upper()}' AS kind, "
                f"{named} AS named, spool, position, ts "
                f"FROM read_parquet({json.dumps(uris)}, union_by_name=true)"
            )
        if not parts:
            return []
        with self._connect() as c:
            c.execute("CREATE TABLE checkpoints (spool VARCHAR, reached BIGINT)")
            if positions:
                c.executemany("INSERT INTO checkpoints VALUES (?, ?)", list(positions.items()))
            rows = c.execute(
                f"SELECT tenant, model, kind, named FROM ({' UNION ALL '.join(parts)}) e "
                "LEFT JOIN checkpoints USING (spool) "
                "WHERE e.position < coalesce(checkpoints.reached, 0) ORDER BY ts DESC LIMIT ?",
                [limit],
            ).fetchall()
        return [dedupe_key(*row) for row in rows]

    def counts(self, model: str) -> dict[str, int]:
        out: dict[str, int] = {}
        for name in TABLES:
            table = self._table(model, name)
            uris = table.file_uris() if table else []
            out[name] = 0
            if uris:
                with self._connect() as c:
                    found = c.execute("SELECT count(*) FROM read_parquet(?)", [uris]).fetchone()
                    out[name] = int(found[0]) if found else 0
        return out

    def samples(
        self,
        model: str,
        contract: Contract,
        start: float,
        end: float,
        where: Mapping[str, Any],
        limit: int,
    ) -> list[dict[str, Any]]:
        uris = self._files(model, "predictions", start, end)
        if not uris:
            return []
        columns = [
            column_name(FEATURE, name.removeprefix(_FEATURES))
            if name.startswith(_FEATURES)
            else name
            for name in where
        ]
        terms = "".join(f' AND "{name}" IS NOT DISTINCT FROM ?' for name in columns)
        with self._connect() as c:
            cursor = c.execute(
                "SELECT * EXCLUDE (spool, position, contract, day) "
                "REPLACE (epoch(ts) AS ts) "
                "FROM read_parquet(?, union_by_name=true) "
                f"WHERE ts >= ? AND ts < ?{terms} ORDER BY ts, prediction_id, row LIMIT ?",
                [uris, _utc(start), _utc(end), *where.values(), limit],
            )
            return [_sample(row, contract) for row in _dicts(cursor)]

    def refusals(
        self, model: str, tenant: str, start: float, end: float, limit: int
    ) -> list[dict[str, Any]]:
        uris = self._files(model, "refusals", start, end)
        if not uris:
            return []
        with self._connect() as c:
            cursor = c.execute(
                "SELECT epoch(ts) AS ts, tenant, prediction_id, request_id, code, message, sample "
                "FROM read_parquet(?) WHERE tenant = ? AND ts >= ? AND ts < ? "
                "ORDER BY ts, prediction_id LIMIT ?",
                [uris, tenant, _utc(start), _utc(end), limit],
            )
            return _dicts(cursor)

    def scored(self, model: str, contract: Contract, start: float, end: float) -> list[ScoredRows]:
        predictions = self._files(model, "predictions", start, end)
        outcomes = self._table(model, "outcomes")
        if not predictions or outcomes is None:
            return []
        specs = make_task(contract.task).outputs
        names = [f'"{column_name(OUTPUT, spec.name)}"' for spec in specs]
        with self._connect() as c:
            for name, uris in (("predictions", predictions), ("outcomes", outcomes.file_uris())):
                c.execute(
                    f"CREATE VIEW {name} AS SELECT * "
                    f"FROM read_parquet({json.dumps(uris)}, union_by_name=true)"
                )
            query = _JOINED.format(
                outputs=", ".join(f"p.{name}" for name in names),
                present=" AND ".join(f"{name} IS NOT NULL" for name in names),
            )
            try:
                found = c.execute(query, {"start": _utc(start), "end": _utc(end)}).fetchall()
            except duckdb.BinderException:  # files from before the task had these outputs
                return []
        groups: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
        for row in found:
            groups.setdefault(row[:3], []).append(row[3:])
        return [
            ScoredRows(*place, outputs=_arrays(rows), labels=_labels(rows))
            for place, rows in groups.items()
        ]

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
        names = ("predictions", "outcomes") if kind == "scored" else (kind,)
        files: dict[str, Sequence[str]] = {}
        for name in names:
            if kind == "scored" and name == "outcomes":  # they come later than the span
                files[name] = self._all_files(model, name)
            else:
                files[name] = self._files(model, name, start, end)
            if not files[name]:
                return
        shaped = partial(_sample, contract=contract) if names[0] == "predictions" else dict
        with self._connect() as c:
            yield from read_rows(c, kind, files, start, end, tenant, after, limit, within_s, shaped)

    def span(self, model: str, tenant: str) -> LogSpan:
        files = {name: self._all_files(model, name) for name in ("predictions", "outcomes")}
        with self._connect() as c:
            return read_span(c, files, tenant)

    def compact(self, model: str, most: int) -> int:
        removed = 0
        for name in TABLES:
            table = self._table(model, name)
            if table is None:
                continue
            files = pa.table(table.get_add_actions(flatten=True))
            small = Counter(
                day
                for day, size in zip(
                    files["partition.day"].to_pylist(), files["size_bytes"].to_pylist(), strict=True
                )
                if size < _WHOLE_BYTES
            )
            for day in sorted(day for day, n in small.items() if n > most):
                done = table.optimize.compact([("day", "=", day)], target_size=_WHOLE_BYTES)
                removed += int(done["numFilesRemoved"])
        return removed

    def _uri(self, model: str, name: str) -> str:
        return f"{self._root}/{model}/{name}"

    def _table(self, model: str, name: str) -> DeltaTable | None:
        uri = self._uri(model, name)
        held = self._open.get(uri)
        if held is not None:
            held.update_incremental()
            return held
        try:
            self._open[uri] = DeltaTable(uri, storage_options=self._storage or None)
        except TableNotFoundError:
            return None
        return self._open[uri]

    def _tables(self) -> list[DeltaTable]:
        root = Path(self._root)
        models = [p.name for p in sorted(root.iterdir())] if root.is_dir() else []
        found = [self._table(model, name) for model in models for name in TABLES]
        return [table for table in found if table is not None]

    def _files(self, model: str, name: str, start: float, end: float) -> list[str]:
        table = self._table(model, name)
        if table is None:
            return []
        first, last = _utc(start).date(), _utc(max(start, end - 1e-6)).date()
        if (last - first).days > 400:
            return list(table.file_uris())
        days = [str(first + dt.timedelta(days=i)) for i in range((last - first).days + 1)]
        return list(table.file_uris(file_pruning_predicate=[("day", "in", days)]))

    def _all_files(self, model: str, name: str) -> list[str]:
        table = self._table(model, name)
        return [] if table is None else list(table.file_uris())

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"threads": 1})
        connection.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
        return connection


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _dicts(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _arrays(rows: list[tuple[Any, ...]]) -> list[Any]:
    return [np.array(column, np.float64) for column in list(zip(*rows, strict=True))[1:]]


def _labels(rows: list[tuple[Any, ...]]) -> Any:
    labels = np.array([row[0] for row in rows], np.float64)
    return labels[:, 0] if labels.shape[1] == 1 else labels


def _sample(row: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """Features and outputs apart from what is known about the row: one may be called as another."""
    features = {column_name(FEATURE, spec.name): spec.name for spec in contract.features}
    outputs = {
        column_name(OUTPUT, spec.name): spec.name for spec in make_task(contract.task).outputs
    }
    about = {n: v for n, v in row.items() if not n.startswith((FEATURE, OUTPUT))}
    return {
        **about,
        "features": {own: row[n] for n, own in features.items() if n in row},
        "outputs": {own: row[n] for n, own in outputs.items() if n in row},
    }
