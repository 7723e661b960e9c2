"""Loading and running a version's graph."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from windvane.core.execution import RuntimeName, ServedBy
from windvane.core.signature import InputSpec, OutputReader, RowEncoder, RowPacker, pack_tensor
from windvane.core.task import Contract, Outputs, make_task
from windvane.inference.failures import sentence_of
from windvane.inference.matrix_predictor import check_task, flat_row
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
        contract: Contract,
        served: ServedBy,
        threads: int = 1,
    ) -> None:
        lengths = {spec.name: max(1, spec.length) for spec in contract.features}
        self._width = sum(lengths[spec.feature] for spec in inputs)
        session = open_session(graph, threads)
        self._run = session.run
        self._session = session
        self._read = OutputReader(served.outputs, make_task(contract.task).outputs)
        self._outputs = [_output(session, source) for source in self._read.sources]
        self.encode = RowEncoder(inputs, contract.names, refuse_value)
        self._flatten = self._width != len(inputs)
        self._tensors = served.tensors
        self._bound: dict[int, _Bound] = {}
        self.memory = _SESSION_BYTES + _GROWTH * len(graph)
        self._input, self._single, self._bindable = "", False, False
        if self._tensors:
            _check_tensors(session, served)
        else:
            given = _only_input(session, self._width)
            self._input, self._single = given.name, _REALS[given.type]
            self._bindable = not self._flatten and len(self._outputs) == 1
        self._matrix = RowPacker(self._width, single=self._single)

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        if self._bindable:
            bound = self._bound.get(len(rows))
            if bound is not None and (quick := bound(rows)) is not None:
                return self._read.one(quick)
        given = self._given(rows)
        found = [np.asarray(one) for one in self._run(self._outputs, given)]
        if len(found) > 1:
            return self._read(dict(zip(self._read.sources, found, strict=True)))
        few = len(rows) <= _FEW and len(rows) not in self._bound
        if self._bindable and few and found[0].dtype.kind == "f":
            self._bound[len(rows)] = _Bound(
                    self._session, self._input, self._outputs[0], (len(rows), self._width),
                    found[0], single=self._single,
                )  # fmt: skip
        return self._read.one(found[0])

    def _given(self, rows: Sequence[Sequence[Any]]) -> dict[str, NDArray[Any]]:
        if not self._tensors:
            flat = [flat_row(row) for row in rows] if self._flatten else rows
            return {self._input: self._matrix(flat)}
        columns = list(zip(*rows, strict=True))
        return {
            tensor.name: pack_tensor([columns[place] for place in tensor.places], tensor.type)
            for tensor in self._tensors
        }

    def predict_matrix(self, x: NDArray[np.float64]) -> Outputs:
        """The same for a matrix that is there already, of a graph that takes one."""
        matrix = x.astype(np.float32) if self._single else x
        found = self._run(self._outputs, {self._input: matrix})
        return self._read.one(np.asarray(found[0]))

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


def open_session(graph: bytes, threads: int = 1) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NO_FOLDER
    )
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise CannotLoad(f"not a graph that ONNX Runtime takes: {sentence_of(error)}") from error


def _only_input(session: ort.InferenceSession, width: int) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _REALS or len(inputs[0].shape) != 2:
        listed = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
        raise CannotLoad(
            f"the graph takes {listed}; one matrix (rows, {width}) of reals is needed",
            hint="export it with one float or double input for all features",
        )
    rows, columns = inputs[0].shape
    if isinstance(columns, int) and columns != width:
        raise CannotLoad(f"the graph takes {columns} columns, the version has {width} inputs")
    _check_rows(rows)
    return inputs[0]


def _check_tensors(session: ort.InferenceSession, served: ServedBy) -> None:
    inputs = {given.name: given for given in session.get_inputs()}
    named = {tensor.name for tensor in served.tensors}
    if named != inputs.keys():
        listed = (
            f"the graph takes {', '.join(inputs)}; the version gives {', '.join(sorted(named))}"
        )
        raise CannotLoad(listed)
    for given in inputs.values():
        if given.shape:
            _check_rows(given.shape[0])


def _check_rows(rows: Any) -> None:
    if isinstance(rows, int) and rows > 0:
        raise CannotLoad(
            f"the graph takes exactly {rows} rows at once", hint="export it with a free first axis"
        )


def _output(session: ort.InferenceSession, wanted: str) -> str:
    """The named output, else the one called a probability, else the last real one."""
    outputs = session.get_outputs()
    if wanted:
        if wanted not in {o.name for o in outputs}:
            raise CannotLoad(f"the graph has no output {wanted!r}")
        return wanted
    reals = [o.name for o in outputs if o.type in _REALS]
    if not reals:
        listed = ", ".join(f"{o.name}: {o.type}" for o in outputs)
        raise CannotLoad(
            f"the graph gives {listed}; a tensor of reals is needed",
            hint="export it with zipmap=False, and with probabilities",
        )
    likely = [name for name in reals if "prob" in name.lower()]
    return (likely or reals)[-1]


class OnnxRuntime:
    """The runtime port on ONNX Runtime. A graph is data, so trust is not asked for."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> OnnxPredictor:
        del trusted
        served = read_served(artifact)
        if served.runtime is not RuntimeName.ONNX:
            raise CannotLoad(f"the version says that {served.runtime.value} serves it, not onnx")
        check_task(served, contract)
        inputs = read_inputs(artifact, contract.names)
        graph = artifact.read(served.file)
        return OnnxPredictor(graph, inputs, contract, served, self._threads)
