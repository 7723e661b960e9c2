"""What is said to a process that runs one version apart, and what it answers.

Each message is a MessagePack body on a `message_line`. The answers
come from a process that runs foreign code: they are read as data of these very types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.execution import ServedBy

# What a sandbox may be kept from; docs/explain/runtimes.md says what each one means.
Protection = Literal["files", "network", "signals", "syscalls", "processes", "user", "disk"]
# Those of a normal kernel: a missing one is worth a warning.
EXPECTED: tuple[Protection, ...] = ("files", "network", "signals", "syscalls", "processes")


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Load the version whose files lie below the folder ``files`` of the working folder.
    ``names`` are its inputs in order, empty if they are not known yet, and ``kinds`` their types
    (a `FeatureType`; "number" for a category that is given as its code). Not ``trusted``: nothing
    but types that are known to be data may be made of them. ``library``: by the model's own
    Python library, whatever serves it."""

    served: ServedBy
    names: list[str]
    trusted: bool
    kinds: list[str] = []
    library: bool = False


class Predict(msgspec.Struct, frozen=True, tag="predict"):
    """Outputs of ``rows`` rows: as ``matrix`` of float64, or as ``columns`` where they are not
    all numbers: float64 in bytes, NaN where one is missing, or a list of other values."""

    rows: int
    matrix: bytes = b""
    columns: list[bytes | list[Any]] = []


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """What the model's own library answers to a pandas frame of ``columns`` by ``names``, of the
    types ``kinds``; values and bytes as in ``Predict``."""

    names: list[str]
    kinds: list[str]
    columns: list[bytes | list[Any]]


class Tensor(msgspec.Struct, frozen=True):
    """An output by the model's own name ("" for its only one): float64 in ``data``."""

    name: str
    shape: tuple[int, ...]
    data: bytes


class Convert(msgspec.Struct, frozen=True, tag="convert"):
    """Write the model as an ONNX graph, and rows around its splits made from ``rows`` real
    ones in ``matrix``, at most ``probes`` of them."""

    rows: int
    matrix: bytes
    probes: int


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What was asked for; the other fields stay empty.

    ``outputs``: what a prediction gave. ``features``: what the model itself calls its inputs.
    ``classes``: its labels in the order of its probabilities (empty: it does not say).
    ``protections``: which of ``Protection`` hold here. ``packages``: versions of the libraries
    that were loaded. ``categories``: of inputs that are categories, their values as texts.
    """

    outputs: list[Tensor] = []
    features: list[str] = []
    classes: list[str] = []
    graph: bytes = b""
    probes: bytes = b""
    protections: list[str] = []
    kind: str = ""
    packages: dict[str, str] = {}
    categories: dict[str, list[str]] = {}


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """What went wrong: a sentence, and whether the files are to blame rather than the call."""

    message: str
    at_load: bool = False


Order = Load | Predict | Ask | Convert
Reply = Answer | Failed


class ModelPlugin(Protocol):
    """A model whose files may run code. It lives in a process of its own only."""

    @property
    def features(self) -> Sequence[str]:
        """What the model itself calls its inputs, in order; empty if it does not say."""
        ...

    @property
    def classes(self) -> Sequence[str]:
        """Its labels in the order of its probabilities; empty if it does not say."""
        ...

    @property
    def kind(self) -> str:
        """What it is, for people: a class name."""
        ...

    def predict(self, rows: Any) -> Any:
        """Outputs of a float64 matrix, or of a pandas frame of named columns: an array, or
        arrays by name. Raises ValueError for texts: labels are no outputs."""
        ...

    @property
    def categories(self) -> Mapping[str, Sequence[str]]:
        """Of those of its inputs that are categories, by name, their values as texts; none where
        it does not say."""
        ...

    @property
    def packages(self) -> Sequence[str]:
        """The distributions that answer for it."""
        ...

    def answer(self, frame: Any) -> Any:
        """Outputs of a pandas frame of raw typed columns, as the library gives them to whoever
        trained it; otherwise as ``predict``."""
        ...

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        """The model as an ONNX graph with one output, and rows around its splits; raises
        ValueError with the reason where it cannot be done."""
        ...
