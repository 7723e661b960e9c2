"""Which files of a home a backup takes as they are, and which go without."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from windvane.usecases.read_settings import FILE, Settings

MOST_OTHER_BYTES = 64 << 20
"""Of a file that is nobody's: not a version's, nor a package of its own."""
BACKUP_NAME = "windvane-"
_MADE_ANEW = frozenset({"logs", "metrics", "spool", "log", "pids", "pids.new", "restarts"})
_SUFFIXES = (".lock", ".migrating", ".new", "-wal", "-shm", "-journal", ".tmp")
_HIDDEN = (".windvane-backup-", ".creating", ".building-", ".restoring")


@dataclass(frozen=True, slots=True)
class HomeFile:
    """A file, by its path in the home."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class HomeFiles:
    """``databases`` must be copied by their library. ``left_out`` says what is not taken, a
    sentence each."""

    plain: list[HomeFile]
    databases: list[HomeFile]
    left_out: list[str]


def list_home_files(
    settings: Settings, is_database: Callable[[Path], bool], control_file: Path | None
) -> HomeFiles:
    """All but what is made anew, the spool, the log, and the control store's file: this process
    has that open already, and a second look at its bytes would give up SQLite's locks on it."""
    found = HomeFiles([], [], [])
    home = settings.folder
    log_root = Path(settings.log_root)
    for path in _walk(home, home, found.left_out, log_root):
        if path == control_file:
            continue
        name = path.relative_to(home).as_posix()
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue
        kept_whole = name.startswith(("artifacts/", "environments/"))
        if not kept_whole and is_database(path):
            found.databases.append(HomeFile(name, path, size))
        elif kept_whole or size <= MOST_OTHER_BYTES:
            found.plain.append(HomeFile(name, path, size))
        else:
            sides = f"{size / 1e6:,.0f} MB, of {MOST_OTHER_BYTES / 1e6:,.0f} allowed"
            found.left_out.append(f"{name} is left out: {sides}")
    return found


def folder_files(folder: Path, name: str) -> list[HomeFile]:
    """Every regular file below ``folder``, called as if that were ``name``."""
    return [
        HomeFile(f"{name}/{path.relative_to(folder).as_posix()}", path, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]


def _walk(home: Path, folder: Path, left_out: list[str], log_root: Path) -> Iterator[Path]:
    at_top = folder == home
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if _made_anew(entry.name, at_top) or path == log_root:
            continue
        if entry.is_symlink() and not (at_top and entry.is_dir()):
            left_out.append(f"{path.relative_to(home)} is left out: it is a link")
        elif entry.is_dir():
            if (path / "control.db").is_file() or (path / FILE).is_file():
                left_out.append(f"{path.relative_to(home)} is left out: it is a home of its own")
            else:
                yield from _walk(home, path, left_out, log_root)
        elif entry.is_file(follow_symlinks=False):
            yield path


def _made_anew(name: str, at_top: bool) -> bool:
    if name.startswith(_HIDDEN):
        return True
    is_backup = name.startswith(BACKUP_NAME) and name.endswith(".tar")
    return at_top and (name in _MADE_ANEW or name.endswith(_SUFFIXES) or is_backup)
