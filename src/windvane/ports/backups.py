"""What a backup of an installation is made of, and what it is read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

import msgspec

from windvane.core.errors import WindvaneError
from windvane.ports.control_store import Tx

FORMAT = 1
"""Of the archive. A release reads its own format and those before it."""

OnBytes = Callable[[int], None]
"""Hears of each further so many bytes."""


class BackupFailed(WindvaneError):
    """The backup could not be written; nothing of it is left."""

    code: ClassVar[str] = "BKP-101"
    hint = "free space or name another folder, and call `windvane backup` again"


class BackupDamaged(WindvaneError):
    """The file is no whole backup: cut off, changed, or something else."""

    code: ClassVar[str] = "BKP-102"
    hint = "nothing was restored; take another backup"


class BackupTooNew(WindvaneError):
    """A later release made the backup, with a schema or format that this one does not know."""

    code: ClassVar[str] = "BKP-103"
    hint = "install that release or a later one, then restore"


class HomeNotEmpty(WindvaneError):
    """A restore goes into a folder of its own, and this one holds something."""

    code: ClassVar[str] = "BKP-104"
    hint = "`--home` names a folder that is empty, or not there yet"


class RestoreUnfinished(WindvaneError):
    """A restore into this folder was cut off, so what lies there is no installation."""

    code: ClassVar[str] = "BKP-105"
    hint = "delete the folder and restore again"


class NoPlaceForStore(WindvaneError):
    """The backup's control state lay in PostgreSQL, and nobody said where it goes now; or the
    place that was named holds something."""

    code: ClassVar[str] = "BKP-106"
    hint = "`--store sqlite` for a file in the new home, or `--store postgresql://…`, empty"


class RestoreFailed(WindvaneError):
    """The new home could not be written; nothing of it is left."""

    code: ClassVar[str] = "BKP-107"
    hint = "free space or name another folder, and restore again"


class BackupFile(msgspec.Struct, frozen=True):
    """A file of the backup, by its path in the home."""

    path: str
    size: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds and where it was made.

    ``schema`` is the control store's revision, ``store`` what it lay in (sqlite or postgresql);
    ``home`` the folder that paths in settings and registry lie in; ``artifacts`` the folders of
    versions as the store named them, by what they are called here. ``log`` has the version of
    each of the event log's tables, None where the log lies outside (``log_elsewhere`` then says
    where). ``problems`` are what was found wrong or left out, a sentence each.
    """

    format: int
    release: str
    schema: str
    store: str
    made_at: float
    home: str
    artifacts: dict[str, str]
    log: dict[str, int] | None
    log_elsewhere: str
    registry_inside: bool
    problems: list[str]
    files: list[BackupFile]


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of the log's, by its name below the log's root."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """One version of a table of the log: the files that it is made of."""

    name: str
    version: int
    files: Sequence[LogFile]


@dataclass(frozen=True, slots=True)
class SpoolPiece:
    """The first ``size`` bytes of a segment, which stays open however soon it is released."""

    name: str
    size: int
    file: BinaryIO


class HeldDatabase(Protocol):
    """One state of a database, which stays as it is while others write."""

    def copy_to(self, path: Path, on_bytes: OnBytes) -> None:
        """Write it to a new SQLite file. Raises BackupFailed."""
        ...


class HeldControl(HeldDatabase, Protocol):
    @property
    def tx(self) -> Tx:
        """The same state, to read from."""
        ...


class ControlCopies(Protocol):
    """The control store, as a backup takes it and puts it back."""

    @property
    def kind(self) -> str:
        """sqlite or postgresql."""
        ...

    def hold(self) -> AbstractContextManager[HeldControl]: ...

    def revision(self) -> str:
        """Of the schema of this release."""
        ...

    def knows(self, revision: str) -> bool:
        """Whether this release can bring a store from there to its own schema."""
        ...

    def fill_from(self, path: Path) -> None:
        """Bring an empty, migrated store to what the migrated SQLite file holds. Raises
        NoPlaceForStore where it is not empty."""
        ...


class DatabaseCopies(Protocol):
    """SQLite files that others have open."""

    def is_database(self, path: Path) -> bool: ...
    def hold(self, path: Path) -> AbstractContextManager[HeldDatabase]: ...


class LogCopies(Protocol):
    """The event log in a folder."""

    def pin(self) -> Sequence[PinnedTable]:
        """The newest version of each table."""
        ...


class HeldSpools(Protocol):
    def look_again(self) -> None:
        """Hold what came since."""
        ...

    def cut(self, positions: Mapping[str, int]) -> tuple[Sequence[SpoolPiece], Sequence[str]]:
        """What is there now behind each spool's position, in whole events; and what is missing
        there, a sentence each."""
        ...


class SpoolCopies(Protocol):
    """The spools of this machine, while gateways append and the recorder releases."""

    def hold(self) -> AbstractContextManager[HeldSpools]: ...


class RegistryMove(Protocol):
    def __call__(self, database: Path, old: str, new: str) -> None:
        """Let the registry's records name their files below the folder ``new``."""
        ...


class BackupWriter(Protocol):
    """A backup while it is written."""

    @property
    def staging(self) -> Path:
        """A folder for copies on their way; it goes with the writer."""
        ...

    def add(self, path: str, file: BinaryIO, size: int, on_bytes: OnBytes) -> BackupFile:
        """The next ``size`` bytes of ``file``. Raises BackupFailed, also where there are fewer."""
        ...

    def finish(self, manifest: BackupManifest) -> None:
        """Force all to the disk, and let the backup appear under its name."""
        ...


class BackupReader(Protocol):
    """A backup that is there."""

    @property
    def size(self) -> int:
        """Of the archive, in bytes."""
        ...

    def verify(self, on_bytes: OnBytes) -> BackupManifest:
        """Read every file and compare its hash. Raises BackupDamaged, BackupTooNew."""
        ...

    def extract(self, manifest: BackupManifest, folder: Path, on_bytes: OnBytes) -> None:
        """Write every file below ``folder``, checked again. Raises BackupDamaged, RestoreFailed."""
        ...


class Archives(Protocol):
    """Backups as files."""

    def create(self, file: Path, needed_bytes: int) -> AbstractContextManager[BackupWriter]:
        """A backup that appears under its name when it is finished, and else leaves nothing.
        Raises BackupFailed: the file is there already, or there is no room for so much."""
        ...

    def open(self, file: Path) -> BackupReader:
        """Raises BackupDamaged."""
        ...
