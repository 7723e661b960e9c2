"""Pending rollbacks as one small file a model, in a folder that is there only while one waits."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from windvane.ports.pending_rollbacks import PendingRollback

_log = logging.getLogger(__name__)
_SUFFIX = ".json"


class FilePendingRollbacks:
    """The port, on the home's disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, rollback: PendingRollback) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(rollback)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(rollback))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def waiting(self) -> Sequence[PendingRollback]:
        found: list[PendingRollback] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=PendingRollback))
            except (OSError, msgspec.MsgspecError) as error:
                _log.error("the pending rollback %s cannot be read: %s", path.name, error)
        return found

    def drop(self, rollback: PendingRollback) -> None:
        path = self._path(rollback)
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            if msgspec.json.decode(path.read_bytes(), type=PendingRollback) == rollback:
                path.unlink()

    def _path(self, rollback: PendingRollback) -> Path:
        return self._folder / f"{quote(rollback.model, safe='')}{_SUFFIX}"
