"""A process that loads a version, answers one row with it, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from windvane.ports.trial import TooManyTrials, TrialOrder

_MODULE = "windvane.apps.gateway.trial"
_LONGEST = 2_000  # characters of what went wrong


class TrialProcess:
    """The trial port, by the gateway's own code. ``home``: the variable that names the home to it,
    and the home's folder. A trial that takes longer
    than ``within_s`` seconds is killed, with all that it started; ``at_once`` run at a time, and
    as many wait for them."""

    def __init__(self, home: tuple[str, Path], within_s: float = 120.0, at_once: int = 2) -> None:
        self._home, self._within_s = home, within_s
        self._asked = threading.BoundedSemaphore(2 * at_once)
        self._running = threading.BoundedSemaphore(at_once)

    def attempt(self, order: TrialOrder) -> str:
        if not self._asked.acquire(blocking=False):
            raise TooManyTrials("too many versions are being tried already")
        try:
            with self._running:
                return self._attempt(order)
        finally:
            self._asked.release()

    def _attempt(self, order: TrialOrder) -> str:
        variable, folder = self._home
        log = folder / "logs" / "trial.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE],
                env={**os.environ, variable: str(folder), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        try:
            said, _ = process.communicate(msgspec.msgpack.encode(order), self._within_s)
        except subprocess.TimeoutExpired:
            return f"neither loaded nor answered within {self._within_s:g} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if process.returncode:
            return f"its process ended with status {process.returncode}; see {log}"
        return said.decode(errors="replace")[:_LONGEST]
