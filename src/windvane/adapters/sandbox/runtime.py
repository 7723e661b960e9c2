"""The runtime port over sandbox processes."""

from __future__ import annotations

import io
import json
import logging
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.adapters.sandbox.limits import Limits
from windvane.adapters.sandbox.process import Refused, SandboxProcess
from windvane.adapters.sandbox.reserve import sweep
from windvane.core.execution import (
    DATA_ONLY,
    ENVIRONMENT_FILE,
    RUNTIMES,
    SANDBOXED,
    SERVED_FILE,
    RuntimeName,
    ServedBy,
    types_beyond,
)
from windvane.core.signature import InputSpec, OutputReader, RowEncoder, RowPacker
from windvane.core.task import Contract, Outputs, make_task
from windvane.inference.matrix_predictor import check_task, flat_row
from windvane.ports.artifacts import Artifact, ManifestMismatch
from windvane.ports.environments import Environments
from windvane.ports.library import Converted, ModelDescription, RawRows
from windvane.ports.runtime import (
    CannotLoad,
    RuntimeFailed,
    Untrusted,
    read_environment,
    read_inputs,
    read_served,
    refuse_value,
)
from windvane.ports.sandbox import EXPECTED, Answer, Ask, Convert, Load, Order, Predict, Tensor

_log = logging.getLogger(__name__)
_SMALL = 1 << 20
_GRAPH = 256 << 20
_WIDEST = 65_536  # of an output of any length
_FEW_CLASSES = 64
_WIDEST_ANSWER = 16_384
_SCALARS = {"number", "integer", "boolean", "datetime"}
_NUMERIC = _SCALARS | {"vector"}
_SCHEMA = "schema.json"
_LACKS = ("ModuleNotFoundError", "ImportError")
_SCHEMA_BYTES = 64 << 20


class _Sandbox:
    """A process that is there when it is asked; after a failure it rests, then starts anew."""

    def __init__(self, artifact: Artifact, order: Load, limits: Limits, log: Path | None,
                 spawner: ThreadPoolExecutor, log_format: str,
                 packages: Callable[[], Path | None]) -> None:  # fmt: skip
        self._artifact = artifact
        self._order = order
        self._limits = limits
        self._log = log
        self._spawner = spawner
        self._log_format = log_format
        self._packages = packages
        self._lock = threading.Lock()
        self._process: SandboxProcess | None = None
        self._failures = 0
        self._rests_until = 0.0
        self._closed = False

    def start(self) -> tuple[Answer, int]:
        """What the model says of itself, and the bytes that it holds; raises CannotLoad."""
        with self._lock:
            try:
                about = self._begin()
            except RuntimeFailed as error:
                hint = None if error.advice == error.hint else error.advice
                if self._order.served.environment and error.message.startswith(_LACKS):
                    hint = "add that package to the model's requirements, and register it again"
                raise CannotLoad(error.message, hint=hint) from error
            assert self._process is not None
            return about, self._process.memory

    def ask(self, order: Order, within_s: float, most: int) -> Answer:
        """Its answer; raises RuntimeFailed within ``within_s`` and a start."""
        until = time.monotonic() + within_s
        if not self._lock.acquire(timeout=within_s):
            raise RuntimeFailed(f"it was busy for {within_s:g} s")
        try:
            if self._process is None:
                self._begin_again()
                until = time.monotonic() + within_s
            process = self._process
            assert process is not None
            try:
                answer = process.ask(order, max(until - time.monotonic(), 0.001), most)
            except Refused:
                raise  # it said no, and lives
            except RuntimeFailed:
                self._end()
                raise
            self._failures = 0
            return answer
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.end()
                self._process = None

    def _begin(self) -> Answer:
        if self._closed:
            raise RuntimeFailed("the version was unloaded")
        left = self._rests_until - time.monotonic()
        if left > 0.0:
            raise RuntimeFailed(f"it failed {self._failures} times and rests for {left:.1f} s more")
        try:
            process = SandboxProcess(
                self._artifact, self._limits, self._log, self._spawner, self._log_format,
                self._packages(),
            )  # fmt: skip
        except CannotLoad as error:
            self._rest()
            raise RuntimeFailed(error.message, hint=error.advice) from error
        except ManifestMismatch:
            self._rest()
            raise
        except OSError as error:  # a start that takes too long is one, too
            self._rest()
            raise RuntimeFailed(f"its process cannot be started: {error}") from error
        self._process = process
        try:
            return process.ask(self._order, self._limits.load_s, _SMALL)
        except RuntimeFailed:
            self._end()
            raise

    def _begin_again(self) -> None:
        try:
            self._begin()
        except ManifestMismatch as error:
            raise RuntimeFailed(f"its files are others by now: {error.message}") from error

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None
        self._rest()

    def _rest(self) -> None:
        """Twice as long each time, up to the last; jitter keeps many from starting at once."""
        limits = self._limits
        wait = min(limits.first_wait_s * 2.0**self._failures, limits.last_wait_s)
        self._failures = min(self._failures + 1, 64)
        self._rests_until = time.monotonic() + wait * random.uniform(0.5, 1.0)


