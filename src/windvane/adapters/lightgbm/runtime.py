"""Loading and running a version's boosted trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from windvane.adapters.lightgbm.library import Booster
from windvane.core.task import Contract
from windvane.inference.matrix_predictor import MatrixPredictor, check_task
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import CannotLoad, read_inputs, read_served
from windvane.ports.source import DataFile

# A booster's share beyond its file, and its file's growth in memory; measured on 0.2 to 8 MB.
_BOOSTER_BYTES = 1 << 20
_GROWTH = 4


class LightgbmRuntime:
    """The runtime port on LightGBM. Its text is data, so trust is not asked for."""

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> MatrixPredictor:
        del trusted
        served = read_served(artifact)
        check_task(served, contract)
        inputs = read_inputs(artifact, contract.names)
        body = artifact.read(served.file)
        booster = Booster(body, rounds=served.rounds)
        memory = _BOOSTER_BYTES + _GROWTH * len(body)
        return MatrixPredictor(booster, inputs, contract, served, memory)


def read_lightgbm(path: Path) -> DataFile:
    """A booster's text, the names in it and, where it was trained on a pandas frame, the
    categories of each categorical column. Raises CannotLoad."""
    body = path.read_bytes()
    Booster(body).close()
    try:
        held: Any = json.loads(_line(body, b"pandas_categorical:") or "null")
    except ValueError as error:
        raise CannotLoad(f"its categories cannot be read: {error}") from error
    vocabularies = [tuple(str(name) for name in names) for names in held or []]
    return DataFile(body, tuple(_line(body, b"feature_names=").split()), vocabularies)


def _line(body: bytes, start: bytes) -> str:
    at = body.find(b"\n" + start)
    if at < 0:
        return ""
    begin = at + 1 + len(start)
    end = body.find(b"\n", begin)
    return body[begin : end if end >= 0 else None].decode()
