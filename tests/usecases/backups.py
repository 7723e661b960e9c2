"""A small home without processes, and the means to back it up and to restore it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaLogCopies
from windvane.adapters.files import FileArtifacts, FileRoutingFeed
from windvane.adapters.mlflow.moving import move_registry
from windvane.adapters.spool import FileSpoolCopies
from windvane.adapters.sql import SqlControlCopies, SqlControlStore
from windvane.adapters.sqlite import SqliteCopies
from windvane.adapters.tar import TarArchives
from windvane.core.routing import KeyEntry, ModelRoute, RoutingTable, VersionEntry
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    KeyRecord,
    ModelRecord,
    VersionRecord,
)
from windvane.usecases.back_up_home import BackupReport, BackupSources, back_up_home
from windvane.usecases.read_settings import Settings, find_settings
from windvane.usecases.restore_home import (
    OpenedStore,
    RestoreReport,
    RestoreTargets,
    restore_home,
)

FILE = "model: late\nfeatures: {order: {distance: {type: number}}}\n"
CONTRACT = Contract((FeatureSpec("distance", "order", FeatureType.NUMBER),))


def fill(home: Path, store: SqlControlStore) -> None:
    """One model with one version, its files, a key, a routing table, and a spool."""
    folder = home / "artifacts" / "late" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"a model")
    manifest = FileArtifacts().seal(folder)
    route = ModelRoute("late", CONTRACT, "", 1.0, (VersionEntry("1", str(folder), manifest),), "1")
    entry = KeyEntry(hashlib.sha256(b"k").hexdigest(), "acme", "k1")
    with store.begin() as tx:
        tx.put_model(ModelRecord("late", FILE, 1.0))
        tx.add_version(
            VersionRecord("late", "1", str(folder), manifest, "l", (), {}, {}, b"b", 2.0)
        )
        tx.put_deployment(Deployment("late", "1"))
        tx.put_key(KeyRecord(entry, "first", 3.0))
        tx.set_checkpoint(Checkpoint("m/w", 10, 4.0))
        seq = tx.add_routing(RoutingTable(0, {"late": route}, (entry,)))
        table = tx.routing(seq)
    assert table is not None
    FileRoutingFeed(home / "routing.json").publish(table)


def back_up(home: Path, file: Path) -> BackupReport:
    settings = find_settings({}, home)
    store = SqlControlStore(settings.store_url)
    try:
        return back_up_home(sources(settings, store), settings, file, lambda *_: None)
    finally:
        store.close()


def sources(settings: Settings, store: SqlControlStore) -> BackupSources:
    return BackupSources(
        SqlControlCopies(store), SqliteCopies(), DeltaLogCopies(settings.log_root),
        FileSpoolCopies(settings.spool_root), TarArchives(), open_clock(""),
    )  # fmt: skip


def restore(file: Path, home: Path, store: str = "") -> RestoreReport:
    def opened(url: str) -> OpenedStore:
        made = SqlControlStore(url)
        return OpenedStore(made, SqlControlCopies(made))

    targets = RestoreTargets(
        TarArchives(), opened, FileRoutingFeed, FileArtifacts(), move_registry, open_clock("")
    )
    return restore_home(targets, file, home, store, {}, lambda *_: None)


def published(home: Path) -> RoutingTable:
    found = FileRoutingFeed(home / "routing.json").latest()
    assert found is not None
    return found
