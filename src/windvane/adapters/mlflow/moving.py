"""MLflow's records name the folders of files; here they get the names of another place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_NAMES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def move_registry(database: Path, old: str, new: str) -> None:
    """What lies below the folder ``old`` is named below ``new``, as a path or a file's URI."""
    pairs = [(old, new), (Path(old).as_uri(), Path(new).as_uri())]
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, columns in _NAMES.items():
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in sorted(there & set(columns)):
                for was, now in pairs:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        [now, len(was) + 1, was, len(was) + 1, was + "/"],
                    )
