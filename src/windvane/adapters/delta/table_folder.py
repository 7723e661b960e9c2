"""The log's tables in a folder or below an object store's prefix: opened, and shown to DuckDB."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from windvane.adapters.delta.tables import TABLES, bucket_of
from windvane.ports.event_log import LogTooSlow, LogUnavailable, OldLogLayout

Pruning = list[str]
"""Conditions of SQL, all of which a row must meet."""
_MOST_FOLDERS = 100
_BATCH_ROWS = 10_000
_OUR_FAULTS = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
"""What DuckDB raises for a wrong question; everything else is about what it was asked to read."""


class TableFolder:
    """Opens tables by their names, and keeps them open."""

    def __init__(self, root: str, storage: Mapping[str, str]) -> None:
        self._root = root.rstrip("/")
        self._open: dict[str, DeltaTable] = {}
        self._layout_checked = False
        self.storage = dict(storage) or None
        self.remote = "://" in root and not root.startswith("file://")

    def free_bytes(self) -> int | None:
        """Of the disk; None for an object store."""
        if self.remote:
            return None
        folder = Path(self._root.removeprefix("file://")).absolute()
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def sizes_of(self, paths: Sequence[str]) -> list[int | None]:
        """Bytes of files below the folder; None for one that is not there. Raises OSError."""
        base = "" if self.remote else self._root.removeprefix("file://") + "/"
        system: pafs.FileSystem = pafs.LocalFileSystem()
        if self.remote:
            system = pafs.PyFileSystem(DeltaStorageHandler(self._root, self.storage))
        found = system.get_file_info([base + path for path in paths])
        return [one.size if one.type == pafs.FileType.File else None for one in found]

    def uri(self, name: str) -> str:
        return f"{self._root}/{name}"

    def local_folder(self, name: str) -> Path | None:
        """None in an object store."""
        if self.remote:
            return None
        return Path(self._root.removeprefix("file://")).absolute() / name

    def checkpoint_version(self, name: str) -> int:
        """Of a local table: that of the newest checkpoint of its log, 0 where there is none."""
        folder = self.local_folder(name)
        found = folder.glob("_delta_log/*.checkpoint*.parquet") if folder is not None else ()
        return max((int(path.name.partition(".")[0]) for path in found), default=0)

    def open(self, name: str) -> DeltaTable | None:
        """In its latest version; None where nothing was appended yet. Raises OldLogLayout."""
        held = self._open.get(name)
        if held is not None:
            held.update_incremental()
            return held
        try:
            self._open[name] = DeltaTable(self.uri(name), storage_options=self.storage)
        except TableNotFoundError:
            self.check_layout()
            return None
        return self._open[name]

    def open_all(self) -> list[tuple[str, DeltaTable]]:
        found = [(name, self.open(name)) for name in TABLES]
        return [(name, table) for name, table in found if table is not None]

    def check_storage(self) -> None:
        """Raises OSError. A folder that is not there yet is made by the first append."""
        if self.remote:
            try:
                system = pafs.PyFileSystem(DeltaStorageHandler(self._root, self.storage))
                _folders(system, "")
            except OSError:
                raise
            except Exception as error:  # each store's client has its own
                raise OSError(f"{type(error).__name__}: {error}") from error
            return
        base = Path(self._root.removeprefix("file://"))
        there = next(path for path in (base, *base.absolute().parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is no folder")
        if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{there} cannot be written to")

    def check_layout(self) -> None:
        """Raises OldLogLayout where models have tables of their own."""
        if self._layout_checked:
            return
        system, base = pafs.LocalFileSystem(), self._root.removeprefix("file://")
        if self.remote:
            system, base = pafs.PyFileSystem(DeltaStorageHandler(self._root, self.storage)), ""
        for folder in _folders(system, base)[:_MOST_FOLDERS]:
            if folder.base_name in TABLES:
                continue
            if {inner.base_name for inner in _folders(system, folder.path)} & set(TABLES):
                raise OldLogLayout(
                    f"the log in {self._root} has tables for each model ({folder.base_name} and "
                    "maybe others); this release keeps one table a kind for all models"
                )
        self._layout_checked = True

    def any_file(self, name: str, pruning: Pruning) -> bool:
        """Whether a table has a file that may have such rows. Raises LogUnavailable."""
        with naming_faults():
            table = self.open(name)
            return table is not None and bool(
                table.file_uris(file_pruning_predicate=" AND ".join(pruning))
            )

    def show(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        pruning: Pruning | None = None,
        without: Collection[str] = (),
    ) -> bool:
        """Make a view ``name`` of a table's files that may have such rows, but not of those in
        ``without`` (paths below the table); False for none.

        DuckDB reads local files itself. What lies elsewhere is read by Arrow, with the table's
        own credentials: both skip what statistics exclude.
        """
        table = self.open(name)
        if table is None:
            return False
        predicate = " AND ".join(pruning) if pruning else None
        uris = table.file_uris(file_pruning_predicate=predicate)
        uris = [uri for uri in uris if not uri.endswith(tuple(without))]
        if not uris:
            return False
        if self.remote:
            data = table.to_pyarrow_dataset(file_pruning_predicate=predicate)
            kept = [one for one in data.get_fragments() if not one.path.endswith(tuple(without))]
            if without:
                data = pads.FileSystemDataset(kept, data.schema, data.format, data.filesystem)
            connection.register(name, data)
            return True
        files = ", ".join(quoted(str(data_path(uri))) for uri in uris)
        connection.execute(
            f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet([{files}], "
            "union_by_name=true, hive_partitioning=true, hive_types={'day': VARCHAR})"
        )
        return True

    def unreadable(self, name: str, pruning: Pruning | None = None) -> list[str]:
        """Paths below the table of those of its files that cannot be read to their ends, though
        the table lists them. Each is read, so this takes as long as all of them."""
        table = self.open(name)
        if table is None:
            return []
        predicate = " AND ".join(pruning) if pruning else None
        bad: list[str] = []
        for uri in table.file_uris(file_pruning_predicate=predicate):
            folder = self.local_folder(name)
            below = self.uri(name) if folder is None else str(folder)
            path = (uri if self.remote else unquote(uri)).removeprefix(below).lstrip("/")
            try:
                if self.remote:
                    data = table.to_pyarrow_dataset(file_pruning_predicate=predicate)
                    (one,) = (f for f in data.get_fragments() if uri.endswith(f.path))
                    deque(one.to_batches(), maxlen=0)
                else:
                    with connect() as c:
                        rows = c.sql(f"SELECT * FROM read_parquet({quoted(str(data_path(uri)))})")
                        deque(rows.to_arrow_reader(_BATCH_ROWS), maxlen=0)
            except (OSError, LogUnavailable, pa.ArrowException):
                bad.append(path)
        return bad


def data_path(uri: str) -> Path:
    """The file that an URI of a local table means: the library escapes what is above the table."""
    path = Path(uri.removeprefix("file://"))
    meant = Path(unquote(str(path)))
    return meant if not path.is_file() and meant.is_file() else path


def _folders(system: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    selector = pafs.FileSelector(path, allow_not_found=True)
    found = system.get_file_info(selector)
    return sorted(
        (one for one in found if one.type == pafs.FileType.Directory), key=lambda one: one.path
    )


def files_of(table: DeltaTable) -> pa.Table:
    """What a table's own list says of each of its files."""
    return pa.table(table.get_add_actions(flatten=True))


def quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def of_model(model: str) -> Pruning:
    return [f"bucket = {bucket_of(model)}", f"model = {quoted(model)}"]


def in_span(start: float, end: float) -> Pruning:
    first, last = utc(start), utc(max(start, end))
    return [
        f"day >= '{first.date()}'",
        f"day <= '{last.date()}'",
        f"ts >= '{first.isoformat()}'",
        f"ts <= '{last.isoformat()}'",
    ]


def before(end: float) -> Pruning:
    last = utc(end)
    return [f"day <= '{last.date()}'", f"ts <= '{last.isoformat()}'"]


@contextmanager
def reading(connection: duckdb.DuckDBPyConnection, within_s: float | None) -> Iterator[None]:
    """What is asked of ``connection`` meanwhile ends ``within_s``. Raises LogTooSlow."""
    late = threading.Timer(within_s, connection.interrupt) if within_s is not None else None
    if late is not None:
        late.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise LogTooSlow(f"the log gave no row within {within_s:g} s") from error
    finally:
        if late is not None:
            late.cancel()


@contextmanager
def naming_faults() -> Iterator[None]:
    """What cannot be read meanwhile (a storage that is away, a file that is damaged or missing)
    raises LogUnavailable, which names it."""
    try:
        yield
    except _OUR_FAULTS:
        raise
    except duckdb.InterruptException:
        raise
    except (OSError, DeltaError, pa.ArrowException, duckdb.Error) as error:
        why = " ".join(str(error).split())[:300]
        raise LogUnavailable(f"the log cannot be read: {why}") from error


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to ask with; see `naming_faults`. It takes some milliseconds: whoever asks often
    looks for `TableFolder.any_file` first."""
    with open_connection() as connection, naming_faults():
        yield connection


def open_connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
    return connection


def as_dicts(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names: Sequence[str] = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
