"""Room on disks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path


def free_bytes(folders: Sequence[Path]) -> int:
    """What may be written to the fullest of the disks that these folders lie on, or will once they
    are made."""
    return min(shutil.disk_usage(_existing(folder)).free for folder in folders)


def _existing(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())
