"""One process under the supervisor, and what it inherits."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

from windvane.usecases.read_settings import (
    HOME_VARIABLE,
    LISTEN_FD_VARIABLE,
    PREDECESSOR_VARIABLE,
    READY_FD_VARIABLE,
    SHARED_FD_VARIABLE,
    WORKER_VARIABLE,
    Settings,
)

_PR_SET_PDEATHSIG = 1
_BACKLOG = 4_096
# The gateway's clients wait for it; nobody waits for these, so they yield when the CPU is short.
_NICENESS = {"recorder": 5, "steward": 10, "console": 5}


@dataclass(slots=True)
class Inherited:
    """The socket that all gateway workers accept from, whose queue outlives each of them, and
    the memory in which they count."""

    listener: socket.socket
    shared_fd: int

    def close(self) -> None:
        self.listener.close()
        os.close(self.shared_fd)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on ``host`` and ``port``; raises OSError where it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


@dataclass(slots=True)
class Child:
    """A process; ``slot`` numbers the gateway's workers. ``restart_at`` is set once it died."""

    kind: str
    slot: int
    process: subprocess.Popen[bytes]
    ready_fd: int = -1
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    restart_at: float | None = None

    @property
    def name(self) -> str:
        return self.kind if not self.slot else f"{self.kind}-{self.slot}"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def reported_ready(self, within_s: float) -> bool:
        """Whether it wrote to its pipe that it accepts connections."""
        if self.ready_fd < 0:
            return True
        readable, _, _ = select.select([self.ready_fd], [], [], within_s)
        if not readable or not os.read(self.ready_fd, 1):
            return False
        self._forget_pipe()
        return True

    def take_over(self, again: Child) -> None:
        """Go on with another process in this one's place."""
        self._forget_pipe()
        self.process, self.started = again.process, again.started
        self.ready_fd, self.restart_at = again.ready_fd, None

    def end_by(self, deadline: float) -> None:
        """Wait for its end until ``deadline`` (monotonic), then kill it."""
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        self._forget_pipe()

    def _forget_pipe(self) -> None:
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1


def spawn(
    kind: str, slot: int, settings: Settings, inherited: Inherited, *, predecessor: str = ""
) -> Child:
    """Start a process of this home; it ends with its parent. ``predecessor`` is the gateway's
    worker that answers and whose place it takes, by the name that it posts its metrics under: it
    comes up only with a routing table, and with what that one serves."""
    logs = settings.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        HOME_VARIABLE: str(settings.folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    passed: tuple[int, ...] = ()
    read_end, write_end = -1, -1
    if kind == "gateway":
        read_end, write_end = os.pipe()
        passed = (inherited.listener.fileno(), inherited.shared_fd, write_end)
        environment[WORKER_VARIABLE] = str(slot)
        environment[LISTEN_FD_VARIABLE], environment[SHARED_FD_VARIABLE] = map(str, passed[:2])
        environment[READY_FD_VARIABLE] = str(write_end)
        environment[PREDECESSOR_VARIABLE] = predecessor
    child = kind if not slot else f"{kind}-{slot}"
    niceness = _NICENESS.get(kind, 0)
    try:
        with (logs / f"{child}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"windvane.apps.{kind}"],
                env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                pass_fds=passed,
                preexec_fn=lambda: _prepare(niceness),  # noqa: PLW1509 - before any thread
            )  # fmt: skip
    finally:
        if write_end >= 0:
            os.close(write_end)
    return Child(kind, slot, process, read_end)


def _prepare(niceness: int) -> None:
    """The kernel ends the children should the supervisor be killed; nothing is orphaned."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.nice(niceness)
