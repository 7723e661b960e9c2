"""What to do about files of the log that are damaged or missing, though a table lists them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from windvane.adapters.delta.table_folder import Pruning, TableFolder, files_of
from windvane.ports.event_log import LogUnavailable

_log = logging.getLogger(__name__)
_MOST_LOCAL = 2_000
_MOST_REMOTE = 50  # each is a request
_MOST_LOGGED = 20
T = TypeVar("T")


def passing_over_damaged(
    tables: TableFolder,
    asked: Mapping[str, Pruning],
    ask: Callable[[Mapping[str, Collection[str]]], T],
) -> T:
    """What ``ask`` gives, without the files that cannot be read (paths below each table); these
    go to the log. ``asked``: the tables and their rows that it reads. Raises LogUnavailable where
    no single file is the reason."""
    try:
        return ask({})
    except LogUnavailable:
        bad = {name: tables.unreadable(name, pruning) for name, pruning in asked.items()}
        told = [f"{name}/{path}" for name, paths in bad.items() for path in paths]
        if not told:
            raise
    for path in told[:_MOST_LOGGED]:
        _log.error("%s of the log is damaged or missing, and is passed over", path)
    if len(told) > _MOST_LOGGED:
        _log.error("%d files of the log are damaged or missing", len(told))
    return ask(bad)


def count_damaged(tables: TableFolder) -> int:
    """How many of the newest files are missing, or have not the size that the table lists: a
    bounded number of them is looked at, and none is opened."""
    listed: list[tuple[str, str, int]] = []
    for name, table in tables.open_all():
        actions = files_of(table)
        columns = ("partition.day", "path", "size_bytes")
        for day, path, size in zip(*(actions[c].to_pylist() for c in columns), strict=True):
            listed.append((day, f"{name}/{path}", size))
    listed.sort(reverse=True)
    listed = listed[: _MOST_REMOTE if tables.remote else _MOST_LOCAL]
    sizes = tables.sizes_of([path for _, path, _ in listed])
    return sum(found != size for found, (_, _, size) in zip(sizes, listed, strict=True))
