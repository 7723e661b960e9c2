"""Measuring versions, each in a fresh process: none warms another's caches or hides its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.execution import Latency
from windvane.core.task import Contract

MOST_EXECUTIONS = 20_000
"""Of a round, and of requests."""


class MeasuringFailed(WindvaneError):
    """A process that measures a version died, was out of time, or could not run it."""

    code: ClassVar[str] = "PRF-101"
    hint = "logs/measure.log in the home says what happened"


class MeasureOrder(msgspec.Struct, frozen=True, tag=True):
    """What is measured: a version's files, as a model of ``contract``, on ``rows`` (values in
    the contract's order), with ``threads`` for each execution. ``requests``: through the engine,
    request by request; else executions alone."""

    model: str
    version: str
    artifact: str
    manifest: str
    contract: Contract
    rows: Sequence[Sequence[Any]]
    trusted: bool = False
    threads: int = 1
    requests: bool = False


class MeasureRound(msgspec.Struct, frozen=True, tag=True):
    """Asks for executions of ``batch`` rows for about ``within_s``."""

    batch: int
    within_s: float


class MeasureSteps(msgspec.Struct, frozen=True, tag=True):
    """Asks for requests for about ``within_s``."""

    within_s: float


class Started(msgspec.Struct, frozen=True, tag=True):
    """The version is loaded and warm."""

    memory: int


class Executions(msgspec.Struct, frozen=True, tag=True):
    """Seconds of each."""

    seconds: Sequence[float]


class NotMeasured(msgspec.Struct, frozen=True, tag=True):
    """What went wrong, without values of features."""

    message: str


class StepTimes(msgspec.Struct, frozen=True, tag=True):
    """Where requests of one row spend their time, one at a time: ``steps`` in their order, each
    with its median in seconds; ``total`` of the whole."""

    total: Latency
    steps: Mapping[str, float]


MeasureCommand = MeasureOrder | MeasureRound | MeasureSteps
MeasureReply = Started | Executions | StepTimes | NotMeasured


class MeasuringProcess(Protocol):
    """One process with a loaded version. Not for two threads at once. Every call raises
    MeasuringFailed."""

    @property
    def memory(self) -> int:
        """What loading and warming the version up added to the process's resident memory, in
        bytes, with its sandbox where it has one."""
        ...

    def round(self, batch: int, within_s: float) -> Sequence[float]:
        """Seconds of each execution of ``batch`` rows, rows encoded and outputs checked, for
        about ``within_s``; at least one, at most ``MOST_EXECUTIONS``."""
        ...

    def steps(self, within_s: float) -> StepTimes:
        """Of requests for about ``within_s``, of a process that was started for ``requests``."""
        ...

    def close(self) -> None: ...


class Measuring(Protocol):
    def start(self, order: MeasureOrder) -> MeasuringProcess:
        """Raises MeasuringFailed."""
        ...
