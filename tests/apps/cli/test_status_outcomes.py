"""What `status MODEL` tells of outcomes, to people and to machines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from windvane.adapters.delta import DeltaEventLog
from windvane.apps.cli.main import app
from windvane.ports.event_log import LogEntry
from windvane.ports.events import OutcomeSeen

FILE = "model: delay\npredicts: {kind: binary}\nfeatures: {v: {f: {type: number}}}\n"


def call(home: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--home", str(home)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_outcomes_that_join_nothing_are_told_by_tenant(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "windvane.yaml").touch()
    (tmp_path / "model.yaml").write_text(FILE)
    call(home, "apply", str(tmp_path / "model.yaml"))
    assert "outcomes of" not in call(home, "status", "delay")
    events = [
        OutcomeSeen(f"e{i}", time.time() - 60, "delay", tenant, "c", f"p{i}", 0, 1.0)
        for i, tenant in enumerate(["acme", "acme", "bolt"])
    ]
    entries = [LogEntry("w", i, event) for i, event in enumerate(events)]
    DeltaEventLog(str(home / "log")).append("w", 9, entries, {})
    (told,) = json.loads(call(home, "status", "delay", "--json"))["models"]
    assert [(one["tenant"], one["unknown"], one["joined"]) for one in told["outcomes"]] == [
        ("acme", 2, 0),
        ("bolt", 1, 0),
    ]
    shown = call(home, "status", "delay")
    assert "outcomes of" in shown
    assert [line.split()[:3] for line in shown.splitlines() if line.startswith("acme")] == [
        ["acme", "0", "2"]
    ]
    (other,) = json.loads(call(home, "status", "--json"))["models"]
    assert "outcomes" not in other, "of all models it would read all of their logs"
