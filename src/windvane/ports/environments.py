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
    """Builds, lists and removes them. An environment is shared by all requests that come to the
    same packages."""

    def build(
        self, requirements: Sequence[str], wheels: Path | None, on_step: Callable[[str], None]
    ) -> AbstractContextManager[Environment]:
        """The environment of normalised requirements, built unless it is there; nobody removes it
        while the context is open. ``wheels``: the folder whose wheels alone are installed, with
        no network. Nothing of a package is run. Requirements are resolved anew only where what
        they came to before is gone or damaged. Raises EnvironmentNotBuilt."""
        ...

    def rebuild(
        self, environment: Environment, wheels: Path | None, on_step: Callable[[str], None]
    ) -> None:
        """Put the very packages in place again that were recorded, and touch no other
        environment. Raises EnvironmentNotBuilt."""
        ...

    def states(self) -> Sequence[EnvironmentState]:
        """What lies here, by id."""
        ...

    def remove(self, environment: str) -> int:
        """The bytes that it held; 0, and it stays, if somebody builds it or registers a version
        with it now."""
        ...

    def remove_leftovers(self) -> int:
        """Remove what builds left that were cut off, whatever they were for; its bytes. Those
        under way stay."""
        ...
