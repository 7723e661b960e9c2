"""What a restore makes of a backup: paths, numbers, another schema, another database."""

from __future__ import annotations

import io
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import msgspec
import pytest
import sqlalchemy as sa
import yaml
from hypothesis import given
from hypothesis import strategies as st
from usecases.backups import back_up, fill, published, restore

from windvane.adapters.mlflow.moving import move_registry
from windvane.adapters.sql import SqlControlStore
from windvane.adapters.sql.store import MIGRATIONS
from windvane.ports.backups import (
    BackupDamaged,
    BackupManifest,
    BackupTooNew,
    HomeNotEmpty,
    NoPlaceForStore,
    RestoreUnfinished,
)
from windvane.usecases.read_settings import find_settings
from windvane.usecases.restore_home import move_settings


@pytest.fixture
def home(tmp_path: Path, migrated_file: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    fill(folder, store)
    store.close()
    return folder


@pytest.fixture
def backup(home: Path, tmp_path: Path) -> Path:
    file = tmp_path / "one.tar"
    back_up(home, file)
    return file


def rewrite(file: Path, change: Callable[[str, bytes], bytes], end: bool = True) -> None:
    """Make it again with members changed, and with a manifest that fits."""
    fresh = file.with_suffix(".changed")
    manifest = b""
    with tarfile.open(file) as old, tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            body = change(member.name, content.read())
            if member.name == "manifest.json":
                manifest = body
            if member.name == "manifest.sha256" and end:
                body = sha256(manifest).hexdigest().encode()
            member.size = len(body)
            new.addfile(member, io.BytesIO(body))
    fresh.replace(file)


def of_manifest(**changed: Any) -> Callable[[str, bytes], bytes]:
    def change(name: str, body: bytes) -> bytes:
        if name != "manifest.json":
            return body
        made = msgspec.json.decode(body, type=BackupManifest)
        return msgspec.json.encode(msgspec.structs.replace(made, **changed))

    return change


def test_versions_lie_in_the_new_home_under_a_larger_number(
    home: Path, backup: Path, tmp_path: Path
) -> None:
    before = published(home)
    shutil.rmtree(home)
    new = tmp_path / "new"
    report = restore(backup, new)
    assert (report.models, report.versions, report.problems) == (1, 1, [])
    table = published(new)
    assert table.seq > before.seq + 1_000, "the original may have published more since"
    assert table.seq == report.routing
    (entry,) = table.models["late"].versions
    assert entry.artifact == str(new / "artifacts/late/1")
    assert table.keys == before.keys
    store = SqlControlStore(f"sqlite:///{new / 'control.db'}")
    with store.read() as tx:
        assert tx.version("late", "1").artifact == entry.artifact
        assert tx.version("late", "1").baseline == b"b"
        assert [mark.position for mark in tx.checkpoints()] == [10]
        assert tx.decisions("", 5)[0].verdict.code == "BKP-100"
        assert tx.routing() == table
    store.close()
    assert not [p for p in new.iterdir() if p.name.startswith(".")]
    assert {p.stat().st_mode & 0o077 for p in new.rglob("*") if p.is_file()} <= {0, 0o044}


def test_a_version_whose_files_were_gone_is_named_and_the_rest_is_restored(
    home: Path, tmp_path: Path
) -> None:
    store = SqlControlStore(f"sqlite:///{home / 'control.db'}")
    with store.begin() as tx:
        lost = replace(tx.version("late", "1"), version="2", artifact=str(tmp_path / "gone"))
        tx.add_version(lost)
    store.close()
    back_up(home, tmp_path / "one.tar")
    report = restore(tmp_path / "one.tar", tmp_path / "new")
    assert report.versions == 2
    (problem,) = report.problems
    assert problem.startswith("late version 2: its files are not where they were registered")


def test_a_backup_of_a_later_release_is_refused(backup: Path, tmp_path: Path) -> None:
    kept = backup.read_bytes()
    rewrite(backup, of_manifest(schema="9999", release="7.0"))
    with pytest.raises(BackupTooNew, match=r"release 7\.0 has schema 9999"):
        restore(backup, tmp_path / "new")
    backup.write_bytes(kept)
    rewrite(
        backup,
        lambda name, body: b'{"format":9,"release":"9.1"}' if name == "backup.json" else body,
    )
    with pytest.raises(BackupTooNew, match=r"format 9 of release 9\.1"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_older_schema_is_brought_to_this_release(
    home: Path, backup: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.db"
    engine = sa.create_engine(f"sqlite:///{old}")
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0003")
        connection.execute(sa.text("INSERT INTO models VALUES ('kept', 'model: kept', 1.0)"))
    engine.dispose()
    content = old.read_bytes()

    def change(name: str, body: bytes) -> bytes:
        if name == "home/control.db":
            return content
        if name != "manifest.json":
            return body
        made = msgspec.json.decode(body, type=BackupManifest)
        files = [
            msgspec.structs.replace(f, size=len(content), sha256=sha256(content).hexdigest())
            if f.path == "control.db"
            else f
            for f in made.files
        ]
        return msgspec.json.encode(msgspec.structs.replace(made, files=files, schema="0003"))

    rewrite(backup, change)
    report = restore(backup, tmp_path / "new")
    assert report.schema > "0003"
    store = SqlControlStore(f"sqlite:///{tmp_path / 'new' / 'control.db'}")
    with store.read() as tx:
        assert [model.name for model in tx.models()] == ["kept"]
        assert tx.trusted() == [], "a table that came with a later schema"
    store.close()


@pytest.mark.parametrize("name", ["home/../outside", "/etc/outside", "home/", "other"])
def test_a_name_that_leads_out_of_the_home_is_refused(
    backup: Path, tmp_path: Path, name: str
) -> None:
    with tarfile.open(backup, "a") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(BackupDamaged, match="outside of the home"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "outside").exists()


def test_what_the_manifest_does_not_name_or_names_in_vain(backup: Path, tmp_path: Path) -> None:
    kept = backup.read_bytes()
    with tarfile.open(backup, "a") as tar:
        member = tarfile.TarInfo("home/more")
        tar.addfile(member, io.BytesIO(b""))
    with pytest.raises(BackupDamaged, match="more is not in its manifest"):
        restore(backup, tmp_path / "new")
    backup.write_bytes(kept)
    rewrite(backup, of_manifest(files=[]), end=False)
    with pytest.raises(BackupDamaged, match="not the one that was written"):
        restore(backup, tmp_path / "new")


def test_only_an_empty_folder_is_a_home_to_be(backup: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    (held / "lost+found").mkdir(parents=True)
    (held / "mine").touch()
    with pytest.raises(HomeNotEmpty, match="mine"):
        restore(backup, held)
    (held / "mine").unlink()
    restore(backup, held)
    assert (held / "lost+found").is_dir()
    (held / ".restoring").mkdir()
    with pytest.raises(RestoreUnfinished):
        restore(backup, held)


def test_a_restore_that_fails_leaves_the_folder_empty(backup: Path, tmp_path: Path) -> None:
    rewrite(backup, lambda n, b: b"no database" if n == "home/control.db" else b)
    body = b"no database"

    def change(name: str, held: bytes) -> bytes:
        if name != "manifest.json":
            return held
        made = msgspec.json.decode(held, type=BackupManifest)
        files = [
            msgspec.structs.replace(f, size=len(body), sha256=sha256(body).hexdigest())
            if f.path == "control.db"
            else f
            for f in made.files
        ]
        return msgspec.json.encode(msgspec.structs.replace(made, files=files))

    rewrite(backup, change)
    held = tmp_path / "mounted"
    held.mkdir()
    with pytest.raises(Exception, match="STO-101"):
        restore(backup, held)
    assert list(held.iterdir()) == []


def test_from_postgresql_into_a_file_and_into_another_database(
    postgres: Any, tmp_path: Path
) -> None:
    """The same rows, and numbers that go on where they were."""
    names = [postgres.database() for _ in range(2)]
    urls = [postgres.url(name) for name in names]
    home = tmp_path / "old"
    home.mkdir()
    (home / "windvane.yaml").write_text(f"# ours\nstore: {urls[0]}\nport: 9000\n")
    store = SqlControlStore(urls[0])
    store.migrate()
    fill(home, store)
    with store.read() as tx:
        wanted = tx.versions("late"), tx.key_records(), tx.checkpoints(), tx.models()
    store.close()
    file = tmp_path / "pg.tar"
    back_up(home, file)
    with pytest.raises(NoPlaceForStore):
        restore(file, tmp_path / "nowhere")
    for place, where in (("file", "sqlite"), ("other", urls[1])):
        new = tmp_path / place
        report = restore(file, new, where)
        settings = find_settings({}, new)
        assert settings.port == 9000
        assert "# ours" in (new / "windvane.yaml").read_text()
        assert (new / "control.db").is_file() == (where == "sqlite")
        found = SqlControlStore(settings.store_url)
        with found.begin() as tx:
            versions = [replace(v, artifact=wanted[0][0].artifact) for v in tx.versions("late")]
            assert (versions, tx.key_records(), tx.checkpoints(), tx.models()) == wanted
            assert tx.decide(replace(tx.decisions("", 1)[0], id="another")), "numbers are free"
        found.close()
        assert published(new).seq == report.routing
    with pytest.raises(NoPlaceForStore, match="already"):
        restore(file, tmp_path / "third", urls[1])
    for name in names:
        postgres.drop(name)


def test_the_registry_names_the_new_home(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE runs (artifact_uri TEXT)")
        rows = ["file:///old/home/artifacts/m/1", "/old/home", "/old/home2/a", "s3://b/old/home/x"]
        db.executemany("INSERT INTO runs VALUES (?)", [(one,) for one in rows])
    move_registry(file, "/old/home", "/new")
    with closing(sqlite3.connect(file)) as db:
        found = [row[0] for row in db.execute("SELECT artifact_uri FROM runs")]
    assert found == ["file:///new/artifacts/m/1", "/new", "/old/home2/a", "s3://b/old/home/x"]


def test_settings_are_put_right_and_comments_stay() -> None:
    text = (
        "# by hand\nlog: /data/log  # large disk\nport: 8800\n"
        "tls: {certificate: /old/home/tls/a.pem, key: /old/home2/k.pem}\n"
        "store: sqlite:////data/control.db\n"
    )
    moved = move_settings(text, "/old/home", "/new", {"log": "", "store": "", "registry": ""})
    assert moved.startswith("# by hand\nport: 8800\n")
    assert yaml.safe_load(moved) == {
        "port": 8800,
        "tls": {"certificate": "/new/tls/a.pem", "key": "/old/home2/k.pem"},
    }
    assert move_settings("", "/old", "/new", {"log": ""}) == ""
    assert yaml.safe_load(move_settings("{log: /x, port: 1}", "/o", "/n", {"log": ""})) == {
        "port": 1
    }


@given(
    st.dictionaries(
        st.sampled_from(["log", "store", "port", "notify"]),
        st.one_of(st.text(max_size=12), st.integers(), st.lists(st.text(max_size=5), max_size=3)),
    ),
    st.sampled_from(["", "postgresql://u@h/n"]),
    st.booleans(),
)
def test_settings_mean_what_was_wanted(body: dict[str, Any], store: str, flow: bool) -> None:
    text = yaml.safe_dump(body, default_flow_style=flow)
    moved = yaml.safe_load(move_settings(text, "/old", "/new", {"store": store, "log": ""})) or {}
    rest = {k: v for k, v in body.items() if k not in ("store", "log") and v != ""}
    assert {k: v for k, v in moved.items() if v != ""} == rest | ({"store": store} if store else {})
