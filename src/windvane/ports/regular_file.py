"""Files that people name in settings and options: read whole, bounded, and without waiting."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular_file(path: Path, most: int) -> bytes:
    """What the file holds, at most ``most`` bytes.

    Raises OSError, with its ``strerror``: also for what is no regular file. To open a pipe waits
    until somebody writes, to read a device may never end, and no deadline ends either.
    ValueError for a path that no file can have.
    """
    with open(path, "rb", opener=_open_regular) as file:
        body = file.read(most + 1)
    if len(body) > most:
        raise OSError(errno.EFBIG, f"more than {most:,} bytes", str(path))
    return body


def _open_regular(path: str, flags: int) -> int:
    held = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    mode = os.fstat(held).st_mode
    if not stat.S_ISREG(mode):
        os.close(held)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "no regular file", path)
    return held
