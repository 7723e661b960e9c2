"""Where trained versions are kept with their lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered version: its number, the folder of its files and their manifest's hash."""

    version: str
    artifact: str
    manifest: str
    run_id: str


class Registry(Protocol):
    def register(
        self,
        model: str,
        files: Path,
        *,
        signature: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        seal: Callable[[Path], str],
    ) -> Registered:
        """Log a run with its lineage and register ``files`` (a folder) as the next version.

        The registry may add files of its own; then ``seal`` writes the manifest over all of
        them and gives its hash.
        """
        ...


class AliasMirror(Protocol):
    """A courtesy to readers of another registry's pages; never the truth."""

    def mirror_alias(self, model: str, alias: str, version: str) -> None: ...
