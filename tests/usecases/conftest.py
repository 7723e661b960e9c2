"""A fresh installation for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from usecases.house import CARRIERS, FILE, START, WINDOW_S, House, Trained, columns
from usecases.recording import Events, Site, opened

from windvane.adapters.sql import SqlControlStore
from windvane.core.drift import build_baseline
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis


@pytest.fixture(scope="session")
def trained() -> Trained:
    """400 training windows of 60 rows, ending where the tests begin."""
    many = columns(24_000, 1)
    layout = Layout(
        (
            NumericAxis.fit("distance", many["distance"]),
            CategoryAxis("carrier", CARRIERS),
            NumericAxis.fit("temp", many["temp"]),
            NumericAxis("output", tuple(0.05 * i for i in range(1, 20))),
        )
    )
    counts = layout.count(many, np.repeat(np.arange(400), 60), 400)
    windows = {START + WINDOW_S * (i - 400): counts[i] for i in range(400)}
    return Trained(layout, build_baseline(layout, windows, WINDOW_S, 1_800.0, 20))


@pytest.fixture(scope="session")
def empty_house_of(
    migrated_file: Path, trained: Trained
) -> Callable[[], AbstractContextManager[House]]:
    """Makes a house with nothing applied yet, as often as Hypothesis likes."""

    @contextmanager
    def make() -> Iterator[House]:
        with TemporaryDirectory() as home:
            path = Path(home) / "control.db"
            shutil.copy(migrated_file, path)
            store = SqlControlStore(f"sqlite:///{path}")
            yield House(Path(home), store, trained)
            store.close()

    return make


@pytest.fixture(scope="session")
def furnished_file(
    tmp_path_factory: pytest.TempPathFactory,
    empty_house_of: Callable[[], AbstractContextManager[House]],
) -> Path:
    """A store to copy from: version 1 of all views is live, version 2 needs no weather."""
    path = tmp_path_factory.mktemp("furnished") / "control.db"
    with empty_house_of() as house:
        house.add_keys()
        house.apply()
        house.add_version("1")
        house.add_version("2", ["plan"])
        house.put("1")
        house.store.close()
        shutil.copy(house.folder / "control.db", path)
    return path


@pytest.fixture(scope="session")
def house_of(furnished_file: Path, trained: Trained) -> Callable[[], AbstractContextManager[House]]:
    """Makes a furnished house, as often as Hypothesis likes."""

    @contextmanager
    def make() -> Iterator[House]:
        with TemporaryDirectory() as home:
            path = Path(home) / "control.db"
            shutil.copy(furnished_file, path)
            store = SqlControlStore(f"sqlite:///{path}")
            yield House(Path(home), store, trained)
            store.close()

    return make


@pytest.fixture
def empty_house(
    empty_house_of: Callable[[], AbstractContextManager[House]],
) -> Iterator[House]:
    """Nothing applied yet."""
    with empty_house_of() as house:
        yield house


@pytest.fixture
def house(house_of: Callable[[], AbstractContextManager[House]]) -> Iterator[House]:
    """Version 1 of all views is live, version 2 needs no weather; two tenants have keys."""
    with house_of() as found:
        yield found


@pytest.fixture(scope="session")
def applied(
    tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, trained: Trained
) -> Path:
    """A store that knows the model and its layout, to copy a `Site` from."""
    folder = tmp_path_factory.mktemp("applied")
    shutil.copy(migrated_file, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    house = House(folder, store, trained)
    house.apply(FILE)
    house.add_version("1")
    store.close()
    Events.layout_id = trained.layout.id
    return folder / "control.db"


@pytest.fixture
def site(applied: Path, tmp_path: Path) -> Iterator[Site]:
    """One machine with spools to write to and nothing recorded yet."""
    with opened(applied, tmp_path) as found:
        yield found
