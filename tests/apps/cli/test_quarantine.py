"""`windvane quarantine`, `windvane spools` and what `status` says of recording."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from event_rows import predicted_event
from typer.testing import CliRunner

from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli.main import app
from windvane.ports.control_store import Checkpoint, UnknownName
from windvane.ports.events import EVENT_ENCODER
from windvane.ports.quarantine import Counted, CountName, Quarantined
from windvane.usecases.recorded_until import SpoolStillThere

EVENT = EVENT_ENCODER.encode(
    predicted_event("e1", 5.0, "delay", "AA", "c", values=[1.5], outputs=[0.25])
)


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path) -> Path:
    (tmp_path / "windvane.yaml").write_text("")
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    with store.begin() as tx:
        for name, body, model in (("a1", EVENT, "delay"), ("b2", b"\xffno event", "")):
            size = len(body)
            item = Quarantined(name, "event", model, "AA", 5.0, "REC-106", "why", body, size, "m@7")
            tx.add_quarantined([item])
        tx.set_checkpoint(Checkpoint("m-w0", 10, 5.0, time.time()))
        tx.set_checkpoint(Checkpoint("gone-w0", 10, 4.0, 1_000.0, lost_bytes=7))
        tx.add_counts({Counted(CountName.SPOOL_LOST_BYTES): 7})
        tx.add_counts({Counted(CountName.LATE_EVENTS, "delay"): 3})
    store.close()
    return tmp_path


def call(home: Path, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--home", str(home)], env={"COLUMNS": "200"})


def read(home: Path, *words: str) -> Any:
    done = call(home, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_what_is_held_is_listed_without_its_body(home: Path) -> None:
    found = read(home, "quarantine", "list")
    assert [(one["id"], one["reason"], one["size"]) for one in found] == [
        ("a1", "REC-106", len(EVENT)), ("b2", "REC-106", 9),
    ]  # fmt: skip
    assert "body" not in found[0]
    assert [one["id"] for one in read(home, "quarantine", "list", "--model", "delay")] == ["a1"]
    assert read(home, "quarantine", "list", "--kind", "window") == []
    shown = call(home, "quarantine", "list").stdout
    assert "a1" in shown
    assert "REC-106" in shown
    assert call(home, "quarantine", "list", "--kind", "windows").exit_code == 2


def test_an_event_is_shown_by_its_fields_and_bytes_as_bytes(home: Path) -> None:
    content = read(home, "quarantine", "show", "a1")["content"]
    assert (content["kind"], content["event_id"], content["features"]) == ("Predicted", "e1", [1.5])
    assert "features = [1.5]" in call(home, "quarantine", "show", "a1").stdout
    assert read(home, "quarantine", "show", "b2")["content"].startswith("ff 6e 6f")
    assert isinstance(call(home, "quarantine", "show", "zz").exception, UnknownName)


def test_retry_marks_and_drop_forgets(home: Path) -> None:
    assert read(home, "quarantine", "retry", "a1") == {"retried": 1}
    assert {one["id"]: one["status"] for one in read(home, "quarantine", "list")} == {
        "a1": "retry", "b2": "held",
    }  # fmt: skip
    assert read(home, "quarantine", "retry", "--all") == {"retried": 1}
    assert read(home, "quarantine", "drop", "--model", "delay") == {"dropped": 1}
    assert read(home, "quarantine", "drop", "b2") == {"dropped": 1}
    assert read(home, "quarantine", "list") == []
    assert "nothing is set aside" in call(home, "quarantine", "list").stdout


@pytest.mark.parametrize("words", [[], ["a1", "--all"], ["--model", "delay", "--all"]])
@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_is_meant_is_said_in_one_way(home: Path, command: str, words: list[str]) -> None:
    assert call(home, "quarantine", command, *words).exit_code == 2
    assert len(read(home, "quarantine", "list")) == 2


def test_a_name_that_is_not_held_changes_nothing(home: Path) -> None:
    assert isinstance(call(home, "quarantine", "drop", "a1", "zz").exception, UnknownName)
    assert len(read(home, "quarantine", "list")) == 2


def test_spools_are_listed_and_one_that_is_gone_is_dropped(home: Path) -> None:
    found = {one["spool"]: one for one in read(home, "spools")}
    assert list(found) == [one["spool"] for one in read(home, "spools", "list")]
    assert (found["gone-w0"]["expired"], found["gone-w0"]["lost_bytes"]) == (True, 7)
    assert (found["m-w0"]["expired"], found["m-w0"]["position"]) == (False, 10)
    assert "expired" in call(home, "spools").stdout
    assert isinstance(call(home, "spools", "drop", "m-w0").exception, SpoolStillThere)
    assert read(home, "spools", "drop", "gone-w0") == {
        "spool": "gone-w0", "dropped": True, "lost_bytes": 10,
    }  # fmt: skip
    assert [one["spool"] for one in read(home, "spools")] == ["m-w0"]


def test_status_says_what_was_lost_late_and_set_aside(home: Path) -> None:
    recording = read(home, "status")["recording"]
    assert recording == {
        "recorded_until": 5.0, "spools": 2, "expired_spools": ["gone-w0"], "lost_bytes": 7,
        "late_events": {"delay": 3}, "quarantined": {"event REC-106": 2}, "not_held": 0,
    }  # fmt: skip
