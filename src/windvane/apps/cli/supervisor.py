"""All processes of one machine under one parent."""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TextIO

import httpx

from windvane.core.errors import WindvaneError
from windvane.usecases.read_settings import HOME_VARIABLE, Settings

_log = logging.getLogger(__name__)
PROCESSES = ("gateway", "recorder", "steward", "console")
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 15.0
_CALM_AFTER_S = 30.0
_LONGEST_BACKOFF_S = 30.0
_PR_SET_PDEATHSIG = 1


class CannotStart(WindvaneError):
    """A process did not come up, or this home is already served."""

    code: ClassVar[str] = "SUP-101"
    hint = "the home's logs folder has each process's last words"


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    restart_at: float | None = None


class Supervisor:
    """Starts the processes, restarts those that die, stops them all together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._children: dict[str, _Child] = {}
        self._stopping = threading.Event()
        self._lock = self._claim()

    def start(self, on_ready: Callable[[str], None]) -> None:
        """Start all; ``on_ready`` hears of each that answers. Raises CannotStart."""
        for name in PROCESSES:
            self._children[name] = _Child(name, self._spawn(name))
        probes = {
            "gateway": f"http://{self._settings.host}:{self._settings.port}/healthz",
            "console": f"http://{self._settings.host}:{self._settings.console_port}/healthz",
        }
        deadline = time.monotonic() + _READY_WITHIN_S
        for name in PROCESSES:
            while name in probes and not _answers(probes[name]):
                child = self._children[name].process
                if child.poll() is not None or time.monotonic() > deadline:
                    words = _tail(self._folder / "logs" / f"{name}.log")
                    self.stop()
                    raise CannotStart(f"{name} did not come up:\n{words}")
                self._stopping.wait(0.1)
            on_ready(name)
        pids = {name: child.process.pid for name, child in self._children.items()}
        lines = "".join(f"{name} {pid}\n" for name, pid in pids.items())
        (self._folder / "pids").write_text(lines)

    def watch(self) -> None:
        """Until asked to stop: restart what died, each time after a longer pause."""
        while not self._stopping.wait(0.2):
            for child in self._children.values():
                self._tend(child)

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is left after the deadline."""
        self._stopping.set()
        alive = [c.process for c in self._children.values() if c.process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN_S
        for process in alive:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self._lock.close()

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.restart_at is not None:
            if now >= child.restart_at:
                child.process, child.started = self._spawn(child.name), now
                child.restart_at = None
                with (self._folder / "pids").open("a") as file:
                    file.write(f"{child.name} {child.process.pid}\n")
            return
        code = child.process.poll()
        if code is None:
            return
        child.failures = 0 if now - child.started > _CALM_AFTER_S else child.failures + 1
        pause = min(0.2 * 2.0**child.failures, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)
        _log.warning("%s ended with %s; starting it again in %.1f s", child.name, code, pause)
        child.restart_at = now + pause

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        logs = self._folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            HOME_VARIABLE: str(self._folder),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        with (logs / f"{name}.log").open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", f"windvane.apps.{name}"],
                env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - started before any thread
            )  # fmt: skip

    def _claim(self) -> TextIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = (self._folder / "up.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            hint = "stop the other `windvane up`, or give another --home"
            raise CannotStart(f"{self._folder} is already served", hint=hint) from error
        return file


def _end_with_parent() -> None:
    """The kernel ends the children should the supervisor be killed; nothing is orphaned."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-8:]) if path.is_file() else ""
