"""`/readyz` of the console: 503 only where it cannot make a page; the rest is told in the body."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
from contracts.event_log.rows import append, predicted

from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console import readiness
from windvane.apps.console.app import make_app
from windvane.ports.control_store import Checkpoint
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.leases import hold_shards
from windvane.usecases.publish_routing import publish_latest


class Place:
    """A home whose recorder and steward were there a moment ago."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "control.db"
        self.routing = folder / "routing.json"
        self.log: Any = DeltaEventLog(str(folder / "log"))
        self.store = SqlControlStore(f"sqlite:///{self.database}")
        self.clock = open_clock("")
        self.feed = FileRoutingFeed(self.routing)
        issue_keys(self.store, self.clock, ["desk"], "test")  # which makes a routing table
        publish_latest(self.store, self.feed)
        hold_shards(self.store, "one", 60.0)
        self.see_recorder(0.0)
        self.free = 10 << 30

    def see_recorder(self, ago: float) -> None:
        wall = self.clock.wall()
        with self.store.begin() as tx:
            tx.set_checkpoint(Checkpoint("m-w0", 0, wall, seen_at=wall - ago))

    def ready(self, times: int = 1, path: str = "/readyz") -> httpx.Response:
        app = make_app(self.store, self.clock, feed=self.feed, log=self.log, disk=lambda: self.free)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
                for _ in range(times - 1):
                    await one.get("/readyz")
                return await one.get(path, headers={"authorization": "Bearer wv_unknown"})

        return asyncio.run(ask())

    def told(self) -> tuple[int, str, dict[str, tuple[str, str]]]:
        answer = self.ready()
        body = answer.json()
        found = {one["name"]: (one["state"], one["code"]) for one in body["dependencies"]}
        return answer.status_code, body["status"], found


@pytest.fixture
def place(migrated_file: Path, tmp_path: Path) -> Iterator[Place]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    opened = Place(tmp_path)
    yield opened
    opened.store.close()


def test_all_is_well(place: Place) -> None:
    status, word, found = place.told()
    assert (status, word) == (200, "ready")
    assert list(found) == ["database", "log storage", "disk", "recorder", "steward", "routing file"]
    assert set(found.values()) == {("ok", "HLT-600")}


def test_without_the_database_nothing_can_be_shown(place: Place) -> None:
    place.store.close()
    place.database.unlink()
    place.database.mkdir()
    answer = place.ready()
    body = answer.json()
    assert answer.status_code == 503
    assert body["status"] == "unavailable"
    assert body["code"] == "STO-101"
    assert body["hint"]
    found = {one["name"]: one["code"] for one in body["dependencies"]}
    assert found == {
        "database": "HLT-601", "log storage": "HLT-600", "disk": "HLT-600",
        "recorder": "HLT-606", "steward": "HLT-606", "routing file": "HLT-600",
    }  # fmt: skip
    assert str(place.folder) not in answer.text, "strangers may read it"
    assert "sqlite:" not in answer.text
    assert "windvane up" in body["hint"]
    assert "makes none" in body["hint"]


@pytest.mark.parametrize("path", ["/", "/api/models", "/readyz", "/models/late"])
def test_no_answer_without_the_database_says_where_it_lies(place: Place, path: str) -> None:
    """Nobody can be known then: all who ask are strangers."""
    place.store.close()
    place.database.unlink()
    answer = place.ready(path=path)
    assert (answer.status_code, "STO-101" in answer.text) == (503, True)
    assert str(place.folder) not in answer.text
    assert "windvane restore" in answer.text, "its file is gone, and the hint says so"


def test_a_log_that_is_no_folder(place: Place) -> None:
    (place.folder / "log").write_text("")
    status, word, found = place.told()
    assert (status, word) == (200, "degraded")
    assert found["log storage"] == ("down", "HLT-602")


def test_a_disk_that_is_full(place: Place) -> None:
    place.free = 4_096
    status, word, found = place.told()
    assert (status, word) == (200, "degraded")
    assert found["disk"] == ("down", "HLT-611")


def test_a_recorder_that_stopped(place: Place) -> None:
    place.see_recorder(120.0)
    status, word, found = place.told()
    assert (status, word) == (200, "degraded")
    assert found["recorder"] == ("down", "HLT-402")


def test_no_recorder_ever(place: Place) -> None:
    with place.store.begin() as tx:
        (one,) = tx.checkpoints()
        tx.set_checkpoint(Checkpoint(one.spool, 0, 0.0, dropped=True))
    assert place.told()[2]["recorder"] == ("unknown", "HLT-401")


