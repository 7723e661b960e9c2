"""Loading and running a version's boosted trees."""

from __future__ import annotations

from windvane.adapters.lightgbm.library import Booster
from windvane.core.task import Contract
from windvane.inference.matrix_predictor import MatrixPredictor, check_task
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import read_inputs, read_served

# A booster's share beyond its file, and its file's growth in memory; measured on 0.2 to 8 MB.
_BOOSTER_BYTES = 1 << 20
_GROWTH = 4


class LightgbmRuntime:
    """The runtime port on LightGBM. Its text is data, so trust is not asked for."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> MatrixPredictor:
        del trusted
        served = read_served(artifact)
        check_task(served, contract)
        inputs = read_inputs(artifact, contract.names)
        body = artifact.read(served.file)
        booster = Booster(body, rounds=served.rounds, threads=self._threads)
        memory = _BOOSTER_BYTES + _GROWTH * len(body)
        return MatrixPredictor(booster, inputs, contract, served, memory)
