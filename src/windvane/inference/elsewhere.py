"""Versions that somebody else serves: there is nothing to run, only events to be told of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from windvane.core.task import Contract, Outputs
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import RuntimeFailed


class ServedElsewhere(RuntimeFailed):
    """The version is watched here, and answers somewhere else."""

    code: ClassVar[str] = "RUN-111"
    hint = "ask the service that has the model; `windvane register` brings the model here"


class ElsewherePredictor:
    """Has no answers, at no cost."""

    blocking = False
    concurrency = 1
    memory = 0

    def encode(self, values: Sequence[Any]) -> Sequence[Any]:
        return values

    async def predict_async(self, rows: Sequence[Sequence[Any]], within_s: float) -> Outputs:
        """Raises ServedElsewhere."""
        del rows, within_s
        raise ServedElsewhere("it is served elsewhere")

    def close(self) -> None: ...


class ElsewhereRuntime:
    """The runtime port for such versions."""

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> ElsewherePredictor:
        del artifact, contract, trusted
        return ElsewherePredictor()
