"""Loading and running a version's boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.adapters.xgboost.library import Booster
from windvane.core.execution import InputSpec, RowEncoder, RowPacker, ServedBy, positive_output
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import CannotLoad, read_inputs, read_served, refuse_value
from windvane.ports.source import DataFile

# A booster's share beyond its file, and its file's growth in memory; measured on 0.2 to 8 MB.
_BOOSTER_BYTES = 1 << 20
_GROWTH = 4


class XgboostPredictor:
    """One loaded booster."""

    blocking = False

    def __init__(
        self, body: bytes, inputs: Sequence[InputSpec], schema: Sequence[str], served: ServedBy
    ) -> None:
        self._booster = Booster(body)
        if self._booster.width != len(inputs):
            width = self._booster.width
            self._booster.close()
            raise CannotLoad(f"the booster takes {width} columns, the version has {len(inputs)}")
        self._served = served
        self.encode = RowEncoder(inputs, schema, refuse_value)
        self._matrix = RowPacker(len(inputs))
        self.memory = _BOOSTER_BYTES + _GROWTH * len(body)

    def predict(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        return positive_output(self._booster.predict(self._matrix(rows)), self._served)

    def close(self) -> None:
        self._booster.close()


class XgboostRuntime:
    """The runtime port on XGBoost. Its UBJSON and JSON are data, so trust is not asked for."""

    def load(self, artifact: Artifact, schema: Sequence[str], *, trusted: bool) -> XgboostPredictor:
        del trusted
        served = read_served(artifact)
        inputs = read_inputs(artifact, schema)
        return XgboostPredictor(artifact.read(served.file), inputs, schema, served)


def read_xgboost(path: Path) -> DataFile:
    """A booster's file with the names that it holds; raises CannotLoad."""
    body = path.read_bytes()
    booster = Booster(body)
    try:
        return DataFile(body, tuple(booster.names))
    finally:
        booster.close()
