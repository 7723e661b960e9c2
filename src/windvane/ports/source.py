"""Models that were made elsewhere: what lies in a file or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from windvane.core.execution import RuntimeName


@dataclass(frozen=True, slots=True)
class SourceCandidate:
    """One way in which a source may be served: by ``runtime``, from ``path`` (a file; for a
    pyfunc the folder that holds its MLmodel). ``missing`` says what keeps it from that."""

    runtime: RuntimeName
    path: Path
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Its candidates for serving, and what its own metadata calls the inputs (empty if it does
    not say)."""

    candidates: Sequence[SourceCandidate]
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataFile:
    """A model's file whose loader treats it as data: its bytes as they will be served, the
    names of its inputs (empty if it has none), and the categories that it holds for some of
    them, in the order of the inputs that are categories."""

    body: bytes
    features: tuple[str, ...] = ()
    vocabularies: Sequence[tuple[str, ...]] = field(default_factory=tuple)


class DataReader(Protocol):
    def __call__(self, path: Path) -> DataFile:
        """Raises CannotLoad."""
        ...


Readers = Mapping[RuntimeName, DataReader]
