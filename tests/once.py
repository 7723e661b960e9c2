"""What is made once for all workers of a test run."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Once:
    """Folders below ``root``, which the workers of a run have in common."""

    root: Path

    def folder(self, name: str, make: Callable[[Path], object]) -> Path:
        """A folder that ``make`` fills where no worker did so before; to read and to copy from."""
        self.root.mkdir(parents=True, exist_ok=True)
        made, done = self.root / name, self.root / f"{name}.done"
        with (self.root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir()
                make(made)
                done.touch()
        return made
