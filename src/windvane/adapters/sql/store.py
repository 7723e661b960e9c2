"""Connections, transactions and migrations."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from windvane.adapters.sql.decisions import DecisionRows, LeaseRows
from windvane.adapters.sql.incidents import IncidentRows
from windvane.adapters.sql.models import ModelRows
from windvane.adapters.sql.quarantine import QuarantineRows
from windvane.adapters.sql.retention import RetentionRows
from windvane.adapters.sql.rollouts import RolloutRows
from windvane.adapters.sql.tenants import TenantRows
from windvane.adapters.sql.users import UserRows
from windvane.adapters.sql.watching import WatchingRows
from windvane.adapters.sql.windows import WindowRows
from windvane.ports.control_store import (
    HomeOfEarlierRelease,
    RowRejected,
    StoreUnavailable,
    Tx,
)

_RESTORE = "the file is damaged: `windvane restore BACKUP --home NEW` makes a home of a backup"
_GONE = (
    "its file is not there: put it back, or `windvane restore BACKUP --home NEW`; `windvane up` "
    "makes one only for a home that never had any"
)
MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 10_000
_SHOWN = 200  # characters of what a driver says, which may hold a row's values
_WRITER, _MIGRATOR = 827360, 827361  # advisory locks of the database


class _Tx(
    ModelRows, TenantRows, UserRows, WindowRows, WatchingRows, RetentionRows, QuarantineRows,
    DecisionRows, IncidentRows, LeaseRows, RolloutRows,
):  # fmt: skip
    """Everything, on one connection."""


class SqlControlStore:
    """A control store behind a SQLAlchemy URL (``sqlite:///path`` or ``postgresql://...``)."""

    def __init__(self, url: str) -> None:
        try:
            self._url = sa.make_url(url)
            if self._url.drivername == "postgresql":
                self._url = self._url.set(drivername="postgresql+psycopg")
            self._sqlite = self._url.get_backend_name() == "sqlite"
            self._engine = (
                _sqlite_engine(self._url) if self._sqlite else _postgresql_engine(self._url)
            )
        except exc.ArgumentError as error:
            hint = "`store` in windvane.yaml is sqlite:///PATH or postgresql://USER@HOST/NAME"
            raise StoreUnavailable("this is no address of a control store", hint=hint) from error

    @property
    def kind(self) -> str:
        """sqlite or postgresql."""
        return "sqlite" if self._sqlite else "postgresql"

    @contextmanager
    def begin(self, models: Sequence[str] | None = None) -> Iterator[Tx]:
        with self.connect_to_write(models) as connection:
            yield _Tx(connection)

    @contextmanager
    def connect_to_write(self, models: Sequence[str] | None = None) -> Iterator[sa.Connection]:
        with _translated(self._url), self._engine.connect() as connection, connection.begin():
            if not self._sqlite:  # which has one writer at a time
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_BUSY_MS}")
                _lock(connection, models)
            yield connection

    @contextmanager
    def look(self) -> Iterator[sa.Connection]:
        """A bare connection, for who inspects a database that may be of another release."""
        with _translated(self._url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with self.connect_to_read() as (_, tx):
            yield tx

    @contextmanager
    def connect_to_read(self) -> Iterator[tuple[sa.Connection, Tx]]:
        options = (
            {"windvane_read": True}
            if self._sqlite
            else {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
        )
        with (
            _translated(self._url),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection, _Tx(connection)

    def sync(self) -> None:
        """PostgreSQL commits durably; SQLite does not wait for the disk (synchronous=NORMAL)."""
        if not (self._sqlite and self._url.database):
            return
        path = Path(self._url.database).resolve()  # SQLite's other files lie beside the real one
        try:
            # Never the database itself: closing any handle of it gives up the locks that SQLite
            # holds on it for this process, and the next who leaves takes the write-ahead log
            # along. What is not in that any more was forced when it was taken over.
            for one in (Path(f"{path}-wal"), path.parent):
                _force(one)
        except OSError as error:
            raise StoreUnavailable(f"{path.name} is not forced to the disk: {error}") from error

    def migrate(self) -> None:
        if self._sqlite and self._url.database:
            path = Path(self._url.database)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
        with self.look() as connection:
            if _is_at_head(connection):
                return
        import alembic.command  # half of the start-up of a command that finds nothing to migrate
        import alembic.config

        config = alembic.config.Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with (
            _translated(self._url),
            self._only_one(),
            self._engine.connect() as connection,
            connection.begin(),
        ):
            if not self._sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATOR})")
            _refuse_earlier_release(connection)
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    def close(self) -> None:
        self._engine.dispose()

    def _only_one(self) -> Any:
        if not (self._sqlite and self._url.database):
            return nullcontext()
        return _file_lock(Path(self._url.database + ".migrating"))


def _force(path: Path) -> None:
    try:
        opened = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # the write-ahead log goes with the last connection
        return
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _lock(connection: sa.Connection, models: Sequence[str] | None) -> None:
    """Everything, or these models: what a use case read of them stays true until it has written.
    Always in one order, so that nobody waits for each other."""
    if models is None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER})")
        return
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_WRITER})")
    for number in sorted({zlib.crc32(model.encode()) for model in models}):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER}, {number - 2**31})")


