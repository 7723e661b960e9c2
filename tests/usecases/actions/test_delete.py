"""What serves is never deleted; what is deleted is gone with its files, and its record stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from usecases.harness import FILE, MODEL, Harness
from usecases.test_deliver_effects import deliver

from windvane.adapters.files import FileArtifacts
from windvane.ports.control_store import UnknownName
from windvane.usecases.actions import About
from windvane.usecases.actions.delete import CannotDelete


def with_files(harness: Harness, version: str, folder: str = "") -> Path:
    """The version's files, sealed, below the installation's folder."""
    path = harness.folder / "artifacts" / (folder or version)
    path.mkdir(parents=True)
    (path / "model.txt").write_text(version)
    manifest = FileArtifacts().seal(path)
    with harness.store.begin() as tx:
        held = tx.version(MODEL, version)
        tx.drop_version(MODEL, version)
        tx.add_version(replace(held, artifact=str(path), manifest=manifest))
    return path


@pytest.mark.parametrize(
    ("live", "role"),
    [
        ({"champion": "2"}, "the champion"),
        ({"champion": "1", "challenger": "2", "share": 0.1}, "being rolled out"),
        ({"champion": "1", "previous": "2"}, "what a rollback returns to"),
        ({"champion": "1", "standing_in": "2"}, "standing in for the champion"),
    ],
)
def test_a_version_that_is_in_use_stays(harness: Harness, live: Any, role: str) -> None:
    harness.put(**live)
    with pytest.raises(CannotDelete, match=f"version 2 of delay is {role}"):
        harness.act("delete-version", About.VERSION, version="2")
    with harness.store.read() as tx:
        assert tx.version(MODEL, "2")
    assert harness.decisions("delete_version") == []


def test_a_version_that_the_file_falls_back_to_stays(harness: Harness) -> None:
    harness.apply(FILE.replace("[previous,", "[{version: '2'}, previous,"))
    harness.put("1")
    with pytest.raises(CannotDelete, match=r"named by serve\.fallback"):
        harness.act("delete-version", About.VERSION, version="2")


def test_a_deleted_version_is_gone_with_its_files_and_trust(harness: Harness) -> None:
    harness.put("1")
    folder = with_files(harness, "2")
    harness.act("trust", About.VERSION, version="2")
    decision = harness.act("delete-version", About.VERSION, version="2", reason="never good")
    assert folder.exists(), "files go when the decision is certain"
    deliver(harness)
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []
    with harness.store.read() as tx:
        assert [v.version for v in tx.version_summaries(MODEL)] == ["1"]
        assert tx.trusted() == []
        assert tx.decision(decision.id).reason == "never good"
    with pytest.raises(UnknownName):
        harness.act("delete-version", About.VERSION, version="2")


def test_files_that_another_version_has_stay(harness: Harness) -> None:
    harness.put("1")
    folder = with_files(harness, "2")
    with harness.store.begin() as tx:
        tx.add_version(replace(tx.version(MODEL, "2"), version="3"))
    harness.act("trust", About.VERSION, version="2")
    harness.act("delete-version", About.VERSION, version="2")
    deliver(harness)
    assert folder.exists()
    with harness.store.read() as tx:
        assert [t.manifest for t in tx.trusted()] == [tx.version(MODEL, "3").manifest]


def test_a_folder_with_other_files_by_now_is_left_alone(harness: Harness) -> None:
    harness.put("1")
    folder = with_files(harness, "2")
    harness.act("delete-version", About.VERSION, version="2")
    (folder / "model.txt").write_text("another")
    FileArtifacts().seal(folder)
    deliver(harness)
    assert (folder / "model.txt").read_text() == "another"


def test_a_model_that_is_live_stays(harness: Harness) -> None:
    harness.put("1")
    with pytest.raises(CannotDelete, match="version 1 of delay is live") as raised:
        harness.act("delete")
    assert raised.value.advice == "`windvane undeploy delay`"


def test_a_deleted_model_leaves_its_decisions_and_nothing_else(harness: Harness) -> None:
    harness.put("1")
    folders = [with_files(harness, "1"), with_files(harness, "2")]
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    harness.traffic(12, refused={"AA": 90})
    harness.judge()
    (incident,) = harness.incidents()
    harness.act("silence", lasts_s=60.0)
    harness.act("undeploy")
    harness.act("delete", reason="retired")
    deliver(harness)
    assert not any(folder.exists() for folder in folders)
    with harness.store.read() as tx:
        assert tx.models() == []
        assert tx.version_summaries(MODEL) == []
        assert tx.sketches(MODEL, 0.0, 1e18) == []
        assert tx.verdicts(MODEL, "", 0.0, 10) == []
        assert tx.incidents("", 10) == []
        assert tx.notes(incident.id) == []
        assert tx.silences(0.0) == []
        assert {d.action for d in tx.decisions(MODEL, 100)} >= {"undeploy", "delete_model"}
