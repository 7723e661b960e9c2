"""Environments of versions that have packages of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError
from windvane.core.execution import Environment

REBUILD = "windvane environments --rebuild"


class EnvironmentNotBuilt(WindvaneError):
    """The packages could not be installed: pip refused, or it took too much time or room."""

    code: ClassVar[str] = "RUN-112"
    hint = "mend the requirements, or give a folder that has all wheels: --wheels FOLDER"


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """One that lies here: its bytes, and what is wrong with it ("" for nothing)."""

    id: str
    size: int
    damage: str = ""


class Environments(Protocol):
    """Those that were built on this machine, to be read."""

    def open(self, environment: Environment) -> Path:
        """The folder of its packages, each file of which is as it was installed.

        Raises CannotLoad with the command that builds it again.
        """
        ...


class EnvironmentStore(Environments, Protocol):
    """Builds, lists and removes them. An environment is shared by all that ask for the same."""

    def build(
        self, requirements: Sequence[str], wheels: Path | None, on_step: Callable[[str], None]
    ) -> AbstractContextManager[Environment]:
        """The environment of normalised requirements, built unless it is there; nobody removes it
        while the context is open. ``wheels``: the folder whose wheels alone are installed, with
        no network. Nothing of a package is run. Raises EnvironmentNotBuilt."""
        ...

    def rebuild(
        self, environment: Environment, wheels: Path | None, on_step: Callable[[str], None]
    ) -> None:
        """Put the very packages in place again that were recorded. Raises EnvironmentNotBuilt."""
        ...

    def states(self) -> Sequence[EnvironmentState]:
        """What lies here, by id."""
        ...

    def unfinished(self) -> Sequence[str]:
        """The ids of those whose builds were cut off, or are under way."""
        ...

    def remove(self, environment: str) -> int:
        """The bytes that it held, with what its builds left; 0, and it stays, if somebody builds
        it or registers a version with it now."""
        ...
