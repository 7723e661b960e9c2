"""How a command ends that somebody else ends: a status, and no trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import windvane

FILE = "model: delay\npredicts: {kind: binary}\nfeatures: {v: {f: {type: number}}}\n"
COMMAND = [sys.executable, "-m", "windvane.apps.cli.main"]
TRACES = ("Traceback", "Exception ignored", "KeyboardInterrupt")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ended")
    (folder / "model.yaml").write_text(FILE)
    (folder / "rows.csv").write_text("f,l,t\n1,1,1\n")
    (folder / "home").mkdir()
    (folder / "home" / "windvane.yaml").touch()
    run = subprocess.run(
        [*COMMAND, "apply", str(folder / "model.yaml"), "--home", str(folder / "home")],
        check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    assert b"applied" in run.stdout
    return folder


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell starts what it puts into the background with SIGINT ignored, and so does whatever
    that starts: tests may be run so, commands of a person are not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.mark.parametrize("whole_group", [False, True], ids=["kill -INT", "Ctrl-C"])
def test_an_interrupted_job_ends_with_130_and_without_a_trace(
    home: Path, silent: socket.socket, whole_group: bool
) -> None:
    address = f"http://127.0.0.1:{silent.getsockname()[1]}/v2/models/delay/versions/1"
    words = ["register", "delay", address, "--data", str(home / "rows.csv"), "--label", "l",
             "--time", "t", "--home", str(home / "home")]  # fmt: skip
    with subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        connection, _ = silent.accept()  # the job is at work, in a process of its own
        with connection:
            if whole_group:
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert not any(word in errors for word in TRACES), errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nothing of it is left


@pytest.mark.parametrize(
    "words", [["apply", "--schema"], ["status"], ["status", "--json"], ["key", "list"]],
    ids=" ".join,
)  # fmt: skip
def test_a_reader_that_went_away_ends_a_command_with_141(home: Path, words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*COMMAND, *words, "--home", str(home / "home")],
            stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(write)
    assert done.returncode == 141, done.stderr
    assert done.stderr == ""


def test_the_version_is_shown() -> None:
    done = subprocess.run(
        [*COMMAND, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"windvane {windvane.__version__}\n")
