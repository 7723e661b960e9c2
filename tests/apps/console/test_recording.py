"""What the console says of recording: the quarantine, the spools, and counts as metrics."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from windvane.adapters.clock import open_clock
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.app import make_app
from windvane.ports.control_store import Checkpoint, ModelRecord, StoreUnavailable
from windvane.ports.quarantine import Counted, CountName, Quarantined
from windvane.usecases.apply_model import apply_model
from windvane.usecases.issue_key import issue_keys

FILE = "model: late\nfeatures: {v: {f: {type: number}}}\n"


@pytest.fixture
def store(migrated_file: Path, tmp_path: Path) -> Iterator[SqlControlStore]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    opened = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    apply_model(opened, open_clock(""), FILE)
    yield opened
    opened.close()


class Client:
    """Asks the application itself."""

    def __init__(self, store: SqlControlStore, role: str = "admin") -> None:
        self._app = make_app(store, open_clock(""), open_metrics=not role)
        self._headers: dict[str, str] = {}
        if role:
            issued = issue_keys(store, open_clock(""), ["desk"], "test", grants=[role])
            self._headers = {"Authorization": f"Bearer {issued['desk']}"}

    def get(self, path: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.get(path, headers=self._headers)

        return asyncio.run(ask())


@pytest.fixture
def client(store: SqlControlStore) -> Client:
    return Client(store)


def test_the_quarantine_is_listed(store: SqlControlStore, client: Client) -> None:
    with store.begin() as tx:
        tx.add_quarantined(
            [Quarantined("a", "event", "late", "AA", 5.0, "REC-101", "é", b"\xff", 1, "m@7")]
        )
    assert client.get("/api/quarantine").json() == [
        {
            "id": "a", "kind": "event", "model": "late", "tenant": "AA", "at": 5.0,
            "reason": "REC-101", "message": "é", "size": 1, "source": "m@7", "status": "held",
        }
    ]  # fmt: skip
    assert client.get("/api/quarantine?model=other").json() == []
    assert client.get("/api/quarantine?limit=0").status_code == 422


def test_the_spools_are_listed(store: SqlControlStore, client: Client) -> None:
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("gone", 5, 7.0, 1_000.0, lost_bytes=3))
    (found,) = client.get("/api/spools").json()
    assert (found["spool"], found["expired"], found["lost_bytes"]) == ("gone", True, 3)


def test_what_recorders_counted_is_a_metric(store: SqlControlStore, client: Client) -> None:
    with store.begin() as tx:
        tx.add_counts(
            {
                Counted(CountName.QUARANTINED, "event", "REC-101"): 4,
                Counted(CountName.LATE_EVENTS, "late"): 2,
                Counted(CountName.SPOOL_LOST_BYTES): 2**40,
            }
        )
    lines = client.get("/metrics").text.splitlines()
    assert 'windvane_quarantined_total{kind="event",reason="REC-101"} 4' in lines
    assert 'windvane_late_events_total{model="late"} 2' in lines
    assert f"windvane_spool_lost_bytes_total {2**40}" in lines


def test_metrics_answer_without_a_database(tmp_path: Path) -> None:
    gone = SqlControlStore(f"sqlite:///{tmp_path / 'gone.db'}")
    found = Client(gone, role="").get("/metrics")
    gone.close()
    assert found.status_code == 200


def test_a_file_that_cannot_be_read_leaves_the_other_models_on_the_page(
    store: SqlControlStore, client: Client
) -> None:
    with store.begin() as tx:
        tx.put_model(ModelRecord("bad", "model: bad\nwatch: {window: 9s9}\n", 1.0))
    assert [one["name"] for one in client.get("/api/models").json()] == ["bad", "late"]
    assert client.get("/").status_code == 200
    assert client.get("/api/models/bad").status_code == 422


def test_what_was_read_a_moment_ago_stands_in(
    store: SqlControlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(store, role="")
    before = client.get("/metrics").text
    assert "windvane_steward_shards_held" in before

    def out() -> Any:
        raise StoreUnavailable("too slow")

    monkeypatch.setattr(store, "read", out)
    assert client.get("/metrics").text == before


def test_the_first_page_says_what_recording_lost(store: SqlControlStore) -> None:
    first = Client(store).get("/").text
    assert "of spools were lost" not in first
    with store.begin() as tx:
        tx.set_checkpoint(Checkpoint("gone-w0", 10, 4.0, 1_000.0))
        tx.add_counts({Counted(CountName.SPOOL_LOST_BYTES): 4_096})
        tx.add_counts({Counted(CountName.LATE_EVENTS, "late"): 3})
    first = Client(store).get("/").text
    assert "4,096 bytes of spools were lost before they were read." in first
    assert "without spools that expired: gone-w0" in first
    assert "3 events were recorded after their window was judged." in first
    elsewhere = Client(store, "viewer@model:seats").get("/").text
    assert "4,096 bytes of spools were lost" in elsewhere
    assert "events were recorded after" not in elsewhere
