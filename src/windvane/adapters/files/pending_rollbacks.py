"""Pending rollbacks as one small file a version, in a folder of the home."""

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
_SUFFIX, _BAD = ".json", ".bad"
_LATEST = 4_102_444_800.0  # the year 2100


class FilePendingRollbacks:
    """The port, on the home's disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, rollback: PendingRollback) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{quote(rollback.model, safe='')}@{quote(rollback.version, safe='')}"
        fresh = self._folder / f"{name}.new"
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(rollback))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(fresh.with_suffix(_SUFFIX))
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def waiting(self) -> Sequence[PendingRollback]:
        found = [one for _, one in self._read()]
        return sorted(found, key=lambda one: (one.at, one.model, one.version))

    def set_aside(self) -> Sequence[str]:
        return sorted(path.name for path in self._folder.glob(f"*{_BAD}"))

    def drop(self, rollback: PendingRollback) -> None:
        for path, held in self._read():
            if held == rollback:
                path.unlink(missing_ok=True)

    def _read(self) -> list[tuple[Path, PendingRollback]]:
        found: list[tuple[Path, PendingRollback]] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                held = msgspec.json.decode(path.read_bytes(), type=PendingRollback)
                if not 0.0 <= held.at <= _LATEST:
                    raise ValueError(f"at is {held.at:g}, no time")
            except OSError as error:
                _log.warning("the pending rollback %s cannot be read now: %s", path.name, error)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                _log.error("the pending rollback %s is set aside: %s", path.name, error)
                with contextlib.suppress(OSError):
                    path.rename(path.with_suffix(_BAD))
            else:
                found.append((path, held))
        return found
