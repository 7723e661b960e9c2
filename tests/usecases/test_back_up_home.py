"""A backup holds one moment, whatever is written, released or rewritten meanwhile."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from event_rows import predicted_event
from usecases.backups import CONTRACT, back_up, fill, restore

from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog, DeltaLogCopies
from windvane.adapters.spool import FileSpoolCopies, FileSpoolReader, FileSpoolWriter
from windvane.adapters.sql import SqlControlCopies, SqlControlStore
from windvane.adapters.sqlite import SqliteCopies
from windvane.ports.backups import BackupFailed, BackupManifest
from windvane.ports.control_store import Checkpoint, ModelRecord
from windvane.ports.event_log import LogEntry
from windvane.usecases.back_up_home import name_backup


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    fill(folder, store)
    store.close()
    return folder


def manifest(file: Path) -> BackupManifest:
    with tarfile.open(file) as tar:
        content = tar.extractfile("manifest.json")
        assert content is not None
        return msgspec.json.decode(content.read(), type=BackupManifest)


def nothing(more: int) -> None:
    del more


def spooled(folder: Path, events: int, segment_bytes: int = 64) -> FileSpoolWriter:
    writer = FileSpoolWriter(folder, segment_bytes=segment_bytes)
    for i in range(events):
        writer.append(b"event %03d" % i)
    return writer


def test_segments_that_are_released_meanwhile_are_in_the_copy(tmp_path: Path) -> None:
    spooled(tmp_path / "w", 40).close()
    with FileSpoolCopies(tmp_path).hold() as held:
        FileSpoolReader(tmp_path).release("w", 1 << 40)
        assert len(list((tmp_path / "w").glob("*.spool"))) == 1
        held.look_again()
        pieces, missing = held.cut({})
        copy = tmp_path / "copy" / "w"
        copy.mkdir(parents=True)
        for piece in pieces:
            (copy.parent / piece.name).write_bytes(piece.file.read(piece.size))
    assert list(missing) == []
    found: list[bytes] = []
    batch = FileSpoolReader(copy.parent).read("w", 0, 1 << 20)
    while batch.payloads:
        found += [body for _, body in batch.payloads]
        batch = FileSpoolReader(copy.parent).read("w", batch.end, 1 << 20)
    assert found == [b"event %03d" % i for i in range(40)]


def test_a_segment_that_came_and_went_between_two_looks_is_missed(tmp_path: Path) -> None:
    writer = spooled(tmp_path / "w", 1)
    with FileSpoolCopies(tmp_path).hold() as held:
        for i in range(40):
            writer.append(b"more %d" % i)
        FileSpoolReader(tmp_path).release("w", 1 << 40)
        held.look_again()
        _, missing = held.cut({"w": 10})
        assert len(missing) == 1
        assert "spool w" in missing[0]
        recorded = int(min((tmp_path / "w").glob("*.spool")).name[:20])
        assert held.cut({"w": recorded})[1] == [], "what was recorded need not be there"
    writer.close()


def test_an_event_that_is_being_written_is_not_in_the_copy(tmp_path: Path) -> None:
    spooled(tmp_path / "w", 3, 1 << 20).close()
    (file,) = (tmp_path / "w").glob("*.spool")
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes() + file.read_bytes()[:-4][:11])
    with FileSpoolCopies(tmp_path).hold() as held:
        ((piece,), _) = held.cut({})
        assert piece.size == whole


def test_a_gap_that_stays_is_told_and_no_reason_to_have_no_backup(
    home: Path, tmp_path: Path
) -> None:
    spooled(home / "spool" / "m", 40).close()
    first, second = sorted((home / "spool" / "m").glob("*.spool"))[:2]
    store = SqlControlStore(f"sqlite:///{home / 'control.db'}")
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("m", 10, 1.0, logged=10))
    store.close()
    first.unlink()
    assert second.is_file()
    report = back_up(home, tmp_path / "one.tar")
    assert [p for p in report.problems if "spool m" in p]
    assert restore(tmp_path / "one.tar", tmp_path / "new").problems == report.problems


def test_the_log_is_one_version_whatever_is_appended_and_rewritten(tmp_path: Path) -> None:
    log = DeltaEventLog(str(tmp_path / "log"))

    def append(first: int) -> None:
        for i in range(first, first + 5):
            event = predicted_event(
                f"e{i}", 1e9, "late", "acme", CONTRACT.id, values=[1.0], outputs=[0.5]
            )
            log.append(
                "m/w", 10 * i + 10, [LogEntry("m/w", 10 * i, event)], {CONTRACT.id: CONTRACT}
            )

    append(0)
    tables = DeltaLogCopies(str(tmp_path / "log")).pin()
    append(5)
    assert log.compact(1) > 0
    for table in tables:
        for file in table.files:
            target = tmp_path / "copy" / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.path.read_bytes()[: file.size])
    copy = DeltaEventLog(str(tmp_path / "copy"))
    assert copy.counts("late")["predictions"] == 5
    assert copy.appended("m/w") == 50
    assert log.counts("late")["predictions"] == 10


def test_a_database_is_copied_as_it_was_when_it_was_held(tmp_path: Path) -> None:
    path = tmp_path / "any.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (x INT)")
        db.execute("INSERT INTO t VALUES (1)")
        assert SqliteCopies().is_database(path)
        with SqliteCopies().hold(path) as held:
            db.execute("INSERT INTO t VALUES (2)")
            held.copy_to(tmp_path / "copy.db", nothing)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert not SqliteCopies().is_database(tmp_path)


@pytest.mark.parametrize("place", ["sqlite", "postgresql"])
def test_the_control_store_is_held_by_both_databases(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if place == "sqlite":
        url = f"sqlite:///{tmp_path / 'control.db'}"
    else:
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.database())
    store = SqlControlStore(url)
    store.migrate()
    with store.begin() as tx:
        tx.put_model(ModelRecord("before", "model: before", 1.0))
    with SqlControlCopies(store).hold() as held:
        with store.begin() as tx:
            tx.put_model(ModelRecord("after", "model: after", 1.0))
            tx.set_checkpoint(Checkpoint("m/w", 7, 1.0))
        held.copy_to(tmp_path / "copy.db", nothing)
        assert held.tx.checkpoints() == []
    store.close()
    copy = SqlControlStore(f"sqlite:///{tmp_path / 'copy.db'}")
    copy.migrate()
    with copy.read() as tx:
        assert [model.name for model in tx.models()] == ["before"]
        assert tx.checkpoints() == []
    copy.close()


def test_what_goes_along_and_what_does_not(home: Path, tmp_path: Path) -> None:
    (home / "windvane.yaml").write_text("port: 9000\n")
    for name in ("secrets/token", "notifications.jsonl", "logs/gateway.log", "metrics/g.m",
                 "up.lock", "windvane-20260101T000000Z.tar", "spool/m/writer.lock"):  # fmt: skip
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x")
    with (home / "large").open("wb") as file:
        file.truncate(65 << 20)
    (home / "link").symlink_to("/etc/hostname")
    (home / "demo").mkdir()
    shutil.copy(home / "control.db", home / "demo" / "control.db")
    report = back_up(home, tmp_path / "one.tar")
    assert {file.path for file in manifest(tmp_path / "one.tar").files} == {
        "control.db", "routing.json", "windvane.yaml", "secrets/token", "notifications.jsonl",
        "artifacts/late/1/model.onnx", "artifacts/late/1/manifest.json",
    }  # fmt: skip
    assert [p.split()[0] for p in report.problems] == ["demo", "large", "link"]


def test_names_that_are_not_utf_8_are_named_and_the_rest_is_kept(
    home: Path, tmp_path: Path
) -> None:
    (home / "notes").mkdir()
    for name in (b"caf\xe9.txt", b"notes/\xff"):
        (home / os.fsdecode(name)).write_text("x")
    (home / os.fsdecode(b"link-\xfe")).symlink_to("/etc/hostname")
    report = back_up(home, tmp_path / "one.tar")
    assert "artifacts/late/1/model.onnx" in {f.path for f in manifest(tmp_path / "one.tar").files}
    said = "\n".join(report.problems)
    said.encode()
    for name in ("caf", "notes/", "link-"):
        assert name in said
    assert manifest(tmp_path / "one.tar").problems == list(report.problems)


def test_a_version_whose_files_were_changed_is_named_and_taken(home: Path, tmp_path: Path) -> None:
    (home / "artifacts/late/1/model.onnx").write_bytes(b"another")
    report = back_up(home, tmp_path / "one.tar")
    assert list(report.problems) == [
        "late version 1: model.onnx is not the file that was registered"
    ]
    assert restore(tmp_path / "one.tar", tmp_path / "new").problems == report.problems


def test_a_file_that_is_there_is_never_overwritten(home: Path, tmp_path: Path) -> None:
    (tmp_path / "one.tar").write_text("mine")
    with pytest.raises(BackupFailed, match="there already"):
        back_up(home, tmp_path / "one.tar")
    assert (tmp_path / "one.tar").read_text() == "mine"
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_only_a_name_that_ends_in_tar_is_a_file(tmp_path: Path) -> None:
    """A second nightly backup must not meet the first one as a file where its folder should be."""
    clock = open_clock("")
    named = tmp_path / "mine.tar"
    assert name_backup(named, clock) == named
    for folder in (tmp_path, tmp_path / "new", tmp_path / "a.b", tmp_path / "there.tar"):
        if folder.suffix == ".tar":
            folder.mkdir()
        file = name_backup(folder, clock)
        assert file.parent == folder
        assert re.fullmatch(r"windvane-\d{8}T\d{6}Z\.tar", file.name)