class SandboxPredictor:
    """One version in a process of its own. ``predict`` waits for it: never on a loop."""

    blocking = True

    def __init__(
        self, sandbox: _Sandbox, inputs: Sequence[InputSpec], contract: Contract,
        served: ServedBy, limits: Limits,
    ) -> None:  # fmt: skip
        self._sandbox = sandbox
        self._within_s = limits.predict_s
        self._kinds = input_kinds(inputs, contract)
        self._specs = make_task(contract.task).outputs
        self._read = OutputReader(served.outputs, self._specs)
        self.encode = RowEncoder(inputs, contract.names, refuse_value)
        lengths = {spec.name: max(1, spec.length) for spec in contract.features}
        width = sum(lengths[spec.feature] for spec in inputs)
        self._flatten = width != len(inputs)
        self._numeric = all(kind in _NUMERIC for kind in self._kinds)
        self._matrix = RowPacker(width)
        about, self.memory = sandbox.start()
        missing = [name for name in EXPECTED if name not in about.protections]
        if missing:
            _log.warning(
                "this kernel or container does not give the sandbox: %s", ", ".join(missing)
            )

    def predict(self, rows: Sequence[Sequence[Any]]) -> Outputs:
        if self._numeric:
            flat = [flat_row(row) for row in rows] if self._flatten else rows
            order = Predict(len(rows), self._matrix(flat).tobytes())
        else:
            columns = _packed(zip(*rows, strict=True), self._kinds)
            order = Predict(len(rows), columns=columns)
        size = sum(spec.size if spec.size > 0 else _WIDEST for spec in self._specs)
        most = _SMALL + 8 * len(rows) * max(_FEW_CLASSES, size)
        answer = self._sandbox.ask(order, self._within_s, most)
        return self._read(read_tensors(answer.outputs, len(rows)))

    def close(self) -> None:
        self._sandbox.close()


class SandboxLibrary:
    """A model's own library in a process of its own."""

    def __init__(self, sandbox: _Sandbox, limits: Limits) -> None:
        self._sandbox = sandbox
        self._limits = limits
        answer, _ = sandbox.start()
        categories = {name: tuple(held) for name, held in answer.categories.items()}
        self.about = ModelDescription(
            tuple(answer.features), tuple(answer.classes), answer.kind, categories, answer.packages
        )

    def answer(self, rows: RawRows) -> dict[str, NDArray[np.float64]]:
        order = Ask(list(rows.names), list(rows.kinds), _packed(rows.columns, rows.kinds))
        most = _SMALL + 8 * rows.rows * _WIDEST_ANSWER
        answer = self._sandbox.ask(order, self._limits.load_s, most)
        return read_tensors(answer.outputs, rows.rows)

    def convert(self, rows: NDArray[np.float64]) -> Converted:
        order = Convert(len(rows), np.ascontiguousarray(rows, np.float64).tobytes(), 3_000)
        try:
            found = self._sandbox.ask(order, self._limits.load_s, _GRAPH)
        except RuntimeFailed as error:
            return Converted(missing=error.message)
        if len(found.probes) % (8 * rows.shape[1]):
            return Converted(missing="the probes have another width than the rows")
        probes = np.frombuffer(found.probes, np.float64).reshape(-1, rows.shape[1])
        return Converted(found.graph, probes)

    def close(self) -> None:
        self._sandbox.close()


def _packed(columns: Iterable[Sequence[Any]], kinds: Sequence[str]) -> list[bytes | list[Any]]:
    """Numbers as bytes, other columns as they are."""
    return [
        RowPacker(1)([(value,) for value in column]).tobytes() if kind in _SCALARS else list(column)
        for kind, column in zip(kinds, columns, strict=True)
    ]


def input_kinds(inputs: Sequence[InputSpec], contract: Contract) -> list[str]:
    """The type of each input; of a category that is given as its code, "number"."""
    kinds = {spec.name: spec.type.value for spec in contract.features}
    return ["number" if s.vocabulary is not None else kinds[s.feature] for s in inputs]


def read_tensors(found: Sequence[Tensor], rows: int) -> dict[str, NDArray[np.float64]]:
    """What a sandbox gave, by name. Raises RuntimeFailed for what fits no shape, and for any other
    number of rows."""
    out: dict[str, NDArray[np.float64]] = {}
    for tensor in found:
        size = int(np.prod(tensor.shape, dtype=np.int64)) if tensor.shape else 1
        if min(tensor.shape, default=0) < 0 or len(tensor.data) != 8 * size:
            raise RuntimeFailed(f"{len(tensor.data):,} bytes came for the shape {tensor.shape}")
        if tensor.shape[:1] != (rows,):
            raise RuntimeFailed(f"it answered {rows:,} rows with the shape {tensor.shape}")
        out[tensor.name] = np.frombuffer(tensor.data, np.float64).reshape(tensor.shape)
    return out


