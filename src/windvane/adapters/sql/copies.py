"""The control store in one state, as an SQLite file, whichever of the two databases it lies in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import exc

from windvane.adapters.sql.schema import metadata
from windvane.adapters.sql.store import MIGRATIONS, SqlControlStore
from windvane.ports.backups import BackupFailed, NoPlaceForStore, OnBytes
from windvane.ports.control_store import Tx

_PAGES, _ROWS = 1_024, 500
_REVISION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32)))


class SqlControlCopies:
    """The port for copies of the control store."""

    def __init__(self, store: SqlControlStore) -> None:
        self._store = store

    @property
    def kind(self) -> str:
        return self._store.kind

    @contextmanager
    def hold(self) -> Iterator[_Held]:
        with self._store.connect_to_read() as (connection, tx):
            tx.checkpoints()  # the first statement is what fixes the state that is seen
            yield _Held(connection, tx, self.revision())

    def revision(self) -> str:
        head = _scripts().get_current_head()
        assert head is not None, "there is one line of migrations"
        return str(head)

    def knows(self, revision: str) -> bool:
        return any(script.revision == revision for script in _scripts().walk_revisions())

    def fill_from(self, path: Path) -> None:
        source = sa.create_engine(f"sqlite:///{path}")
        try:
            with self._store.connect_to_write() as target, source.connect() as held:
                for table in metadata.sorted_tables:
                    if target.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
                        raise NoPlaceForStore(f"the database has rows in {table.name} already")
                for table in metadata.sorted_tables:
                    _copy_rows(table, held, target)
                    _continue_numbers(table, target)
        finally:
            source.dispose()


class _Held:
    def __init__(self, connection: sa.Connection, tx: Tx, revision: str) -> None:
        self._connection = connection
        self._revision = revision
        self.tx = tx

    def copy_to(self, path: Path, on_bytes: OnBytes) -> None:
        try:
            path.touch(0o600)
            if self._connection.dialect.name == "sqlite":
                self._copy_pages(path, on_bytes)
            else:
                self._copy_tables(path, on_bytes)
        except (sqlite3.Error, exc.DBAPIError, OSError) as error:
            message = getattr(error, "orig", None) or error
            raise BackupFailed(f"the control store cannot be copied: {message}") from error

    def _copy_pages(self, path: Path, on_bytes: OnBytes) -> None:
        """In the transaction that is open: it keeps its snapshot, so no writer makes the copy
        begin anew."""
        source = cast("sqlite3.Connection", self._connection.connection.dbapi_connection)
        page_bytes = int(source.execute("PRAGMA page_size").fetchone()[0])
        done = 0

        def progress(status: int, remaining: int, total: int) -> None:
            del status
            nonlocal done
            on_bytes((total - remaining) * page_bytes - done)
            done = (total - remaining) * page_bytes

        with closing(sqlite3.connect(path, isolation_level=None)) as target:
            source.backup(target, pages=_PAGES, progress=progress)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, with no other beside it

    def _copy_tables(self, path: Path, on_bytes: OnBytes) -> None:
        engine = sa.create_engine(f"sqlite:///{path}")
        try:
            with engine.begin() as target:
                metadata.create_all(target)
                _REVISION.create(target)
                target.execute(sa.insert(_REVISION).values(version_num=self._revision))
                for table in metadata.sorted_tables:
                    _copy_rows(table, self._connection, target)
                    on_bytes(0)
        finally:
            engine.dispose()


def _copy_rows(table: sa.Table, source: sa.Connection, target: sa.Connection) -> None:
    options = {"stream_results": True, "yield_per": _ROWS}
    found = source.execute(sa.select(table), execution_options=options)
    for rows in found.mappings().partitions(_ROWS):
        target.execute(sa.insert(table), [dict(row) for row in rows])


def _continue_numbers(table: sa.Table, target: sa.Connection) -> None:
    """PostgreSQL counts by sequences, which rows that bring their number do not move."""
    counted: Any = table.autoincrement_column
    if counted is None or target.dialect.name != "postgresql":
        return
    largest = target.execute(sa.select(sa.func.max(counted))).scalar_one()
    if largest is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, counted.name)
        target.execute(sa.select(sa.func.setval(sequence, largest)))


def _scripts() -> Any:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    make: Callable[[Config], Any] = ScriptDirectory.from_config
    return make(config)
