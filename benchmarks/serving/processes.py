"""Servers as processes: pinned to one core, waited for, measured and ended with all they began."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOP_WITHIN_S = 15.0
_KILL_WITHIN_S = 5.0
_LOOK_S = 1.0
_MARK = "BENCH_SERVER"
_RESTING = 0.25  # of a core: pollers and timers are not work


class ServerFailed(RuntimeError):
    """A server did not come up, died, or gave another answer than the model's."""


class Running:
    """A server and everything that it started, on one core, or on those of a list as of taskset."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int | str,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        adopt_orphans()
        self._log = log
        mark = secrets.token_hex(8)
        self._marked = f"{_MARK}={mark}".encode()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                cwd=folder, env={**os.environ, **environment, _MARK: mark},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - the benchmark has no threads
            )  # fmt: skip

    @property
    def pids(self) -> set[int]:
        """Of all its processes, those that outlived their parents too: they have its mark."""
        first, children = self._process.pid, _children()
        here = _below(os.getpid(), children)
        below = {first, *_below(first, children)} & here
        return below | {pid for pid in here - below if self._is_marked(pid)}

    def _is_marked(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return self._marked in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False

    def check(self) -> None:
        """Raise ServerFailed, with its last words, if it is gone."""
        code = self._process.poll()
        if code is not None:
            raise ServerFailed(f"ended with {code}:\n{self.last_words()}")

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])

    def memory_mib(self) -> float:
        """Of all processes; a page that several share counts once."""
        return sum(_kib(pid, "smaps_rollup", "Pss:") for pid in self.pids) / 1024

    def settle(self, within_s: float) -> float:
        """Wait until it rests; the processor seconds that it used meanwhile.

        What a server puts off until after the load is work all the same.
        """
        began = before = self.busy_s()
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            now = self.busy_s()
            if now - before < _RESTING * _LOOK_S:
                break
            before = now
        return max(0.0, before - began)

    def freeze(self) -> None:
        """All its processes stand still. A server at rest has work of its own from time to time,
        and what is niced gives way within its own session only (sched_autogroup)."""
        self._signal_all(signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self, within_s: float) -> Generator[None]:
        """Goes on, rests before the block begins, and stands still again after it."""
        self._signal_all(signal.SIGCONT)
        self.settle(within_s)
        try:
            yield
        finally:
            self.freeze()

    def _signal_all(self, number: int) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def busy_s(self) -> float:
        """Processor seconds of all its processes so far."""
        return sum(_busy_ticks(pid) for pid in self.pids) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """SIGTERM to the first process, then to what is left, then SIGKILL; each by its id."""
        self._signal_all(signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        if not self._gone(_STOP_WITHIN_S, only_first=True):
            self._process.kill()
        for number, within_s in ((signal.SIGTERM, _KILL_WITHIN_S), (signal.SIGKILL, 60.0)):
            self._signal_all(number)
            if self._gone(within_s):
                return
        raise ServerFailed(f"processes {sorted(self.pids)} cannot be ended")

    def _gone(self, within_s: float, *, only_first: bool = False) -> bool:
        deadline = time.monotonic() + within_s
        while True:
            first_gone = self._process.poll() is not None
            for pid in self.pids - {self._process.pid}:
                # Orphans have become ours; the children of others are not, and stay.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if first_gone and (only_first or not self.pids):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def adopt_orphans(*, adopt: bool = True) -> None:
    """What a server's process leaves behind becomes a child of this one, so it can be found; it
    is this one then that has to wait for it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt))


def _children() -> Mapping[int, Sequence[int]]:
    """Of each process that has any; living and not yet reaped ones."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # The name, in brackets, may hold anything; the state and the parent come after it.
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(folder.name))
    return children


def _below(pid: int, children: Mapping[int, Sequence[int]]) -> set[int]:
    """Its children and theirs."""
    found: set[int] = set()
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found.update(below)
        todo.extend(below)
    return found


def resident_mib(pid: int) -> float:
    """What `ps` calls RSS."""
    return _kib(pid, "status", "VmRSS:") / 1024


def free_port(together: int = 3) -> int:
    """A port that is free, as are those after it, ``together`` in all."""
    for _ in range(100):
        with contextlib.ExitStack() as held:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                for after in range(port + 1, port + together):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", after))
            except (OSError, OverflowError):
                continue
            return port
    raise ServerFailed(f"no {together} free ports in a row")


def _kib(pid: int, file: str, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def _busy_ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _end_with_parent() -> None:
    """The kernel ends the server should the benchmark be killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