class SandboxRuntime:
    """The runtime port, and that of models' own libraries, for files that may run code.

    ``logs``: the folder for what they print, one file a version (None: nowhere), begun anew with
    each process and never larger than ``limits.file_bytes``. Our own lines in it are as
    ``log_format``, "text" or "json", says; what a model prints is kept as it is. ``environments``:
    where versions find packages of their own.
    """

    def __init__(
        self, limits: Limits | None = None, logs: Path | None = None, log_format: str = "text",
        environments: Environments | None = None,
    ) -> None:  # fmt: skip
        self._limits = limits or Limits()
        self._log_format = log_format
        self._logs = logs
        self._environments = environments
        self._spawner = ThreadPoolExecutor(1, "sandbox-spawner")
        sweep()

    def load(self, artifact: Artifact, contract: Contract, *, trusted: bool) -> SandboxPredictor:
        served = read_served(artifact)
        check_trust(artifact, served, trusted=trusted)
        check_task(served, contract)
        inputs = read_inputs(artifact, contract.names)
        names = [spec.own_name for spec in inputs]
        sandbox = self._sandbox(artifact, served, names, trusted, input_kinds(inputs, contract))
        try:
            return SandboxPredictor(sandbox, inputs, contract, served, self._limits)
        except BaseException:
            sandbox.close()
            raise

    def runs_code(self, artifact: Artifact, served: ServedBy) -> bool:
        """Whether loading these very files can run code of theirs; raises CannotLoad."""
        try:
            check_trust(artifact, served, trusted=False)
        except Untrusted:
            return True
        return False

    def open(self, artifact: Artifact, served: ServedBy, *, trusted: bool) -> SandboxLibrary:
        """Load it by its own library; raises Untrusted, CannotLoad."""
        no_library = RUNTIMES[served.runtime].no_library
        if no_library:
            raise CannotLoad(no_library)
        if served.environment or served.runtime not in DATA_ONLY:
            check_trust(artifact, served, trusted=trusted)
        sandbox = self._sandbox(artifact, replace(served, table=False), [], trusted, library=True)
        try:
            return SandboxLibrary(sandbox, self._limits)
        except BaseException:
            sandbox.close()
            raise

    def close(self) -> None:
        """End the thread that starts processes; those that run end with it."""
        self._spawner.shutdown()

    def _sandbox(
        self, artifact: Artifact, served: ServedBy, names: list[str], trusted: bool,
        kinds: list[str] | None = None, *, library: bool = False,
    ) -> _Sandbox:  # fmt: skip
        log = None
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
            log = self._logs / f"sandbox-{artifact.manifest[:12]}.log"
        limits = self._limits
        data = served.runtime in DATA_ONLY and not served.environment
        if data or not self.runs_code(artifact, served):
            limits = replace(limits, require=frozenset())
        load = Load(served, names, trusted, kinds or [], library)
        packages = partial(self._packages_of, artifact, served)
        return _Sandbox(artifact, load, limits, log, self._spawner, self._log_format, packages)

    def _packages_of(self, artifact: Artifact, served: ServedBy) -> Path | None:
        """The folder of a version's own packages; raises CannotLoad."""
        if not served.environment:
            return None
        environment = read_environment(artifact)
        if environment.id != served.environment:
            raise CannotLoad(
                f"{SERVED_FILE} names the environment {served.environment[:12]}, "
                f"{ENVIRONMENT_FILE} describes {environment.id[:12]}"
            )
        if self._environments is None:
            raise CannotLoad("it has packages of its own, and nothing here keeps such environments")
        return self._environments.open(environment)


def check_trust(artifact: Artifact, served: ServedBy, *, trusted: bool) -> None:
    """Raise Untrusted unless the files are trusted or known to be data; nothing of them is
    unpickled or imported for that."""
    if served.runtime not in SANDBOXED:
        raise CannotLoad(f"{served.runtime.value} runs in the gateway's process, not apart")
    if trusted:
        return
    if served.environment:
        raise Untrusted(f"{served.file} brings packages of its own, which are programs")
    if served.runtime in DATA_ONLY:
        return
    if served.runtime is not RuntimeName.SKLEARN or not served.file.endswith(".skops"):
        raise Untrusted(f"{served.file} is for {served.runtime.value}, which runs what is in it")
    beyond = skops_types_beyond(artifact.read(served.file))
    if beyond:
        shown = ", ".join(beyond[:5]) + (f" and {len(beyond) - 5} more" if len(beyond) > 5 else "")
        raise Untrusted(f"{served.file} holds types that are not known to be data: {shown}")


def skops_types_beyond(body: bytes) -> list[str]:
    """What a skops file names that is not known to be data; raises CannotLoad."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as held:
            if held.getinfo(_SCHEMA).file_size > _SCHEMA_BYTES:
                raise CannotLoad(f"{_SCHEMA} is beyond {_SCHEMA_BYTES:,} bytes")
            return types_beyond(json.loads(held.read(_SCHEMA)))
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise CannotLoad(f"not a skops file: {error}") from error
