"""The HTTP servers that the gateway could stand on, in alternating turns.

``--granian PYTHON`` names an interpreter with granian, uvloop, httptools and msgspec; without it
that server is left out. One core for the servers, one for the load; needs wrk and gcc.

Ratios are to today's server in the same turn. ``CPU`` is what the server's processes used for a
request: on a machine that others use too it says more than requests a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from http_servers import FEATURES, KEY, SERVERS, WORKS
from results import FOLDER, machine
from rich.console import Console
from rich.table import Table
from serving.cores import LOAD_CORE, SERVER_CORE
from serving.load import Load, LoadGenerator, Requests, missing_tools

_PORT = 18_100
_BASE = "uvicorn, subclassed"
_UP_WITHIN_S = 15.0
_CONNECTIONS = (1, 64)
_SHARE = 0.6  # of what the base can do: the fixed rate


def requests_file(folder: Path) -> Requests:
    row = {name: i / 7 for i, name in enumerate(FEATURES)}
    body = msgspec.json.encode({"instances": [{"features": row}]})
    head = (
        b"POST /v1/models/flight-late/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nAuthorization: %b\r\nContent-Length: %d\r\n\r\n"
    )
    request = head % (KEY, len(body)) + body
    path = folder / "requests"
    path.write_bytes(len(request).to_bytes(4, "little") + request)
    return Requests(path, 1)


def start(server: str, work: str, port: int, python: str) -> subprocess.Popen[bytes]:
    """The server, once it accepts connections."""
    here = Path(__file__).parent
    command = [python, str(here / "http_servers.py"), server, work, str(port)]
    environment = {**os.environ, "HTTP_SERVERS_WORK": work, "PYTHONPATH": str(here)}
    running = subprocess.Popen(
        ["taskset", "--cpu-list", str(SERVER_CORE), *command], env=environment
    )
    until = time.monotonic() + _UP_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return running
        except OSError:
            if time.monotonic() > until or running.poll() is not None:
                running.kill()
                raise RuntimeError(f"{server} does not listen") from None
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Run:
    rps: float
    p99_ms: float
    cpu_us: float


def cpu_s(pid: int) -> float:
    """What a process and its children used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return used + sum(cpu_s(int(child)) for child in children)


def measured(pid: int, load: Callable[[], Load]) -> Run:
    before = cpu_s(pid)
    seen = load()
    if not seen.clean:
        raise RuntimeError(f"not every request was answered well: {seen}")
    return Run(seen.rps, seen.p99_ms, (cpu_s(pid) - before) / seen.answered * 1e6)


def middle(runs: list[Run], base: list[Run], figure: str) -> tuple[float, float]:
    """The median, and the median of the ratios to the base's run of the same turn."""
    mine = [getattr(run, figure) for run in runs]
    ratios = [m / getattr(b, figure) for m, b in zip(mine, base, strict=True)]
    return statistics.median(mine), statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--granian", metavar="PYTHON", default="")
    parser.add_argument("--out", type=Path, default=FOLDER / "http_servers.json")
    given = parser.parse_args()
    if missing := missing_tools():
        raise SystemExit("\n".join(missing))
    servers = [name for name in SERVERS if given.granian or not name.startswith("granian")]
    runs: dict[tuple[str, str, str], list[Run]] = {}
    with tempfile.TemporaryDirectory() as folder:
        requests, load = requests_file(Path(folder)), LoadGenerator(Path(folder), LOAD_CORE)
        running: dict[tuple[str, str], tuple[int, subprocess.Popen[bytes]]] = {}
        try:
            for work in WORKS:
                for name in servers:
                    port = _PORT + len(running)
                    python = given.granian if name.startswith("granian") else sys.executable
                    running[work, name] = port, start(name, work, port, python)
                    load.closed(port, requests, 64, 1)  # warms it up
                rate = _SHARE * load.closed(running[work, _BASE][0], requests, 64, 2).rps
                for turn in range(given.turns):
                    # Each begins a turn equally often.
                    order = servers[turn % len(servers) :] + servers[: turn % len(servers)]
                    for how in (*_CONNECTIONS, 0):
                        for name in order:
                            port, process = running[work, name]
                            run = measured(
                                process.pid,
                                partial(load.closed, port, requests, how, given.seconds)
                                if how
                                else partial(load.fixed, port, requests, rate, given.seconds),
                            )
                            key = work, f"c={how}" if how else "fixed rate", name
                            runs.setdefault(key, []).append(run)
        finally:
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                process.wait(20)
    report(runs, given)


def report(runs: dict[tuple[str, str, str], list[Run]], given: argparse.Namespace) -> None:
    table = Table(
        "work", "load", "server", "requests/s", "ratio", "p99 ms", "ratio", "CPU us", "ratio"
    )
    rows: list[dict[str, Any]] = []
    for (work, how, name), mine in runs.items():
        base = runs[work, how, _BASE]
        figures = {figure: middle(mine, base, figure) for figure in ("rps", "p99_ms", "cpu_us")}
        cells = [f"{value:,.2f}" for pair in figures.values() for value in pair]
        table.add_row(work, how, name, *cells)
        told = {name: {"median": v, "ratio": r} for name, (v, r) in figures.items()}
        rows.append({"work": work, "load": how, "server": name, **told})
    Console(width=120).print(table)
    names = ("windvane", "uvicorn", "httptools", "uvloop", "msgspec")
    versions = {"python": platform.python_version(), **{name: version(name) for name in names}}
    if given.granian:
        command = "from importlib.metadata import version; print(version('granian'))"
        asked = subprocess.run(
            [given.granian, "-c", command], capture_output=True, text=True, check=True
        )
        versions["granian"] = asked.stdout.strip()
    body = {
        "machine": machine(),
        "versions": versions,
        "settings": {"turns": given.turns, "seconds": given.seconds, "share": _SHARE},
        "results": rows,
    }
    given.out.write_text(json.dumps(body, indent=1) + "\n")


if __name__ == "__main__":
    main()
