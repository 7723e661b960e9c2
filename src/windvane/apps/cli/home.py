"""Which folder is the installation's home, and whether one is there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.usecases.read_settings import FILE, HOME_VARIABLE, Settings

DEFAULT = ".windvane"


class NoHome(WindvaneError):
    """A command needs an installation, and the folder it looked in has none."""

    code: ClassVar[str] = "HOM-101"
    hint = (
        "stand in a folder below a home, give --home FOLDER, or set WINDVANE_HOME; `windvane up` "
        "begins a home where there is none, and nothing else does"
    )


def find_home(environ: Mapping[str, str], below: Path, uid: int) -> Path | None:
    """The home of ``below``: `.windvane` there, or in the nearest folder above that has one. None
    where the environment names another, or none is there.

    Only a folder that belongs to the user ``uid`` counts: in a shared folder above, such as /tmp,
    anybody could put one whose settings this user would follow.
    """
    if environ.get(HOME_VARIABLE):
        return None
    for folder in (below, *below.parents):
        home = folder / DEFAULT
        try:
            if is_home(home) and home.stat().st_uid == uid:
                return home
        except OSError:
            continue
    return None


def close_home(folder: Path) -> None:
    """Make the folder, and shut others out of one that was made before. A folder that belongs to
    somebody else stays as its owner has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)


def is_home(folder: Path) -> bool:
    """Whether an installation has begun there, or somebody has written its settings."""
    return any((folder / name).is_file() for name in ("control.db", "routing.json", FILE))


def check_home(settings: Settings) -> None:
    """Raises NoHome, which names the folder."""
    if not is_home(settings.folder):
        raise NoHome(f"there is no installation in {settings.folder}")
