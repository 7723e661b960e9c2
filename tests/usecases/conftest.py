"""A fresh installation for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from once import Once
from usecases.harness import FILE, MODEL, Harness, Trained, train
from usecases.registration import mlflow_registry, registration, sandboxes
from usecases.worlds import Worlds

from windvane.adapters.sql import SqlControlStore
from windvane.usecases.publish_routing import routing_effects

if TYPE_CHECKING:
    from usecases.recording import RecorderHarness

__all__ = ["mlflow_registry", "registration", "sandboxes"]


@pytest.fixture(scope="session")
def trained() -> Trained:
    return train()


@pytest.fixture(scope="session")
def empty_harness_of(
    migrated_file: Path, trained: Trained
) -> Callable[[], AbstractContextManager[Harness]]:
    """Makes a harness with nothing applied yet, as often as Hypothesis likes."""

    @contextmanager
    def make() -> Iterator[Harness]:
        with TemporaryDirectory() as home:
            path = Path(home) / "control.db"
            shutil.copy(migrated_file, path)
            store = SqlControlStore(f"sqlite:///{path}")
            yield Harness(Path(home), store, trained)
            store.close()

    return make


@pytest.fixture(scope="session")
def deployed_file(
    once: Once, empty_harness_of: Callable[[], AbstractContextManager[Harness]]
) -> Path:
    """A store to copy from: version 1 of all views is live, version 2 needs no weather."""

    def make(folder: Path) -> None:
        with empty_harness_of() as harness:
            harness.add_keys()
            harness.apply()
            harness.add_version("1")
            harness.add_version("2", ["plan"])
            harness.put("1")
            harness.store.close()
            shutil.copy(harness.folder / "control.db", folder)

    return once.folder("deployed", make) / "control.db"


@pytest.fixture(scope="session")
def worlds(once: Once, deployed_file: Path, trained: Trained) -> Worlds:
    return Worlds(once, deployed_file, trained)


@pytest.fixture(scope="session")
def harness_of(worlds: Worlds) -> Callable[[], AbstractContextManager[Harness]]:
    """Makes a deployed harness, as often as Hypothesis likes."""
    return worlds.after


@pytest.fixture
def empty_harness(
    empty_harness_of: Callable[[], AbstractContextManager[Harness]],
) -> Iterator[Harness]:
    """Nothing applied yet."""
    with empty_harness_of() as harness:
        yield harness


@pytest.fixture
def harness(harness_of: Callable[[], AbstractContextManager[Harness]]) -> Iterator[Harness]:
    """Version 1 of all views is live, version 2 needs no weather; two tenants have keys."""
    with harness_of() as found:
        yield found


@pytest.fixture(scope="session")
def applied(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, trained: Trained
) -> Path:
    """A store that knows the model and its layout, to copy a `RecorderHarness` from."""
    folder = tmp_path_factory.mktemp("applied")
    shutil.copy(migrated_file, folder / "control.db")
    _apply(SqlControlStore(f"sqlite:///{folder / 'control.db'}"), folder, trained)
    return folder / "control.db"


@pytest.fixture(scope="session")
def applied_database(
    tmp_path_factory: pytest.TempPathFactory, postgres: Any, trained: Trained
) -> str:
    """The same, as the name of a PostgreSQL database."""
    name = str(postgres.database())
    store = SqlControlStore(postgres.url(name))
    store.migrate()
    _apply(store, tmp_path_factory.mktemp("applied"), trained)
    return name


def _apply(store: SqlControlStore, folder: Path, trained: Trained) -> None:
    """Tell a migrated store of the model, and close it."""
    from usecases.recording import Events

    harness = Harness(folder, store, trained)
    harness.apply(FILE)
    harness.add_version("1")
    harness.put("1")
    with store.begin() as tx:
        routing_effects(tx)
        table = tx.routing()
    assert table is not None
    Events.contract = table.models[MODEL].contract.id
    store.close()


@pytest.fixture
def recording(applied: Path, tmp_path: Path) -> Iterator[RecorderHarness]:
    """One machine with spools to write to and nothing recorded yet."""
    from usecases.recording import opened

    with opened(applied, tmp_path) as found:
        yield found