def _is_at_head(connection: sa.Connection) -> bool:
    """Whether nothing is to be migrated. Raises StoreUnavailable for a later release's database,
    whose migrations are not known here."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    known = schema_revisions()
    if found is not None and found not in known:
        raise StoreUnavailable(
            f"the control database has the schema {found}, which a later release made; this one "
            f"knows {known[-1]} and earlier",
            hint="install that release again; a backup from before it can be restored",
        )
    return found == known[-1]


def schema_revisions() -> list[str]:
    """The revisions of the schema that this release knows, the first first: what the names of
    their files begin with."""
    return sorted(file.name.partition("_")[0] for file in MIGRATIONS.glob("versions/[0-9]*.py"))


def _refuse_earlier_release(connection: sa.Connection) -> None:
    """Events and versions of the first two revisions know one float of a binary classifier. A
    database with versions in it would be served and judged wrongly; one without goes on."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("alembic_version") or inspector.has_table("contracts"):
        return
    versions = connection.execute(sa.text("SELECT count(*) FROM versions")).scalar_one()
    if versions:
        raise HomeOfEarlierRelease(
            f"the control database holds {versions} versions of an earlier release, whose events "
            "and baselines this release cannot read"
        )


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _translated(url: sa.URL) -> Iterator[None]:
    """Driver errors as ours; the password never shows."""
    try:
        yield
    except (exc.IntegrityError, exc.DataError) as error:
        message = str(error.orig)[:_SHOWN]
        raise RowRejected(f"the control database refuses a value: {message}") from error
    except (exc.DBAPIError, exc.InvalidRequestError, sqlite3.Error) as error:
        shown = url.render_as_string(hide_password=True)
        message = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"{shown}: {message}", hint=_advice(url, message)) from error


def _advice(url: sa.URL, error: object) -> str | None:
    """What helps where it is not whatever the hint of StoreUnavailable says."""
    if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return _RESTORE
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return _GONE
    return None


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, connect_args={"connect_timeout": 5}, pool_pre_ping=True)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    """Connections to the file that is at the path now, and only if there is one.

    SQLite would make an empty database where the file is gone, and would go on writing to
    a file that was moved away; a deputy without memory is worse than an error.
    """
    path = Path(url.database or "").absolute()
    address = f"{path.as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False)

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)

    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        record.info["inode"] = _inode(path)
        _prepare_sqlite(connection)

    def still_there(connection: sqlite3.Connection, record: Any, proxy: Any) -> None:
        del connection, proxy
        if record.info.get("inode") != _inode(path):
            raise exc.DisconnectionError("the database file is gone or another")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "checkout", still_there)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _prepare_sqlite(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    """Writers queue at the start of their transaction, not in its middle."""
    reading = connection.get_execution_options().get("windvane_read")
    connection.exec_driver_sql(f"PRAGMA query_only={int(bool(reading))}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
