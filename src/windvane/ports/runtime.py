"""Executing a version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.execution import (
    BACKGROUND_FILE,
    ENVIRONMENT_FILE,
    INPUTS_FILE,
    SERVED_FILE,
    Background,
    Environment,
    ServedBy,
)
from windvane.core.explanation import Explanation
from windvane.core.signature import InputSpec
from windvane.core.task import Contract, ExplainedNumber, Outputs
from windvane.ports.artifacts import Artifact, ManifestMismatch

__all__ = [
    "CannotExplain",
    "CannotLoad",
    "Explainer",
    "ManifestMismatch",
    "Predictor",
    "RemotePredictor",
    "RowsRefused",
    "Runtime",
    "RuntimeFailed",
    "UnencodableRow",
    "Untrusted",
    "read_background",
    "read_environment",
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
    alive: bool = False
    """Whether the process goes on, so that the rows that it was given are at fault."""


class RowsRefused(RuntimeFailed):
    """The server that runs a version is well, and does not take these rows."""

    code: ClassVar[str] = "RUN-109"
    alive: bool = True
    hint = "its words say what is wrong with them"


class CannotExplain(WindvaneError):
    """Nothing can be said of what the features contributed to an answer."""

    code: ClassVar[str] = "EXP-101"
    hint = "the prediction itself stands; docs/howto/explain-predictions.md has what is needed"


class Predictor(Protocol):
    """One loaded version, on one thread at a time."""

    @property
    def blocking(self) -> bool:
        """True if ``predict`` waits for another process: never call it on an event loop."""
        ...

    @property
    def memory(self) -> int:
        """About how many bytes it holds."""
        ...

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        """A row in the contract's order as the version's inputs; raises UnencodableRow."""
        ...

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        """The task's outputs in its order, each (rows, *shape) float64, of encoded rows.

        They are not checked yet. Raises RuntimeFailed, ValueError for another shape.
        """
        ...

    def close(self) -> None:
        """Give everything back; no call follows."""
        ...


@runtime_checkable
class RemotePredictor(Protocol):
    """A version that another server executes: awaited, with many executions at one time."""

    @property
    def blocking(self) -> bool: ...

    @property
    def memory(self) -> int: ...

    @property
    def concurrency(self) -> int:
        """How many executions may be under way at one time."""
        ...

    def encode(self, values: Sequence[Any]) -> Sequence[Any]: ...

    async def predict_async(self, rows: Sequence[Sequence[Any]], within_s: float) -> Outputs:
        """As `Predictor.predict`; raises TimeoutError after ``within_s``, RuntimeFailed, and
        RowsRefused where one of several rows may be at fault."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Explainer(Protocol):
    """A predictor whose library says itself what each input contributed to an answer."""

    def explain(
        self, rows: Sequence[Sequence[Any]], answers: Sequence[tuple[ExplainedNumber, float]]
    ) -> list[Explanation]:
        """One for each of ``rows`` (encoded), whose answer had that number. On any thread, beside
        executions. Raises CannotExplain, RuntimeFailed."""
        ...


class Runtime(Protocol):
    def load(
        self, artifact: Artifact, contract: Contract, *, trusted: bool
    ) -> Predictor | RemotePredictor:
        """Load a version whose files were checked, to answer rows of ``contract``.

        ``trusted``: an admin vouched for these very files. Raises Untrusted, CannotLoad,
        ManifestMismatch.
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


def read_background(artifact: Artifact) -> Background:
    """The version's ``background.msgpack``; none of a version that was registered without.

    Raises CannotLoad, ManifestMismatch.
    """
    if BACKGROUND_FILE not in artifact.names:
        return Background()
    try:
        return msgspec.msgpack.decode(artifact.read(BACKGROUND_FILE), type=Background)
    except msgspec.MsgspecError as error:
        raise CannotLoad(f"{BACKGROUND_FILE}: {error}") from error


def read_environment(artifact: Artifact) -> Environment:
    """The version's ``environment.json``: the packages of its own that it runs with.

    Raises CannotLoad, ManifestMismatch.
    """
    try:
        return msgspec.json.decode(artifact.read(ENVIRONMENT_FILE), type=Environment)
    except msgspec.MsgspecError as error:
        raise CannotLoad(f"{ENVIRONMENT_FILE}: {error}") from error


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
