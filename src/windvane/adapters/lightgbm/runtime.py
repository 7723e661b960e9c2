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
    booster = Booster(body)
    outputs = booster.classes
    booster.close()
    try:
        held: Any = json.loads(_line(body, b"pandas_categorical:") or "null")
    except ValueError as error:
        raise CannotLoad(f"its categories cannot be read: {error}") from error
    names = tuple(_line(body, b"feature_names=").split(" "))
    lists = [tuple(str(name) for name in one) for one in held or []]
    places = _categorical(body, len(names)) if lists else []
    if len(places) != len(lists):
        raise CannotLoad(
            f"it has {len(lists)} lists of categories for {len(places)} categorical columns",
            hint="save it with the LightGBM that trained it",
        )
    vocabularies = dict(zip(places, lists, strict=True))
    return DataFile(body, names, vocabularies, outputs)


def _categorical(body: bytes, width: int) -> list[int]:
    """The places of the columns that were categories of a frame, in their order: the text has
    their lists in that order, and says of each column what it was: ``[0:12]`` is a range of
    numbers, ``-1:0:3`` a list of codes, ``none`` a column that no tree could use."""
    infos = _line(body, b"feature_infos=").split(" ")
    given = _parameter(body, b"categorical_feature")
    named = [int(part) for part in given.split(",") if part.strip().isdigit()]
    found = [i for i in range(min(width, len(infos))) if _is_codes(infos[i])]
    return sorted({*named, *found}) if named else found


def _is_codes(info: str) -> bool:
    return ":" in info and not info.startswith("[")


def _parameter(body: bytes, name: bytes) -> str:
    return _line(body, b"[" + name + b": ").rstrip("]")


def _line(body: bytes, start: bytes) -> str:
    at = body.find(b"\n" + start)
    if at < 0:
        return ""
    begin = at + 1 + len(start)
    end = body.find(b"\n", begin)
    return body[begin : end if end >= 0 else None].decode()
