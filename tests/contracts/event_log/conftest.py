"""Each test of the event log runs on a folder and on a real S3 API."""

from __future__ import annotations

from pathlib import Path

import pytest
from contracts.event_log.rows import Place

from windvane.adapters.delta import DeltaEventLog


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(str(tmp_path / "log"), {})
    store = request.getfixturevalue("object_store")
    return Place(f"{store.bucket()}/log", store.storage)


@pytest.fixture
def log(place: Place) -> DeltaEventLog:
    return place.open()
