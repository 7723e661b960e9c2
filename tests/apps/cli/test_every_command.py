"""What holds for each command of the tree, whoever adds one."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import docs.documented as d
import pytest
from typer.testing import CliRunner

from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli.main import app
from windvane.core.authorization import parse_grants
from windvane.core.journal import Decision
from windvane.core.sketch import Layout, NumericAxis
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    ModelRecord,
    Silence,
    VersionRecord,
)
from windvane.ports.incidents import ActionItem
from windvane.ports.quarantine import Quarantined
from windvane.ports.users import UserRecord

COMMANDS = sorted(d.commands())
NO_HOME = {
    "check",
    "completion",
    "demo",
    "explain-code",
}  # of no installation; the demo's own `--home` is made anew
# What is started elsewhere, or lasts: their own tests look at what they print.
ELSEWHERE = {
    "backtest", "check",
    "up", "restart", "demo", "train", "register", "watch", "profile", "optimize", "import-events",
    "replay-decision", "environments", "restore", "user add", "user password", "labels sample",
    "labels import",
}  # fmt: skip
FILE = "model: a-model-with-a-rather-long-name\nfeatures: {v: {f: {type: number}}}\n"
MODEL = "a-model-with-a-rather-long-name"
SECOND, THIRD, PAUSED = "another", "rolling-out-and-off", "paused"
DECISION = "dec-" + "7" * 32
INCIDENT = "inc-0123456789abcdef0123456789abcdef"
OPEN = "inc-of-a-canary"
CHANGED = "inc-of-inputs"


def call(*words: str, **environment: str) -> Any:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "80", **environment})


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "logs").mkdir(parents=True)
    (folder / "windvane.yaml").touch(0o600)
    folder.chmod(0o700)
    (folder / "logs" / "steward.log").write_text("2026-01-02 03:04:05,678 steward INFO it runs\n")
    (tmp_path / "model.yaml").write_text(FILE)
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    layout = Layout((NumericAxis("output", (0.5,)),))
    with store.begin() as tx:
        tx.put_model(ModelRecord(MODEL, FILE, 0.0))
        tx.put_layout(layout)
        tx.add_version(VersionRecord(MODEL, "1", "", "", layout.id, (), {}, {}, b"", 0.0))
        title = "a long title " * 9
        tx.put_incident(
            Incident(INCIDENT, MODEL, "c", "feed", "high", title, 0.0, 0.0, None, "o", "r")
        )
        verdict = Verdict(Outcome.FAIL, "FEA-201", "a sentence with both of its sides " * 5)
        second = FILE.replace(MODEL, SECOND)
        tx.put_model(ModelRecord(SECOND, second, 0.0))
        tx.put_deployment(Deployment(SECOND, "2", previous="1"))
        tx.put_model(ModelRecord(THIRD, FILE.replace(MODEL, THIRD), 0.0))
        tx.put_deployment(Deployment(THIRD, "1", challenger="2", share=0.1, off=True))
        tx.put_model(ModelRecord(PAUSED, FILE.replace(MODEL, PAUSED), 0.0))
        tx.put_deployment(Deployment(PAUSED, "1", challenger="2", share=0.1, paused="user:ana"))
        tx.put_incident(
            Incident(CHANGED, SECOND, "input_shift:x", "input_shift", "low", "t", 0.0, 0.0, None,
                     "o", "r", members=("sudden_shift/input_shift:x",), sources=("x",))
        )  # fmt: skip
        tx.put_incident(
            Incident(OPEN, THIRD, "canary/2", "canary", "high", "t", 0.0, 0.0, None, "o", "r")
        )
        tx.put_action_item(
            ActionItem("item", MODEL, INCIDENT, "w", "ana", 1.0, "a", "open", "user:ana", 0.0)
        )
        tx.add_quarantined(
            [Quarantined("q1", "event", MODEL, "AA", 5.0, "REC-101", "m", b"{}", 2, "m@7")]
        )
        tx.put_silence(Silence("planned", "", "", 1e11, "user:ana", "r", planned=True))
        tx.set_checkpoint(Checkpoint("gone-w0", 0, 0.0, seen_at=0.0))
        tx.put_user(UserRecord("ana", "", parse_grants(["viewer"]), 0.0, 0.0))
        tx.decide(Decision(DECISION, MODEL, "", "features", "note", 0.0, {}, {}, verdict))
    store.close()
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_it_has_json_a_home_and_its_statuses(command: str) -> None:
    options = d.commands()[command]
    assert "--json" in options
    assert command in NO_HOME or "--home" in options
    shown = call(*command.split(), "--help")
    assert shown.exit_code == 0
    assert "Exit status: 0 done" in shown.stdout
    assert shown.stdout == call(*command.split(), "-h").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_its_help_fits_80_columns_and_has_a_sentence(command: str) -> None:
    shown = call(*command.split(), "--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert re.search(r"^ [A-Z].*[a-z]", shown, re.MULTILINE), "what it does"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_answered_with_the_closest(command: str) -> None:
    done = call(*command.split(), "--jsno")
    assert (done.exit_code, done.stdout) == (2, "")
    sentence, hint = done.stderr.splitlines()
    assert sentence == f"windvane {command}: there is no option '--jsno'"
    assert "did you mean '--json'?" in hint


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["satus"], "'status'"), (["key", "lits"], "'list'"), (["key", "revok"], "'revoke'")],
)
def test_an_unknown_command_is_answered_with_the_closest(words: list[str], hint: str) -> None:
    done = call(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"did you mean {hint}?" in done.stderr


def words_of(command: str, home: Path) -> list[str]:
    """Arguments with which it says something on that home."""
    return {
        "apply": [str(home.parent / "model.yaml")],
        "deploy": [MODEL, "1", "--force"],
        "explain-runtime": [MODEL, "1"],
        "key issue": ["acme"],
        "key rotate": ["KEY"],
        "key revoke": ["KEY"],
        "trust": [MODEL, "1"],
        "rollback": [SECOND],
        "abort": [THIRD],
        "rollout status": [THIRD],
        "rollout list": [THIRD],
        "rollout pause": [THIRD],
        "rollout resume": [PAUSED],
        "rollout skip": [THIRD, "--reason", "r"],
        "rollout share": [THIRD, "20%"],
        "undeploy": [SECOND, "--yes"],
        "off": [SECOND, "--yes"],
        "on": [THIRD],
        "delete": [MODEL, "--yes"],
        "acknowledge": [INCIDENT],
        "update": [INCIDENT],
        "maintenance add": ["--for", "2h", "--reason", "r"],
        "maintenance cancel": ["planned"],
        "accept": [CHANGED],
        "silence": [MODEL],
        "close": [OPEN, "--grade", "true", "--runbook-change", "none"],
        "grade": [INCIDENT, "false"],
        "postmortem": [INCIDENT],
        "action-items add": [
            INCIDENT,
            "--what",
            "w",
            "--owner",
            "ana",
            "--due",
            dt.datetime.fromtimestamp(time.time() + 30 * 86_400.0, dt.UTC).date().isoformat(),
            "--acceptance",
            "a",
        ],
        "action-items set": ["item", "done"],
        "backup": [str(home.parent / "backup.tar")],
        "spools drop": ["gone-w0"],
        "quarantine show": ["q1"],
        "quarantine drop": ["--all"],
        "quarantine retry": ["--all"],
        "user role": ["ana", "operator"],
        "user remove": ["ana"],
        "completion": ["bash"],
        "explain-code": ["GAT-101"],
        "quality": [MODEL],
    }.get(command, [])


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - ELSEWHERE))
def test_json_is_one_document_and_nothing_else(command: str, home: Path) -> None:
    key = json.loads(call("key", "issue", "acme", "--home", str(home), "--json").stdout)["id"]
    words = [key if word == "KEY" else word for word in words_of(command, home)]
    where = [] if command in NO_HOME else ["--home", str(home)]
    done = call(*command.split(), *words, *where, "--json")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)


@pytest.mark.parametrize("command", ["status", "incidents", "key list", "limit", "audit"])
def test_a_pipe_gets_plain_lines(command: str, home: Path) -> None:
    call("limit", "acme", "--concurrent", "3", "--home", str(home))
    done = call(*command.split(), "--home", str(home), COLUMNS="20", FORCE_COLOR="")
    assert "\x1b" not in done.stdout
    assert done.exit_code == 0


def in_a_terminal(home: Path, *words: str, **environment: str) -> str:
    """What a terminal of 80 columns gets."""
    ours, theirs = pty.openpty()
    given = {**os.environ, "WINDVANE_HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "80"}
    try:
        subprocess.run(
            [sys.executable, "-m", "windvane.apps.cli.main", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, timeout=60, check=False,
            env={**given, **environment},
        )  # fmt: skip
        os.set_blocking(ours, False)
        return os.read(ours, 1 << 16).decode().replace("\r\n", "\n")
    finally:
        os.close(ours)
        os.close(theirs)


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_table_fits_80_columns_and_cuts_no_id(home: Path) -> None:
    for command, whole in (("incidents", INCIDENT), ("status", MODEL), ("status", DECISION)):
        shown = visible(in_a_terminal(home, command))
        assert whole in shown
        assert max(map(len, shown.splitlines())) <= 80


def test_an_error_wraps_in_a_terminal_only(home: Path) -> None:
    words = ["deploy", "a-model-that-is-not-there-and-has-a-long-name-" * 2, "1"]
    shown = visible(in_a_terminal(home, *words))
    assert max(map(len, shown.splitlines())) <= 80
    piped = subprocess.run(
        [sys.executable, "-m", "windvane.apps.cli.main", *words], capture_output=True, text=True,
        timeout=60, check=False, env={**os.environ, "WINDVANE_HOME": str(home), "COLUMNS": "80"},
    )  # fmt: skip
    assert [line[:2] for line in piped.stderr.splitlines()] == ["ST", "  ", "  "], piped.stderr


def test_no_color_is_obeyed(home: Path) -> None:
    words = ["deploy", "nobody", "1"]
    assert "\x1b[31m" in in_a_terminal(home, *words), "red, where nothing forbids it"
    assert not re.search(r"\x1b\[[0-9;]*3\d", in_a_terminal(home, *words, NO_COLOR="1"))


@pytest.mark.parametrize(
    ("shell", "typed", "found"),
    [
        ("bash", "windvane inc", "incidents"),
        ("bash", "windvane status --js", "--json"),
        ("zsh", "windvane key ro", "rotate"),
        ("fish", "windvane explain-r", "explain-runtime"),
    ],
)
def test_a_shell_is_told_what_can_come_next(shell: str, typed: str, found: str) -> None:
    environment = {
        "_WINDVANE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert found in call(**environment).stdout


def test_bash_takes_the_script() -> None:
    script = call("completion", "bash").stdout
    done = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p windvane"], capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert "_windvane_completion" in done.stdout, done.stderr
    assert "compdef" in call("completion", "zsh").stdout
    assert call("completion", "fish").stdout.startswith("complete --command windvane")
