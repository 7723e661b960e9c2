"""`windvane status` on the installation itself: what is wrong with it comes before the models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from windvane.adapters.clock import open_clock
from windvane.adapters.files import FilePendingRollbacks, FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli import running
from windvane.apps.cli.main import app
from windvane.ports.control_store import Checkpoint, UnknownName
from windvane.ports.pending_rollbacks import PendingRollback
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.leases import hold_shards
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.read_settings import find_settings


@pytest.fixture
def home(migrated_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    shutil.copy(migrated_file, folder / "control.db")
    return folder


@pytest.fixture
def up(home: Path) -> Iterator[Path]:
    """This very process holds the home, and a recorder and a steward were there a moment ago."""
    store, clock = SqlControlStore(f"sqlite:///{home / 'control.db'}"), open_clock("")
    issue_keys(store, clock, ["desk"], "test")
    publish_latest(store, FileRoutingFeed(home / "routing.json"))
    hold_shards(store, "one", 600.0)
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m-w0", 0, clock.wall(), seen_at=clock.wall()))
    store.close()
    with running.claim(find_settings({}, home)):
        yield home


def status(home: Path, *more: str) -> str:
    done = CliRunner().invoke(app, ["status", "--home", str(home), *more])
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def installation(home: Path) -> Any:
    return json.loads(status(home, "--json"))["installation"]


def test_that_the_disk_is_full_is_said(up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "disk" not in status(up)
    usage = shutil.disk_usage(up)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert status(up).startswith("disk down (HLT-611): it is full: 1 MB are free")
    assert {d["name"]: d["state"] for d in installation(up)["dependencies"]}["disk"] == "down"


def test_a_rollback_that_is_not_on_record_yet_is_said(up: Path) -> None:
    pending = FilePendingRollbacks(up / "pending")
    pending.add(PendingRollback("late", "2", 1.0, "cli:ana", ""))
    (up / "pending" / "x.json").write_text("{")
    said = status(up)
    assert "version 2 of late was rolled back without the control database" in said
    assert f"x.bad in {up / 'pending'} cannot be read" in said
    assert len(installation(up)["pending"]) == 2


def test_a_rollback_without_the_database_asks_the_routing_table(up: Path) -> None:
    (up / "control.db").rename(up / "away.db")
    done = CliRunner().invoke(app, ["rollback", "late", "--home", str(up)])
    assert done.exit_code == 1
    assert isinstance(done.exception, UnknownName | SystemExit)
    said = f"{done.output}{done.exception}"
    assert "the routing table has no model 'late'" in said
    done = CliRunner().invoke(app, ["abort", "late", "--home", str(up)])
    assert "STO-101" in f"{done.output}{done.exception}", "which waits for the database"


def test_that_nothing_is_up_is_said_first(home: Path) -> None:
    assert status(home).startswith("Nothing is up on")
    assert "no request is answered" in status(home)
    found = installation(home)
    assert (found["up"], found["status"]) == (False, "down")


def test_of_what_is_well_nothing_is_said(up: Path) -> None:
    assert status(up).startswith("No model yet")
    found = installation(up)
    assert (found["up"], found["status"]) == (True, "ready")


@pytest.mark.parametrize(("harm", "code"), [("damaged", "HLT-604"), ("missing", "HLT-605")])
def test_a_table_that_no_new_worker_could_read_is_named(up: Path, harm: str, code: str) -> None:
    file = up / "routing.json"
    if harm == "damaged":
        file.write_text("{broken")
    else:
        file.unlink()
    said = status(up)
    assert said.startswith("routing file")
    assert code in said
    assert "`windvane doctor` says what to do." in said
    found = installation(up)
    assert (found["up"], found["status"]) == (True, "degraded")
    assert code in {one["code"] for one in found["dependencies"]}
