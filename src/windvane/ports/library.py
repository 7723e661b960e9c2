"""A model's own Python library, asked in a process of its own what the model answers.

What Windvane serves is compared with it before a version is registered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.execution import ServedBy
from windvane.ports.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What a model says of itself: its inputs' names in order and its labels in the order of its
    probabilities (empty if it does not say), what it is, which of its inputs are categories (by
    name, with their values as texts; no values if it does not say), and the versions of the
    packages that answer for it."""

    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    kind: str = ""
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    packages: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, eq=False)
class RawRows:
    """Equally long columns of typed values as people have them, None where one is missing:
    ``kinds`` are the types of features ("number" for a category that is given as its code)."""

    names: Sequence[str]
    kinds: Sequence[str]
    columns: Sequence[Sequence[Any]]

    @property
    def rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """An ONNX graph and rows around the model's splits (probes, inputs); ``missing`` says why
    there is no graph."""

    graph: bytes = b""
    probes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    missing: str = ""


class LibraryModel(Protocol):
    """An original, loaded by its own library, until it is closed."""

    @property
    def about(self) -> ModelDescription: ...

    def answer(self, rows: RawRows) -> Mapping[str, NDArray[np.float64]]:
        """Its outputs by its own names ("" for its only one), each (rows, ...), of a pandas frame
        of these columns. Raises RuntimeFailed with what the library said."""
        ...

    def convert(self, rows: NDArray[np.float64]) -> Converted:
        """The model as an ONNX graph; probes are made from ``rows`` (rows, inputs)."""
        ...

    def close(self) -> None: ...


class ModelLibrary(Protocol):
    """Its libraries run the model's code, in a process of its own: that needs trust as loading
    does."""

    def runs_code(self, artifact: Artifact, served: ServedBy) -> bool:
        """Whether loading these very files can run code of theirs; nothing is loaded for it.
        Raises CannotLoad."""
        ...

    def open(self, artifact: Artifact, served: ServedBy, *, trusted: bool) -> LibraryModel:
        """``served.settings`` tell what a person said of the model: ``missing``. Raises
        Untrusted, CannotLoad."""
        ...
