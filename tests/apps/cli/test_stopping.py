"""`windvane stop`: the very process that holds a home, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from windvane.apps.cli.main import app
from windvane.apps.cli.running import LOCK, Holder, find_holder, started_at
from windvane.apps.cli.stopping import StopFailed, end_process

HOLD = """
import signal, sys
from pathlib import Path
from windvane.apps.cli import running
from windvane.usecases.read_settings import find_settings
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = running.claim(find_settings({}, Path(sys.argv[1])))
print("held", flush=True)
signal.pause()
"""


@contextmanager
def holding(home: Path, how: str = "") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home), how], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "windvane.yaml").touch()
    return tmp_path


def test_who_holds_the_home_is_ended_and_waited_for(home: Path) -> None:
    with holding(home) as process:
        done = CliRunner().invoke(app, ["stop", "--home", str(home)])
        assert done.exit_code == 0, done.output
        assert f"stopped: process {process.pid}" in done.stdout
        assert process.wait(1) == -15
    assert find_holder(home) is None


def test_nothing_to_stop_is_said(home: Path) -> None:
    done = CliRunner().invoke(app, ["stop", "--home", str(home)])
    assert (done.exit_code, done.stdout) == (0, f"nothing is up on {home}\n")


def test_another_process_with_the_same_number_is_left_alone(home: Path) -> None:
    with holding(home) as process:
        holder = find_holder(home)
        assert holder == Holder(
            process.pid, holder.addresses if holder else {}, started_at(process.pid)
        )
        assert holder.started > 0
        earlier = msgspec.structs.replace(holder, started=holder.started - 1)
        (home / LOCK).write_bytes(msgspec.json.encode(earlier))
        done = CliRunner().invoke(app, ["stop", "--home", str(home)])
        assert isinstance(done.exception, StopFailed)
        assert "is another by now" in done.exception.message
        assert process.poll() is None


def test_one_that_does_not_end_is_given_up(home: Path) -> None:
    with holding(home, "deaf") as process:
        holder = find_holder(home)
        assert holder is not None
        with pytest.raises(StopFailed, match="did not end within 0 s") as raised:
            end_process(holder, 0.2)
        assert f"kill -KILL {process.pid}" in raised.value.advice
        assert process.poll() is None


def test_one_that_has_ended_meanwhile_is_no_error() -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    end_process(Holder(gone, {}, 1), 1.0)
