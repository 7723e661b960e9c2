"""Models that were made elsewhere: what lies in a file or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from windvane.core.execution import RuntimeName
from windvane.core.signature import Transform


@dataclass(frozen=True, slots=True)
class SourceCandidate:
    """One way in which a source may be served: by ``runtime``, from ``path`` (a file; for a
    pyfunc the folder that holds its MLmodel). ``missing`` says what keeps it from that."""

    runtime: RuntimeName
    path: Path
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Its candidates for serving, what its own metadata calls the inputs (empty if it does not
    say), the ``packages`` that it says it was made with, by version, the ``name`` that it was
    given by, for people, and the lines of the ``requirements`` that it records."""

    candidates: Sequence[SourceCandidate]
    features: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = ""
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataFile:
    """A model's file whose loader treats it as data, and what it says of itself.

    ``body``: its bytes as they will be served. ``features``: the names of its inputs (empty if
    it has none). ``vocabularies``: of those of its inputs that are categories, by their place,
    what each code stands for. ``outputs``: how many numbers a row has, 0 if it does not say;
    ``classes``: its labels in their order (empty: it does not say). ``rounds``: of boosted trees,
    those that its library uses, 0 for all. ``transform``: what makes probabilities of its outputs.
    ``tensors``: its inputs where they are not one matrix, by name with their element types and
    widths (0 for any). ``types``: of its inputs by their place, "category" or "number" where the
    file says. ``unplaced``: lists of categories, in the order of the columns that they belong to,
    where the file does not say for sure which these are; ``sizes`` then tells by place how many
    codes a column may have (0: it cannot be one). ``splits``: (place, threshold) of its trees.
    ``packages``: what made it, with versions, as far as it says. ``output_shapes``: of a row of
    each of its outputs by name, where it gives several and says so (-1: any size).
    """

    body: bytes
    features: tuple[str, ...] = ()
    vocabularies: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    outputs: int = 0
    classes: tuple[str, ...] = ()
    rounds: int = 0
    transform: Transform = Transform.NONE
    tensors: tuple[tuple[str, str, int], ...] = ()
    types: Mapping[int, str] = field(default_factory=dict[int, str])
    unplaced: tuple[tuple[str, ...], ...] = ()
    sizes: tuple[int, ...] = ()
    splits: tuple[tuple[int, float], ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    output_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


class DataReader(Protocol):
    def __call__(self, path: Path) -> DataFile:
        """Raises CannotLoad."""
        ...


Readers = Mapping[RuntimeName, DataReader]
