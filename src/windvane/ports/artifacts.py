"""A version's files, each of them the one that was registered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError


class ManifestMismatch(WindvaneError):
    """A version's files are not the ones that were registered."""

    code: ClassVar[str] = "RUN-101"
    hint = "restore the files from the registry; a changed file is never loaded"


class Artifact(Protocol):
    """One version's files. What is read was hashed after it was read, so that no swap between
    a check and a load can slip a file in."""

    @property
    def manifest(self) -> str:
        """SHA-256 of the manifest, in hex: the version's identity."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Relative names of all files, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """One file's bytes; raises ManifestMismatch unless they are the registered ones."""
        ...

    def copy_to(self, folder: Path) -> None:
        """Every file, checked, below an empty ``folder``, for loaders that want paths."""
        ...


class Artifacts(Protocol):
    def open(self, artifact: str, manifest: str) -> Artifact:
        """Check that the files are exactly those of the manifest with this hash; raises
        ManifestMismatch, also for a file that is missing or that no one registered."""
        ...

    def remove(self, artifact: str, manifest: str) -> None:
        """Delete the files of the manifest with this hash; nothing where they are gone. Raises
        ManifestMismatch for a folder that is another's by now."""
        ...

    def seal(self, folder: Path) -> str:
        """Write the manifest over all files of ``folder``; its hash."""
        ...
