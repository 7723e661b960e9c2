"""One home, and its console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from read.console import console
from read.home import make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    return make_home(tmp_path_factory.mktemp("read") / "home", migrated_file)


@pytest.fixture(scope="session")
def url(home: Path) -> Iterator[str]:
    with console(home) as found:
        yield found