def test_a_recorder_that_was_replaced_is_not_missed(place: Place) -> None:
    with place.store.begin() as tx:
        tx.set_checkpoint(Checkpoint("gone-w0", 0, 1.0, seen_at=place.clock.wall() - 9_999.0))
    assert place.told()[1] == "ready"


def test_no_steward(place: Place) -> None:
    with place.store.begin() as tx:
        for lease in tx.leases("steward/shard/"):
            tx.release(lease.name, lease.token)
    status, word, found = place.told()
    assert (status, word) == (200, "degraded")
    assert found["steward"] == ("down", "HLT-403")


def test_a_part_of_the_shards(place: Place) -> None:
    with place.store.begin() as tx:
        lease = tx.leases("steward/shard/")[0]
        tx.release(lease.name, lease.token)
    assert place.told()[2]["steward"] == ("degraded", "HLT-603")


def test_a_routing_file_that_is_damaged_gone_or_old(place: Place) -> None:
    whole = place.routing.read_bytes()
    place.routing.write_text("{")
    status, word, found = place.told()
    assert (status, word) == (200, "degraded")
    assert found["routing file"] == ("down", "HLT-604")
    place.routing.unlink()
    assert place.told()[2]["routing file"] == ("degraded", "HLT-605")
    place.routing.write_bytes(whole)
    issue_keys(place.store, place.clock, ["other"], "test")
    assert place.told()[2]["routing file"] == ("degraded", "HLT-605")
    publish_latest(place.store, place.feed)
    assert place.told()[1] == "ready"


class Hanging:
    """A storage that does not answer until it is let go."""

    def __init__(self) -> None:
        self.looks = 0
        self.let_go = threading.Event()

    def check_storage(self) -> None:
        self.looks += 1
        self.let_go.wait(20.0)


def test_a_storage_that_hangs_is_waited_for_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "WITHIN_S", 0.2)
    monkeypatch.setattr(readiness, "FRESH_S", 0.0)
    hanging = Hanging()
    place.log = hanging
    began = time.monotonic()
    try:
        body = place.ready(times=5).json()
    finally:
        hanging.let_go.set()
    assert time.monotonic() - began < 10.0
    assert hanging.looks == 1, "no thread more hangs"
    (storage,) = [one for one in body["dependencies"] if one["name"] == "log storage"]
    assert (storage["state"], storage["code"]) == ("down", "HLT-602")


def test_strangers_cannot_make_it_look_again_and_again(place: Place) -> None:
    hanging = Hanging()
    hanging.let_go.set()
    place.log = hanging
    assert place.ready(times=20).status_code == 200
    assert hanging.looks == 1


def test_the_page_of_models_says_what_is_down(place: Place) -> None:
    """Requests that no worker can answer reach no log: this is where somebody would look."""
    key = issue_keys(
        place.store, place.clock, ["desk"], "page", scopes=["read", "admin"], by="test"
    )["desk"]
    publish_latest(place.store, place.feed)

    def page() -> str:
        app = make_app(place.store, place.clock, feed=place.feed, log=place.log)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
                return await one.get("/", headers={"authorization": f"Bearer {key}"})

        answer = asyncio.run(ask())
        assert answer.status_code == 200, answer.text
        return answer.text

    assert "HLT-" not in page()
    place.routing.write_text("{broken")
    place.see_recorder(100.0)
    text = page()
    assert 'Routing file down (<span class="code">HLT-604</span>)' in text
    assert 'Recorder down (<span class="code">HLT-402</span>)' in text


def test_a_damaged_file_of_the_log_is_said_without_its_place(place: Place) -> None:
    append(place.log, [predicted("a")])
    (file,) = (place.folder / "log").glob("predictions/day=*/bucket=*/*.parquet")
    file.write_bytes(file.read_bytes()[:300])
    answer = place.ready()
    (found,) = (one for one in answer.json()["dependencies"] if one["name"] == "log storage")
    assert (answer.status_code, found["state"], found["code"]) == (200, "degraded", "HLT-610")
    assert "1 of" in found["why"]
    assert file.name not in answer.text, "strangers may read it"
    assert str(place.folder) not in answer.text


def test_a_look_that_found_no_thread_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "WITHIN_S", 0.05)
    monkeypatch.setattr(readiness, "FRESH_S", -1.0)
    free = threading.Event()

    async def story() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        look = readiness.BoundedLook(lambda: 1, "the disk")
        busy = asyncio.create_task(anyio.to_thread.run_sync(free.wait))
        await asyncio.sleep(0)
        assert await look.found() == (None, "the disk did not answer within 0.05 s")
        free.set()
        await busy
        assert await look.found() == (1, "")

    asyncio.run(story())
