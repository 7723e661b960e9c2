"""Commands that a process of its own carries out: the libraries that it needs take seconds to
import, which no other command should pay for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import typer

from windvane.apps.cli.changes import say_home
from windvane.usecases.read_settings import HOME_VARIABLE, Settings

_END_WITHIN_S = 30.0
_REPEAT_S = 0.5
_INTERRUPTED = 130


def carry_out(job: str, settings: Settings, order: msgspec.Struct, *, changes: bool = True) -> None:
    """A job of the trainer, which ``changes`` the home. Raises typer.Exit with the job's own
    status."""
    environment = {HOME_VARIABLE: str(settings.folder)}
    if changes:
        say_home(settings)
    raise typer.Exit(run_module(["windvane.apps.trainer", job], order, environment))


def run_module(words: Sequence[str], order: Any, environment: Mapping[str, str]) -> int:
    """The exit status of ``python -m WORDS``, with the order as JSON on its standard input.

    Ctrl-C is handed on, and the process has half a minute to clean up after itself; then it is
    killed. The status is 130 in both cases.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", *words],
        stdin=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as process:
        try:
            process.communicate(msgspec.json.encode(order))
        except KeyboardInterrupt:
            _end(process)
            return _INTERRUPTED
        except BrokenPipeError:  # it ended before it read, and says why itself
            process.wait()
        # Ended by a signal: as a shell has it.
        return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """A terminal sends Ctrl-C to both processes, `kill -INT` to one: the job takes the first
    SIGINT that it gets and ignores the others, which may come before it can take any."""
    deadline = time.monotonic() + _END_WITHIN_S
    while process.poll() is None:
        if time.monotonic() >= deadline:
            process.kill()
            process.wait()
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_REPEAT_S)
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:  # a second Ctrl-C: nobody waits any longer
            process.kill()
            process.wait()
            return


def listed(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
