"""Commands that a process of its own carries out: the libraries that it needs take seconds to
import, which no other command should pay for."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import typer

from windvane.usecases.read_settings import HOME_VARIABLE, Settings


def carry_out(job: str, settings: Settings, order: msgspec.Struct) -> None:
    """Raises typer.Exit with the job's own status."""
    environment = {**os.environ, HOME_VARIABLE: str(settings.folder)}
    command = [sys.executable, "-m", f"windvane.apps.trainer.{job}"]
    done = subprocess.run(command, input=msgspec.json.encode(order), env=environment, check=False)
    raise typer.Exit(done.returncode)


def listed(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
