"""Looking into a model that may be a program, and writing it as a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from windvane.core.execution import ServedBy
from windvane.ports.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class Described:
    """What a model says of itself: its inputs' names in order and its labels in the order of its
    probabilities (empty if it does not say), and what it is."""

    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """An ONNX graph and rows around the model's splits (probes, inputs); ``missing`` says why
    there is no graph."""

    graph: bytes = b""
    probes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    missing: str = ""


class Converter(Protocol):
    """To describe and to convert run the model's code, in a process of its own: both need
    trust as loading does."""

    def runs_code(self, artifact: Artifact, served: ServedBy) -> bool:
        """Whether loading these very files can run code of theirs; nothing is loaded for it.
        Raises CannotLoad."""
        ...

    def describe(self, artifact: Artifact, served: ServedBy, *, trusted: bool) -> Described:
        """Raises Untrusted, CannotLoad."""
        ...

    def convert(
        self, artifact: Artifact, served: ServedBy, rows: NDArray[np.float64], *, trusted: bool
    ) -> Converted:
        """``rows``: real ones (rows, inputs) to make probes from. Raises Untrusted."""
        ...
