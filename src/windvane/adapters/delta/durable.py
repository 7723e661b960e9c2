"""Forcing commits of a local table to the disk, so that a power cut leaves them whole."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import msgspec

_DIGITS = 20


class _Add(msgspec.Struct):
    path: str


class _Action(msgspec.Struct):
    """One line of a commit, as far as it names a file that is new."""

    add: _Add | None = None


_ACTION = msgspec.json.Decoder(_Action)


def force_commits(table: Path, since: int) -> int:
    """Force the table's commits from version ``since`` on, the files that they add, the folders
    that name these and what the table's log keeps beside them; the version of the next one.
    Raises OSError."""
    log = table / "_delta_log"
    files: set[Path] = set()
    next_version = since
    for path in log.iterdir():
        version = path.name[:_DIGITS]
        if not version.isdecimal() or len(version) < _DIGITS:
            if path.name == "_last_checkpoint":
                files.add(path)
            continue
        if int(version) < since:
            continue
        files.add(path)
        if path.name == f"{version}.json":
            next_version = max(next_version, int(version) + 1)
            actions = map(_ACTION.decode, path.read_bytes().splitlines())
            files |= {table / unquote(one.add.path) for one in actions if one.add is not None}
    folders: set[Path] = set()
    for path in files:
        if _force(path):
            folders |= {one for one in path.parents if one == table or table in one.parents}
    for folder in {*folders, table, table.parent, table.parent.parent}:
        _force(folder)
    return next_version


def _force(path: Path) -> bool:
    """Whether it is still there: who compacts the table may have removed it meanwhile."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
    return True
