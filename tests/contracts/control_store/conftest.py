"""Every test here runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from windvane.adapters.sql import SqlControlStore

DIALECTS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def migrated_database(postgres: Any) -> str:
    """A migrated PostgreSQL database to copy from."""
    name = postgres.database()
    store = SqlControlStore(postgres.url(name))
    store.migrate()
    store.close()
    return str(name)


@pytest.fixture(params=DIALECTS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that was never migrated."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'control.db'}"
        return
    postgres = request.getfixturevalue("postgres")
    name = postgres.database()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=DIALECTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database."""
    if request.param == "sqlite":
        path = tmp_path / "control.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    postgres = request.getfixturevalue("postgres")
    name = postgres.database(template=request.getfixturevalue("migrated_database"))
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def open_store(url: str) -> Iterator[Callable[[], SqlControlStore]]:
    """Opens further stores on the same database, closed at the end."""
    opened: list[SqlControlStore] = []

    def make() -> SqlControlStore:
        opened.append(SqlControlStore(url))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], SqlControlStore]) -> SqlControlStore:
    return open_store()


@pytest.fixture
def postgres_url(postgres: Any, migrated_database: str) -> Iterator[str]:
    """PostgreSQL only: what SQLite's single writer cannot do."""
    name = postgres.database(template=migrated_database)
    yield postgres.url(name)
    postgres.drop(name)
