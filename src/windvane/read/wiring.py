"""The adapters of a home on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from windvane.ports.frames import BadFrame, Frame
from windvane.read.sources import HomeSource, ReadFailed
from windvane.usecases.read_history import History
from windvane.usecases.read_settings import FILE, find_settings


def open_home(home: Path) -> HomeSource:
    """Raises ReadFailed where no installation is, or what reading one needs is not installed."""
    try:
        from windvane.adapters.delta import DeltaEventLog
        from windvane.adapters.sql import SqlControlStore
    except ImportError as error:
        message = f"to read a home {error.name} is needed, which is not installed"
        raise ReadFailed(message, hint="pip install 'windvane[control]' pandas") from error
    if not any((home / name).is_file() for name in ("control.db", "routing.json", FILE)):
        raise ReadFailed(
            f"there is no installation in {home}", hint="name its home, or a console's address"
        )
    settings = find_settings(os.environ, home)

    @contextmanager
    def opened() -> Iterator[History]:
        store = SqlControlStore(settings.store_url)
        try:
            yield History(store, DeltaEventLog(settings.log_root, settings.log_storage))
        finally:
            store.close()

    return HomeSource(opened, str(settings.folder))


def open_frame(path: Path) -> Frame:
    """A file, a folder or a Delta table. Raises BadFrame."""
    try:
        from windvane.adapters import arrow
        from windvane.adapters.delta.data_set import delta_data_set
    except ImportError as error:
        raise _missing(error) from error
    return arrow.open_frame(path, delta_data_set)


def frame_of(table: Any, place: str) -> Frame:
    """What a notebook has in memory. Raises BadFrame."""
    try:
        from windvane.adapters import arrow
    except ImportError as error:
        raise _missing(error) from error
    return arrow.frame_of(table, place)


def _missing(error: ImportError) -> BadFrame:
    return BadFrame(
        f"to read a table {error.name} is needed, which is not installed",
        hint="pip install 'windvane[control]'",
    )
