"""One version of each table of the log, as files: data first written, then named, so a version
that can be read is whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from deltalake import DeltaTable

from windvane.adapters.delta.table_folder import data_path
from windvane.ports.backups import LogFile, PinnedTable

_LOG = "_delta_log"
_ENTRY = re.compile(r"(\d{20})\.(?:json|crc|checkpoint(?:\.[\w.-]+)?\.(?:parquet|json))")
_DEEPEST = 4


class DeltaLogCopies:
    """The port for copies of the log: every table below one folder."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def pin(self) -> list[PinnedTable]:
        return [self._pinned(folder) for folder in sorted(_tables(self._root))]

    def _pinned(self, folder: Path) -> PinnedTable:
        table = DeltaTable(str(folder))
        version = table.version()
        files = [_data_path(folder, uri) for uri in table.file_uris()]
        for path in sorted((folder / _LOG).iterdir()):
            match = _ENTRY.fullmatch(path.name)
            entry = int(match[1]) if match else _checkpoint_of(path)
            if entry <= version:
                files.append(path)
        name = folder.relative_to(self._root).as_posix()
        return PinnedTable(
            name,
            version,
            [
                LogFile(path.relative_to(self._root).as_posix(), path, path.stat().st_size)
                for path in files
            ],
        )


def _tables(root: Path, depth: int = 0) -> Iterator[Path]:
    """Folders that are tables; none lies inside of another."""
    if not root.is_dir():
        return
    if (root / _LOG).is_dir():
        if any((root / _LOG).glob("*.json")) or any((root / _LOG).glob("*.parquet")):
            yield root
        return
    if depth < _DEEPEST:
        for entry in os.scandir(root):
            if entry.is_dir():
                yield from _tables(Path(entry.path), depth + 1)


def _data_path(folder: Path, uri: str) -> Path:
    """The file that an URI of a table in ``folder`` means."""
    found = data_path(uri)
    return folder / found.relative_to(folder) if found.is_relative_to(folder) else found


def _checkpoint_of(path: Path) -> int:
    """The version that the hint of the last checkpoint names; a large number of any other file."""
    if path.name != "_last_checkpoint":
        return 1 << 62
    try:
        return int(json.loads(path.read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1 << 62  # a hint that cannot be read is better left out
