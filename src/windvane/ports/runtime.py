"""Executing a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.errors import WindvaneError
from windvane.core.execution import INPUTS_FILE, SERVED_FILE, InputSpec, ServedBy
from windvane.ports.artifacts import Artifact, ManifestMismatch

__all__ = [
    "CannotLoad",
    "ManifestMismatch",
    "Predictor",
    "Runtime",
    "RuntimeFailed",
    "UnencodableRow",
    "Untrusted",
    "read_inputs",
    "read_served",
    "refuse_value",
]


class UnencodableRow(WindvaneError):
    """A row holds a value that this version was not trained to take."""

    code: ClassVar[str] = "RUN-102"
    hint = "train with `unknown: null` so that unseen categories count as missing"


class Untrusted(WindvaneError):
    """The version's files can run code when they are loaded, and nobody vouched for them."""

    code: ClassVar[str] = "RUN-104"
    hint = "an admin who knows where the files come from runs `windvane trust MODEL VERSION`"


class CannotLoad(WindvaneError):
    """No runtime here can load these files."""

    code: ClassVar[str] = "RUN-105"
    hint = "`windvane explain-runtime MODEL` says what was tried and what is missing"


class RuntimeFailed(WindvaneError):
    """The process that runs a version died, answered nonsense, or was out of time or memory."""

    code: ClassVar[str] = "RUN-106"
    hint = "it is started again at the next request; its log lies in the home's logs folder"


class Predictor(Protocol):
    """One loaded version."""

    @property
    def blocking(self) -> bool:
        """True if ``predict`` waits for another process: never call it on an event loop."""
        ...

    @property
    def memory(self) -> int:
        """About how many bytes it holds."""
        ...

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        """A row in the model's schema order as the version's inputs; raises UnencodableRow."""
        ...

    def predict(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        """Outputs (rows,) of encoded rows; raises RuntimeFailed."""
        ...

    def close(self) -> None:
        """Give everything back; no call follows."""
        ...


class Runtime(Protocol):
    def load(self, artifact: Artifact, schema: Sequence[str], *, trusted: bool) -> Predictor:
        """Load a version whose files were checked.

        ``schema`` is the model's feature names in the order of its rows. ``trusted``: an admin
        vouched for these very files. Raises Untrusted, CannotLoad, ManifestMismatch.
        """
        ...


def read_served(artifact: Artifact) -> ServedBy:
    """The version's ``runtime.json``; a folder without one holds an ONNX graph.

    Raises CannotLoad, ManifestMismatch.
    """
    if SERVED_FILE not in artifact.names:
        return ServedBy()
    try:
        return msgspec.json.decode(artifact.read(SERVED_FILE), type=ServedBy)
    except msgspec.MsgspecError as error:
        raise CannotLoad(f"{SERVED_FILE}: {error}") from error


def read_inputs(artifact: Artifact, schema: Sequence[str]) -> list[InputSpec]:
    """The version's ``inputs.json``, all of it in ``schema``.

    Raises CannotLoad, ManifestMismatch.
    """
    try:
        inputs = msgspec.json.decode(artifact.read(INPUTS_FILE), type=list[InputSpec])
    except msgspec.MsgspecError as error:
        raise CannotLoad(f"{INPUTS_FILE}: {error}") from error
    for spec in inputs:
        if spec.feature not in schema:
            raise CannotLoad(f"the version takes {spec.feature!r}, which the model does not have")
    return inputs


def refuse_value(feature: str, value: Any, known: int) -> UnencodableRow:
    """The error for a category that none of the ``known`` ones of training is."""
    return UnencodableRow(f"{feature} {value!r} was not in the {known} categories of training")
