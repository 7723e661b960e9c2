"""Loading and running a version's graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from windvane.adapters.onnx.artifact import GRAPH, INPUTS, InputSpec, check_manifest
from windvane.ports.runtime import UnencodableRow

_NAN = float("nan")


class OnnxPredictor:
    """One loaded graph; one thread, because the gateway's loop is the scheduler."""

    def __init__(self, graph: bytes, inputs: Sequence[InputSpec], schema: Sequence[str]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        places = {name: i for i, name in enumerate(schema)}
        self._columns = [(places[spec.feature], _encoder(spec)) for spec in inputs]
        self._width = len(inputs)

    def encode(self, values: Sequence[Any]) -> list[float]:
        return [
            (_NAN if (v := values[place]) is None else float(v)) if encode is None
            else encode(values[place])
            for place, encode in self._columns
        ]  # fmt: skip

    def predict(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        x = np.array(rows, dtype=np.float64).reshape(len(rows), self._width)
        found = np.asarray(self._session.run(["probability"], {"x": x})[0])
        return found[:, 0].astype(np.float64)


def _encoder(spec: InputSpec) -> Callable[[Any], float] | None:
    """None for numbers, which need no call on the hot path."""
    if spec.vocabulary is None:
        return None
    codes = {name: float(i) for i, name in enumerate(spec.vocabulary)}
    feature = spec.feature
    if spec.unknown != "error":
        return lambda value: codes.get(value, _NAN)

    def strict(value: Any) -> float:
        if value is None:
            return _NAN
        try:
            return codes[value]
        except KeyError:
            raise UnencodableRow(
                f"{feature} {value!r} was not in the {len(codes)} categories of training"
            ) from None

    return strict


class OnnxRuntime:
    """The runtime port on ONNX Runtime."""

    def load(self, artifact: str, manifest: str, schema: Sequence[str]) -> OnnxPredictor:
        folder = Path(artifact)
        check_manifest(folder, manifest)
        inputs = msgspec.json.decode((folder / INPUTS).read_bytes(), type=list[InputSpec])
        return OnnxPredictor((folder / GRAPH).read_bytes(), inputs, schema)
