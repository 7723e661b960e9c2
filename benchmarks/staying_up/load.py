"""Runs the load from its core: streams by schedule, and wrk as fast as it can."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from serving.load import Load, LoadGenerator, Requests
from serving.model import BENCHMARKS
from serving.rows import Rows
from serving.shapes import spread_windvane, write_requests

from .answers import Answers, from_arrays
from .streams import Stream, read_requests

_PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Flow:
    """A stream before it has a port and a place in its requests. ``rate`` in requests a second."""

    requests: Requests
    rate: float
    connections: int = 32
    mark: str = ""


class Loader:
    """All load of the benchmark, from one core."""

    def __init__(self, folder: Path, core: int, rows: Rows) -> None:
        self._folder = folder
        self._core = core
        self._rows = rows
        self._wrk = LoadGenerator(folder, core)

    def requests(self, name: str, models: Sequence[str], key: str, deadline: str = "") -> Requests:
        """Every row once, the models in turn, under one key; with a deadline of their own if
        one is given, such as 10s."""
        path = self._folder / f"{name}.requests"
        if not path.exists():
            write_requests(path, spread_windvane(models, [key]), self._rows)
            if deadline:
                texts = read_requests(path, 0, len(self._rows))
                write_texts(
                    path, (with_header(t, f"X-Request-Deadline: {deadline}") for t in texts)
                )
        return Requests(path, len(self._rows))

    def closed(self, port: int, requests: Requests, connections: int, seconds: float) -> Load:
        """Each connection sends its next request when it has the answer to its last one."""
        return self._wrk.closed(port, requests, connections, seconds)

    def streams(
        self, port: int, flows: Mapping[str, Flow], seconds: float
    ) -> Mapping[str, Answers]:
        """All flows at once, by their names."""
        with self.start(port, flows, seconds) as running:
            return running.wait()

    def start(self, port: int, flows: Mapping[str, Flow], seconds: float) -> RunningStreams:
        """The same, to be waited for later; a context that ends the load if it is left early."""
        plan = [
            Stream(port, str(f.requests.path), f.requests.start, f.rate, f.connections, seconds,
                   f.mark)
            for f in flows.values()
        ]  # fmt: skip
        for flow, stream in zip(flows.values(), plan, strict=True):
            flow.requests.used(stream.total)
        return RunningStreams(self._folder, self._core, list(flows), plan)


def with_header(request: bytes, header: str) -> bytes:
    """``header`` behind the request's first line."""
    first, rest = request.split(b"\r\n", 1)
    return b"\r\n".join([first, header.encode(), rest])


def write_texts(path: Path, texts: Iterable[bytes]) -> None:
    """Requests as serving/cycle.lua reads them."""
    with path.open("wb") as file:
        for text in texts:
            file.write(len(text).to_bytes(4, "little") + text)


class RunningStreams:
    """A load on its way."""

    def __init__(
        self, folder: Path, core: int, names: Sequence[str], plan: Sequence[Stream]
    ) -> None:
        self._names = names
        self._out = folder / "streams.npz"
        self._within_s = max(stream.seconds for stream in plan) + _PATIENCE_S
        file = folder / "streams.json"
        file.write_bytes(msgspec.json.encode(plan))
        self._out.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), sys.executable, "-m", "staying_up.streams",
             str(file), str(self._out)],
            cwd=BENCHMARKS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> RunningStreams:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def began(self) -> float:
        """Wait for the load to begin; that moment on the monotonic clock."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.wait()
        return float(line)

    def wait(self) -> Mapping[str, Answers]:
        _, words = self._process.communicate(timeout=self._within_s)
        if self._process.returncode:
            raise RuntimeError(f"the load failed: {words.strip()[-500:]}")
        with np.load(self._out) as arrays:
            return {name: from_arrays(arrays, i) for i, name in enumerate(self._names)}
