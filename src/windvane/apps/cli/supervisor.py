"""All processes of one machine under one parent."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import httpx

from windvane.apps.cli.child import Child, Inherited, spawn
from windvane.apps.cli.restarts import READY_WITHIN_S, STOP_WITHIN_S, Requests, clear_requests
from windvane.apps.cli.running import CannotStart
from windvane.usecases.read_settings import Settings

_log = logging.getLogger(__name__)
OTHERS = ("recorder", "steward", "console")
_CALM_AFTER_S = 30.0
_LONGEST_BACKOFF_S = 30.0
_TAIL = 8
_MOST_OF_A_LOG = 1 << 16


class Supervisor:
    """Starts the processes, restarts those that die, stops them all together.

    The gateway's workers accept from one socket and share one piece of memory; both belong to
    the supervisor, so that they outlive every worker. ``lock`` is the home's, held until all
    are stopped.
    """

    def __init__(self, settings: Settings, inherited: Inherited, lock: TextIO) -> None:
        self._settings = settings
        self._folder = settings.folder
        self._inherited = inherited
        self._children: list[Child] = []
        self._stopping = threading.Event()
        self._restart = threading.Event()
        self._lock = lock
        clear_requests(self._folder)
        self._up = False

    def start(self, on_ready: Callable[[str], None]) -> None:
        """Start all; ``on_ready`` hears of each that answers. Raises CannotStart."""
        for slot in range(self._settings.workers):
            self._spawn("gateway", slot)
        for name in OTHERS:
            self._spawn(name)
        for child in list(self._children):
            if not self._came_up(child):
                words = _tail(self._folder / "logs" / f"{child.name}.log")
                self.stop()
                raise CannotStart(f"{child.name} did not come up:\n{words}")
            on_ready(child.name)
        self._note_all()
        self._up = True

    def watch(self) -> None:
        """Until asked to stop: restart what died, each time after a longer pause."""
        while not self._stopping.wait(0.2):
            for child in self._children:
                self._tend(child)
            if self._restart.is_set():
                self._restart.clear()
                self._replace_workers()

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def ask_to_restart(self) -> None:
        """Replace the gateway's workers, one by one, each only when its successor answers."""
        self._restart.set()

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is left after the deadline."""
        self._stopping.set()
        _end([c for c in self._children if c.alive], self._settings.drain_s + STOP_WITHIN_S)
        self._inherited.close()
        self._lock.close()

    def _spawn(self, kind: str, slot: int = 0, *, predecessor: str = "") -> Child:
        child = spawn(kind, slot, self._settings, self._inherited, predecessor=predecessor)
        self._children.append(child)
        self._note(child)
        return child

    def _note_all(self) -> None:
        """Those that there are now, and no other."""
        lines = [f"{child.name} {child.process.pid}\n" for child in self._children]
        fresh = self._folder / "pids.new"
        fresh.write_text("".join([f"up {os.getpid()}\n", *lines]))
        fresh.replace(self._folder / "pids")

    def _note(self, child: Child) -> None:
        """A line for each start; the file is there once everything is up."""
        if not self._up:
            return
        with (self._folder / "pids").open("a") as file:
            file.write(f"{child.name} {child.process.pid}\n")

    def _came_up(self, child: Child) -> bool:
        deadline = time.monotonic() + READY_WITHIN_S
        console = (
            f"{self._settings.scheme}://{self._settings.host}:{self._settings.console_port}/healthz"
        )
        while child.alive and time.monotonic() < deadline and not self._stopping.is_set():
            if child.kind == "gateway":
                if child.reported_ready(within_s=0.1):
                    return True
            elif child.kind != "console" or _answers(console):
                return True
            else:
                self._stopping.wait(0.1)
        return False

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.restart_at is not None:
            if now >= child.restart_at:
                again = spawn(child.kind, child.slot, self._settings, self._inherited)
                child.take_over(again)
                self._note(child)
            return
        code = child.process.poll()
        if code is None:
            return
        child.failures = 0 if now - child.started > _CALM_AFTER_S else child.failures + 1
        pause = min(0.2 * 2.0**child.failures, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)
        _log.warning("%s ended with %s; starting it again in %.1f s", child.name, code, pause)
        child.restart_at = now + pause

    def _replace_workers(self) -> None:
        requests = Requests(self._folder)
        old = [c for c in self._children if c.kind == "gateway"]
        for number, worker in enumerate(old):
            taken = {c.slot for c in self._children if c.kind == "gateway"}
            free = next(i for i in range(len(taken) + 1) if i not in taken)
            reason = self._replace_worker(worker, free)
            with suppress(OSError):  # a full disk must not keep workers from being replaced
                self._note_all()
            if reason:
                rest = f"{len(old) - number} of {len(old)} workers stay as they are"
                _log.error("workers were not replaced: %s; %s", reason, rest)
                requests.end(f"{reason}\n{rest}")
                return
            requests.add_step(f"{number + 1} of {len(old)} workers replaced")
        requests.end()

    def _replace_worker(self, worker: Child, slot: int) -> str:
        """Put a fresh one in its place; why it could not take over, "" if it did."""
        name = f"gateway-{slot}" if slot else "gateway"
        log = self._folder / "logs" / f"{name}.log"
        begin = log.stat().st_size if log.is_file() else 0
        try:
            before = f"gateway-{worker.slot}" if worker.alive else ""
            fresh = self._spawn("gateway", slot, predecessor=before)
        except OSError as error:
            return f"{name} could not be started: {error.strerror}"
        if not self._came_up(fresh):
            code = fresh.process.poll()
            ended = f"ended with status {code}" if code is not None else "was not ready"
            waited = "" if code is not None else f" within {READY_WITHIN_S:.0f} s"
            _end([fresh], STOP_WITHIN_S)
            self._children.remove(fresh)
            words = _tail(log, begin)
            return f"{name} {ended}{waited}" + (f":\n{words}" if words else "")
        self._children.remove(worker)
        if worker.alive:
            _end([worker], self._settings.drain_s + STOP_WITHIN_S)
        _log.warning("%s gave way to %s", worker.name, fresh.name)
        return ""


def _end(children: Sequence[Child], within_s: float) -> None:
    for child in children:
        child.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + within_s
    for child in children:
        child.end_by(deadline)


def _answers(url: str) -> bool:
    """Whether it is up; whose certificate it shows is for its users to check."""
    try:
        return httpx.get(url, timeout=1.0, verify=False).status_code == 200  # noqa: S501
    except httpx.HTTPError:
        return False


def _tail(path: Path, begin: int = 0) -> str:
    """The last lines of a log, of those that lie at ``begin`` or later."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - _MOST_OF_A_LOG))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-_TAIL:])
