"""Which home a command looks in, and what it says where none is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from windvane.apps.cli.home import NoHome, find_home, is_home
from windvane.apps.cli.main import app

TABLE = ["--data", "t.csv", "--label", "l", "--time", "t"]
# Whatever reads or changes what has to be there; `up` and `demo` alone begin a home.
COMMANDS = [
    ["status"], ["status", "m", "--json"], ["apply", __file__], ["key", "issue", "acme"],
    ["incidents"], ["incidents", "i"], ["close", "i"], ["silence", "m"], ["off", "m", "--yes"],
    ["delete", "m", "1", "--yes"],
    ["replay-decision", "d"], ["deploy", "m", "1"], ["explain-runtime", "m"], ["key", "list"],
    ["key", "rotate", "k"], ["key", "revoke", "k"], ["limit"], ["limit", "acme", "--remove"],
    ["limit", "acme", "--rate", "1 per minute"], ["trust", "m", "1"], ["audit"],
    ["train", "m", "t.csv", "--label", "l", "--time", "t"], ["register", "m", "s", *TABLE],
    ["watch", "m", *TABLE, "--output", "o"], ["profile", "m"],
    ["optimize", "m:1", "--int8", *TABLE], ["import-events", "m", "t.csv"],
]  # fmt: skip


def call(words: list[str], folder: Path) -> Any:
    return CliRunner().invoke(app, [*words, "--home", str(folder)])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_folder_without_an_installation_is_named_and_left_alone(
    words: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    done = call(words, folder)
    assert isinstance(done.exception, NoHome), done.output
    assert str(folder) in done.exception.message
    assert not folder.exists()


def test_a_change_says_which_home_took_it(tmp_path: Path) -> None:
    (tmp_path / "windvane.yaml").touch()
    done = call(["key", "issue", "acme"], tmp_path)
    assert done.stdout.startswith("wv_"), "a script reads the key alone"
    assert len(done.stdout.splitlines()) == 1
    assert f"home      {tmp_path}" in done.stderr
    assert "none runs on this home now" in done.stderr
    assert "acme" in call(["key", "list"], tmp_path).stdout


def test_the_home_is_the_nearest_one_above(tmp_path: Path) -> None:
    (tmp_path / ".windvane").mkdir()
    (tmp_path / ".windvane" / "windvane.yaml").write_text("")
    below = tmp_path / "a" / "b"
    (below / ".windvane").mkdir(parents=True)
    assert find_home({}, below, os.getuid()) == tmp_path / ".windvane", "an empty folder is none"
    (below / ".windvane" / "control.db").touch()
    assert find_home({}, below, os.getuid()) == below / ".windvane"
    assert find_home({"WINDVANE_HOME": "/x"}, below, os.getuid()) is None


def test_a_home_of_somebody_else_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / ".windvane").mkdir()
    (tmp_path / ".windvane" / "windvane.yaml").write_text("")
    assert is_home(tmp_path / ".windvane")
    assert find_home({}, tmp_path, os.getuid() + 1) is None
