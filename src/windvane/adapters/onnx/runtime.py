"""Loading and running a version's graph."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from windvane.core.execution import (
    InputSpec,
    RowEncoder,
    RowPacker,
    RuntimeName,
    ServedBy,
    positive_output,
)
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import CannotLoad, read_inputs, read_served, refuse_value

# What a session holds beyond its graph's bytes; measured on tree ensembles of 0.1 to 20 MB.
_SESSION_BYTES = 2 << 20
_GROWTH = 3
_FEW = 8
_REALS = {"tensor(float)": True, "tensor(double)": False}
# A graph may name files for its weights; loaded from here, none of them can be there.
_NO_FOLDER = "/dev/null/none"


class OnnxPredictor:
    """One loaded graph; one thread, because the gateway's loop is the scheduler."""

    blocking = False

    def __init__(
        self,
        graph: bytes,
        inputs: Sequence[InputSpec],
        schema: Sequence[str],
        served: ServedBy | None = None,
    ) -> None:
        session = _open(graph)
        given = _only_input(session, len(inputs))
        self._served = served or ServedBy()
        self._session = session
        self._run = session.run
        self._input = given.name
        self._outputs = [_output(session, self._served.output)]
        self.encode = RowEncoder(inputs, schema, refuse_value)
        self._single = _REALS[given.type]
        self._width = len(inputs)
        self._matrix = RowPacker(self._width, single=self._single)
        self._bound: dict[int, _Bound] = {}
        self.memory = _SESSION_BYTES + _GROWTH * len(graph)

    def predict(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
        bound = self._bound.get(len(rows))
        if bound is not None and (quick := bound(rows)) is not None:
            return positive_output(quick, self._served).copy()
        found = np.asarray(self._run(self._outputs, {self._input: self._matrix(rows)})[0])
        if bound is None and len(rows) <= _FEW and found.dtype.kind == "f":
            self._bound[len(rows)] = _Bound(
                self._session, self._input, self._outputs[0], (len(rows), self._width),
                found, single=self._single,
            )  # fmt: skip
        return positive_output(found, self._served)

    def close(self) -> None:
        self._bound.clear()
        del self._run, self._session


class _Bound:
    """A few rows at a time, in memory that is bound to the graph once. Handing over arrays for
    each execution takes as long as a small model itself. Not for two threads at once."""

    def __init__(
        self,
        session: ort.InferenceSession,
        given: str,
        wanted: str,
        shape: tuple[int, int],
        like: NDArray[Any],
        *,
        single: bool,
    ) -> None:
        self._rows = np.empty(shape, np.float32 if single else np.float64)
        self._found = np.empty_like(like)
        self._buffer = self._rows.data.cast("B")
        row = struct.Struct(f"={shape[1]}{'f' if single else 'd'}")
        self._pack, self._size = row.pack_into, row.size
        self._binding = session.io_binding()
        self._binding.bind_cpu_input(given, self._rows)
        self._binding.bind_output(
            wanted, "cpu", 0, like.dtype.type, like.shape, self._found.ctypes.data
        )
        self._run = session.run_with_iobinding

    def __call__(self, rows: Sequence[Sequence[Any]]) -> NDArray[Any] | None:
        """The outputs, good until the next call; None if a number is beyond float32."""
        try:
            for i, row in enumerate(rows):
                self._put(i * self._size, row)
        except OverflowError:
            return None
        self._run(self._binding)
        return self._found

    def _put(self, at: int, row: Sequence[Any]) -> None:
        try:
            self._pack(self._buffer, at, *row)
        except struct.error:
            known = [math.nan if value is None else value for value in row]
            self._pack(self._buffer, at, *known)


def _open(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NO_FOLDER
    )
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise CannotLoad(f"not a graph that ONNX Runtime takes: {str(error)[:300]}") from error


def _only_input(session: ort.InferenceSession, width: int) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _REALS or len(inputs[0].shape) != 2:
        told = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
        raise CannotLoad(
            f"the graph takes {told}; one matrix (rows, {width}) of reals is needed",
            hint="export it with one float or double input for all features",
        )
    rows, columns = inputs[0].shape
    if isinstance(columns, int) and columns != width:
        raise CannotLoad(f"the graph takes {columns} columns, the version has {width} inputs")
    if isinstance(rows, int) and rows > 0:
        raise CannotLoad(
            f"the graph takes exactly {rows} rows at once", hint="export it with a free first axis"
        )
    return inputs[0]


def _output(session: ort.InferenceSession, wanted: str) -> str:
    """The named output, else the one called a probability, else the last real one."""
    outputs = session.get_outputs()
    if wanted:
        if wanted not in {o.name for o in outputs}:
            raise CannotLoad(f"the graph has no output {wanted!r}")
        return wanted
    reals = [o.name for o in outputs if o.type in _REALS]
    if not reals:
        told = ", ".join(f"{o.name}: {o.type}" for o in outputs)
        raise CannotLoad(
            f"the graph gives {told}; a tensor of reals is needed",
            hint="export it with zipmap=False, and with probabilities",
        )
    likely = [name for name in reals if "prob" in name.lower()]
    return (likely or reals)[-1]


class OnnxRuntime:
    """The runtime port on ONNX Runtime. A graph is data, so trust is not asked for."""

    def load(self, artifact: Artifact, schema: Sequence[str], *, trusted: bool) -> OnnxPredictor:
        del trusted
        served = read_served(artifact)
        if served.runtime is not RuntimeName.ONNX:
            raise CannotLoad(f"the version says that {served.runtime.value} serves it, not onnx")
        inputs = read_inputs(artifact, schema)
        return OnnxPredictor(artifact.read(served.file), inputs, schema, served)
