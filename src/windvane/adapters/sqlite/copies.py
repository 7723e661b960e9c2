"""SQLite files that others have open, copied as they are at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from windvane.ports.backups import BackupFailed, OnBytes

_MAGIC = b"SQLite format 3\x00"
_PAGES = 1_024
_BUSY_S = 10.0


class SqliteCopies:
    """The port for copies of databases."""

    def is_database(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return file.read(len(_MAGIC)) == _MAGIC
        except OSError:
            return False

    @contextmanager
    def hold(self, path: Path) -> Iterator[_Held]:
        address = f"{path.absolute().as_uri()}?mode=rw"
        try:
            opened = sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)
        except sqlite3.Error as error:
            raise BackupFailed(f"{path.name} cannot be read: {error}", hint="") from error
        with closing(opened) as connection:
            try:
                # A transaction that has read something keeps its snapshot, whoever writes.
                connection.execute("PRAGMA query_only=1")
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.Error as error:
                raise BackupFailed(f"{path.name} cannot be read: {error}", hint="") from error
            yield _Held(connection, path.name)


class _Held:
    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def copy_to(self, path: Path, on_bytes: OnBytes) -> None:
        """By SQLite's online backup, within the transaction that is open."""
        page_bytes = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
        done = 0

        def progress(status: int, remaining: int, total: int) -> None:
            del status
            nonlocal done
            on_bytes((total - remaining) * page_bytes - done)
            done = (total - remaining) * page_bytes

        try:
            path.touch(0o600)
            with closing(sqlite3.connect(path, isolation_level=None)) as target:
                self._connection.backup(target, pages=_PAGES, progress=progress)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, with no other beside it
        except (sqlite3.Error, OSError) as error:
            raise BackupFailed(f"{self._name} cannot be copied: {error}") from error
