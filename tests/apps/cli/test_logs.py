"""`windvane logs`: records of several processes in the order of time, bounded, and followed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from windvane.apps.cli.logs import Follower, NoLog, moment_of
from windvane.apps.cli.main import app


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "windvane.yaml").touch()
    (tmp_path / "logs" / "gateway.log").write_text(
        "2026-01-02 03:04:05,100 gateway-0 INFO one\n"
        "2026-01-02 03:04:05,300 gateway-0 ERROR three\n"
        "Traceback (most recent call last):\n  a line\n"
    )
    (tmp_path / "logs" / "gateway-1.log").write_text(
        "2026-01-02 03:04:05,400 gateway-1 INFO four\n"
    )
    (tmp_path / "logs" / "steward.log").write_text("2026-01-02 03:04:05,200 steward INFO two\n")
    return tmp_path


def call(home: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["logs", *words, "--home", str(home)])


def test_all_are_shown_in_the_order_of_time_with_their_traces(home: Path) -> None:
    said = [line.split()[-1] for line in call(home).stdout.splitlines()]
    assert said == ["one", "two", "three", "last):", "line", "four"]


def test_one_process_is_shown_and_gateway_means_its_workers(home: Path) -> None:
    assert [x["process"] for x in records(home, "steward")] == ["steward"]
    assert [x["process"] for x in records(home, "gateway")] == ["gateway", "gateway", "gateway-1"]
    assert [x["process"] for x in records(home, "gateway-1")] == ["gateway-1"]


def records(home: Path, *words: str) -> list[Any]:
    return [json.loads(line) for line in call(home, *words, "--json").stdout.splitlines()]


def test_the_latest_are_kept(home: Path) -> None:
    assert [r["text"].split()[4] for r in records(home, "--lines", "2")] == ["three", "four"]
    assert records(home, "--lines", "0") == []


def test_since_looks_back_so_far(home: Path) -> None:
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime())
    with (home / "logs" / "steward.log").open("a") as file:
        file.write(f"{now},000 steward INFO now\n")
    assert [r["text"].split()[-1] for r in records(home, "--since", "1h")] == ["now"]
    assert call(home, "--since", "soon").exit_code == 2


def test_a_process_without_a_log_names_the_closest(home: Path) -> None:
    done = call(home, "stewart")
    assert isinstance(done.exception, NoLog)
    assert done.exception.advice == "did you mean 'steward'?"


def test_both_forms_of_lines_say_when(home: Path) -> None:
    assert moment_of('{"at": "2026-01-02T03:04:05.678Z", "level": "info"}') == 1767323045.678
    text = moment_of("2026-01-02 03:04:05,678 steward INFO it")
    assert text is not None
    assert time.localtime(text)[:6] == (2026, 1, 2, 3, 4, 5)
    assert moment_of("  File 'x'") is None
    assert moment_of("2026-99-02 03:04:05,678 steward") is None


def test_a_log_that_was_cut_is_read_from_its_beginning(home: Path) -> None:
    path = home / "logs" / "steward.log"
    follower = Follower(path)
    assert len(list(follower.read())) == 1
    assert list(follower.read()) == []
    with path.open("a") as file:
        file.write("2026-01-02 03:04:06,000 steward INFO half")
    assert list(follower.read()) == [], "its end is not there yet"
    path.write_text("2026-01-02 03:04:07,000 s INFO cut\n")
    assert [r.text.split()[-1] for r in follower.read()] == ["cut"]
    path.unlink()
    path.write_text("2026-01-02 03:04:08,000 steward INFO replaced by a longer one\n" * 2)
    assert len(list(follower.read())) == 2


def test_what_would_move_a_cursor_is_not_passed_on(home: Path) -> None:
    (home / "logs" / "steward.log").write_text("2026-01-02 03:04:05,200 steward INFO \x1b[2Jgone\n")
    assert "\x1b" not in call(home, "steward").stdout


def test_it_is_followed_until_ctrl_c(home: Path) -> None:
    command = [sys.executable, "-m", "windvane.apps.cli.main", "logs", "-f", "--home", str(home)]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert "one" in process.stdout.readline()
        with (home / "logs" / "recorder.log").open("w") as file:
            file.write("2026-01-02 03:04:09,000 recorder INFO a process that began later\n")
        while "began later" not in (line := process.stdout.readline()):
            assert line, "it ended"
        process.send_signal(2)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
