"""Asking the supervisor to replace its workers, and what came of it.

A request is an empty file in the home's folder `restarts`, and a SIGHUP; the answer is written
into that file, step by step.
"""

from __future__ import annotations

import enum
import os
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec

from windvane.apps.cli.running import Holder, find_holder
from windvane.core.errors import WindvaneError
from windvane.usecases.read_settings import Settings

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0
_FOLDER = "restarts"
_LOOK_EVERY_S = 0.1


class NotRunning(WindvaneError):
    """No supervisor runs on this home."""

    code: ClassVar[str] = "SUP-102"
    hint = "start it with `windvane up`"


class RestartFailed(WindvaneError):
    """A new worker did not take over; the old ones that were left go on."""

    code: ClassVar[str] = "SUP-103"
    hint = "mend what its log says, then `windvane restart` again: no request was lost"


class State(enum.StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Report(msgspec.Struct, frozen=True):
    """How far a replacement is. ``steps`` are sentences; ``reason`` says why it failed."""

    state: State
    steps: tuple[str, ...] = ()
    reason: str = ""


class Requests:
    """The supervisor's side: the requests that one replacement answers."""

    def __init__(self, folder: Path) -> None:
        root = folder / _FOLDER
        self._files = [file for file in root.glob("[!.]*") if _is_open(file)]
        self._steps: tuple[str, ...] = ()
        self._write(State.RUNNING)

    def add_step(self, sentence: str) -> None:
        self._steps = (*self._steps, sentence)
        self._write(State.RUNNING)

    def end(self, reason: str = "") -> None:
        """``reason`` why it failed, "" if it did not."""
        self._write(State.FAILED if reason else State.DONE, reason)

    def _write(self, state: State, reason: str = "") -> None:
        body = msgspec.json.encode(Report(state, self._steps, reason))
        for file in self._files:
            if not file.exists():  # whoever asked has gone
                continue
            fresh = file.parent / f".{file.name}.new"
            with suppress(OSError):  # a full disk must not keep workers from being replaced
                fresh.write_bytes(body)
                fresh.replace(file)


def _is_open(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except OSError:
        return False


def clear_requests(folder: Path) -> None:
    """Forget those of an earlier supervisor."""
    for file in (folder / _FOLDER).glob("*"):
        file.unlink(missing_ok=True)


def restart_workers(settings: Settings, on_step: Callable[[str], None], *, wait: bool) -> Report:
    """Ask the supervisor of this home to replace its workers, and wait until it has.

    Each worker has the time that the supervisor gives it; where nothing is heard for longer than
    that, or a new worker did not take over, RestartFailed is raised. Raises NotRunning.
    """
    holder = _running(settings.folder)
    file = settings.folder / _FOLDER / secrets.token_hex(8)
    file.parent.mkdir(exist_ok=True)
    file.touch()
    try:
        os.kill(holder.pid, signal.SIGHUP)
    except ProcessLookupError:
        file.unlink(missing_ok=True)
        raise NotRunning(f"nothing is up on {settings.folder}") from None
    if not wait:
        return Report(State.RUNNING)
    try:
        return _await(settings, holder, file, on_step)
    finally:
        file.unlink(missing_ok=True)


def _await(
    settings: Settings, holder: Holder, file: Path, on_step: Callable[[str], None]
) -> Report:
    patience = READY_WITHIN_S + settings.drain_s + 2 * STOP_WITHIN_S
    shown, deadline = 0, time.monotonic() + patience
    while True:
        report = _read(file)
        for sentence in report.steps[shown:]:
            on_step(sentence)
            deadline = time.monotonic() + patience
        shown = len(report.steps)
        if report.state is State.DONE:
            return report
        if report.state is State.FAILED:
            raise RestartFailed(report.reason)
        if not _is_alive(holder.pid):
            raise RestartFailed("`windvane up` ended meanwhile", hint="start it again")
        if time.monotonic() >= deadline:
            raise RestartFailed(
                f"nothing was heard of the supervisor for {patience:.0f} s",
                hint="the home's logs folder has each process's last words",
            )
        time.sleep(_LOOK_EVERY_S)


def _running(folder: Path) -> Holder:
    holder = find_holder(folder)
    if holder is None:
        raise NotRunning(f"nothing is up on {folder}")
    return holder


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _read(file: Path) -> Report:
    try:
        body = file.read_bytes()
    except FileNotFoundError:
        body = b""
    return msgspec.json.decode(body, type=Report) if body else Report(State.RUNNING)
