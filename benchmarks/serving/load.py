"""Load on a server: wrk for "as fast as it can", openloop.c for a fixed rate."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .cores import busy_s, stolen_s

_HERE = Path(__file__).parent
_CONNECTIONS = 64  # of the fixed rate: far more than are busy at half of the capacity
_CONNECTIONS_BESIDE = 512  # refusals beyond the first hundred in a second are held a while
_PATIENCE_S = 30.0
GRPC_CONNECTIONS = 4
GRPC_UNDER_WAY = 4  # on each connection
TOOLS = {
    "wrk": "apt-get install wrk",
    "gcc": "apt-get install gcc libc6-dev",
    "taskset": "apt-get install util-linux",
}


@dataclass(frozen=True, slots=True)
class Load:
    """One run's outcome. Latencies in milliseconds.

    ``not_2xx`` are answers with another status, ``refused`` those of them with a 4xx (known of
    loads at a fixed rate only), ``broken`` requests without a whole answer.
    ``stolen`` is how many seconds in each the hypervisor took from the two cores together,
    ``busy`` how many the load's core was busy: near 1.0 it is the load generator that is measured.
    """

    rps: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    answered: int
    not_2xx: int
    broken: int
    stolen: float = 0.0
    busy: float = 0.0
    refused: int = 0

    @property
    def clean(self) -> bool:
        return self.answered > 0 and not self.not_2xx and not self.broken

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Requests:
    """A file of prepared requests; each run goes on where the one before it ended, so that a
    row comes again only after all others."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        self._next = 0

    @property
    def start(self) -> int:
        return self._next

    def used(self, requests: int) -> None:
        self._next = (self._next + requests) % self.count


class LoadGenerator:
    """Runs on one core of its own."""

    def __init__(self, folder: Path, core: int) -> None:
        self._core = core
        self._openloop = folder / "openloop"
        source = _HERE / "openloop.c"
        subprocess.run(["gcc", "-O2", "-o", self._openloop, source], check=True, timeout=60)

    def closed(self, port: int, requests: Requests, connections: int, seconds: float) -> Load:
        """Each connection sends its next request when it has the answer to its last one."""
        command = [
            "wrk", "--threads", "1", "--connections", str(connections), "--timeout", "20s",
            "--duration", f"{max(1, round(seconds))}s", "--script", str(_HERE / "cycle.lua"),
            f"http://127.0.0.1:{port}", "--", str(requests.path), str(requests.start),
        ]  # fmt: skip
        return self._run(command, requests, seconds)

    def fixed(self, port: int, requests: Requests, rate: float, seconds: float) -> Load:
        """``rate`` requests a second whatever happens; latency counts from when each was due.

        A quarter of the time more comes first and is not counted.
        """
        command = [
            str(self._openloop), str(port), str(requests.path), str(requests.start),
            f"{rate:.3f}", f"{seconds / 4:.3f}", f"{seconds:.3f}", str(_CONNECTIONS),
        ]  # fmt: skip
        return self._run(command, requests, seconds * 1.25)

    def over_grpc(
        self, port: int, requests: Requests, method: str, metadata: Mapping[str, str],
        seconds: float,
    ) -> Load:  # fmt: skip
        """gRPC calls of ``method``, as many under way as each connection and all of them allow."""
        command = [
            sys.executable, str(_HERE / "grpc_load.py"), str(port), str(requests.path),
            str(requests.start), f"{seconds:.3f}", str(GRPC_CONNECTIONS), str(GRPC_UNDER_WAY),
            method,
        ]  # fmt: skip
        # In the environment, for arguments are for everybody to read.
        return self._run(command, requests, seconds, {"BENCH_METADATA": json.dumps(dict(metadata))})

    def fixed_beside(
        self, port: int, requests: Requests, rate: float, others: Requests, rate_of_others: float,
        seconds: float,
    ) -> tuple[Load, Load]:  # fmt: skip
        """Both at a fixed rate at the same time; each one's load by itself."""
        longer = seconds * 1.25  # with what comes first and is not counted
        beside = subprocess.Popen(
            self._pinned(
                [
                    str(self._openloop), str(port), str(others.path), str(others.start),
                    f"{rate_of_others:.3f}", "0", f"{longer:.3f}", str(_CONNECTIONS_BESIDE),
                ]
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            load = self.fixed(port, requests, rate, seconds)
            printed, said = beside.communicate(timeout=_PATIENCE_S)
        finally:
            if beside.poll() is None:
                beside.kill()
                beside.communicate()
        if beside.returncode:
            raise RuntimeError(f"openloop failed: {said.strip()[-500:]}")
        other = parse_load(printed)
        others.used(other.answered)
        return load, other

    def _run(
        self,
        command: list[str],
        requests: Requests,
        seconds: float,
        environment: Mapping[str, str] | None = None,
    ) -> Load:
        began, stolen, busy = time.monotonic(), stolen_s(), busy_s(self._core)
        done = subprocess.run(
            self._pinned(command), capture_output=True, text=True, timeout=seconds + _PATIENCE_S,
            check=False, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
        lasted = time.monotonic() - began
        load = replace(
            parse_load(done.stdout),
            stolen=(stolen_s() - stolen) / lasted,
            busy=(busy_s(self._core) - busy) / lasted,
        )
        requests.used(load.answered)
        return load

    def _pinned(self, command: list[str]) -> list[str]:
        return ["taskset", "--cpu-list", str(self._core), *command]


def parse_load(output: str) -> Load:
    """The line that cycle.lua or openloop.c printed, among others."""
    found = re.search(r"^answered=.*$", output, re.MULTILINE)
    if found is None:
        raise ValueError(f"the load generator printed no result: {output[-300:]!r}")
    fields = dict(pair.split("=", 1) for pair in found[0].split())
    answered, seconds = int(fields["answered"]), float(fields["seconds"])
    return Load(
        rps=answered / seconds if seconds > 0 else 0.0,
        p50_ms=float(fields["p50_us"]) / 1e3,
        p99_ms=float(fields["p99_us"]) / 1e3,
        max_ms=float(fields["max_us"]) / 1e3,
        answered=answered,
        not_2xx=int(fields["not_2xx"]),
        broken=int(fields["broken"]),
        refused=int(fields.get("refused", 0)),
    )


def median(runs: Sequence[Load]) -> Load:
    """Each figure's median over the runs, by itself; but every failure counts."""
    middle = {
        name: statistics.median(getattr(run, name) for run in runs)
        for name in ("rps", "p50_ms", "p99_ms", "max_ms", "stolen", "busy")
    }
    sums = {
        name: sum(getattr(run, name) for run in runs)
        for name in ("answered", "not_2xx", "broken", "refused")
    }
    return Load(**middle, **sums)


def missing_tools() -> list[str]:
    """A sentence for each tool that is not installed."""
    return [
        f"{tool} is not installed; on Debian: {how}"
        for tool, how in TOOLS.items()
        if shutil.which(tool) is None
    ]
