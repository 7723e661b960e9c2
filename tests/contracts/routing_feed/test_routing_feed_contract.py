"""The routing feed: the newest table wins, and a reader never sees half of one."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest

from windvane.adapters.files import FileRoutingFeed
from windvane.core.routing import (
    CircuitSpec,
    KeyEntry,
    ModelRoute,
    RoutingTable,
    RuleStep,
    TenantLimit,
    VersionEntry,
)
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, TaskSpec

DEADLINE_S = 20.0


def table(seq: int, keys: int = 1) -> RoutingTable:
    spec = FeatureSpec("x", "plan", FeatureType.CATEGORY, True, None, None, ("a", "b"))
    route = ModelRoute(
        "delay", Contract((spec,), TaskSpec("multiclass", classes=("p", "q"))), "late", 0.5,
        (VersionEntry("1", "a", "m", trusted=True, features=("x",)),), "1",
        challenger="2", challenger_share=0.25, chain=("1",), constant=([0.2, 0.8],), rollout="r#0",
        rule=(RuleStep(([1.0, 0.0],), "x", among=("a",)), RuleStep(([0.0, 1.0],), above=1.5)),
        cache_ttl_s=1.5, tenants=("t0", "é"), circuit=CircuitSpec(3, 1.5, 2),
    )  # fmt: skip
    entries = tuple(
        KeyEntry(f"{seq:064d}", f"t{i}", f"k{i}", ("read", "admin"), 1e9 + 0.25, "2026-11-01")
        for i in range(keys)
    )
    return RoutingTable(seq, {"delay": route}, entries, (TenantLimit("*", "delay", 5, 1.5, 2),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feed" / "routing.json"


def test_before_the_first_table(path: Path) -> None:
    feed = FileRoutingFeed(path)
    assert feed.latest() is None
    assert not feed.changed()


def test_a_table_reads_back_whole(path: Path) -> None:
    assert FileRoutingFeed(path).publish(table(3))
    assert FileRoutingFeed(path).latest() == table(3)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b'{"seq":7,"models":{"delay":{"layout_id":"0"}},"keys":[]}', b"\xff",
     b'{"models":{"a":\xff', b'{"models":{"\xff":1', b'{"x":' + b"[" * 100_000],
)  # fmt: skip
def test_what_cannot_be_read_says_so_and_heals_at_the_next_publish(path: Path, text: bytes) -> None:
    """Also the table of an earlier release, whose routes were others."""
    path.parent.mkdir()
    path.write_bytes(text)
    feed = FileRoutingFeed(path)
    with pytest.raises((msgspec.MsgspecError, ValueError, RecursionError)):
        feed.latest()
    assert feed.last_seq() is None
    assert feed.publish(table(3))
    assert feed.latest() == table(3)
    assert feed.last_seq() == 3


def test_the_last_number_follows_every_change_and_is_known_without_reading(path: Path) -> None:
    feed, other = FileRoutingFeed(path), FileRoutingFeed(path)
    assert feed.last_seq() is None
    other.publish(table(3))
    assert feed.last_seq() == 3
    path.write_text("{broken")
    assert feed.last_seq() is None
    other.publish(table(4))
    assert feed.last_seq() == 4
    path.unlink()
    assert feed.last_seq() is None


def test_the_newest_wins_in_any_order(path: Path) -> None:
    writer, reader = FileRoutingFeed(path), FileRoutingFeed(path)
    assert writer.publish(table(2))
    assert not writer.publish(table(1))
    assert not writer.publish(table(2))
    assert reader.latest() == table(2)
    assert writer.publish(table(5))
    assert reader.latest() == table(5)


def test_a_reader_learns_of_a_change_once(path: Path) -> None:
    writer, reader = FileRoutingFeed(path), FileRoutingFeed(path)
    writer.publish(table(1))
    assert reader.changed()
    reader.latest()
    assert not reader.changed()
    writer.publish(table(1))
    assert not reader.changed()
    writer.publish(table(2))
    assert reader.changed()
    assert reader.latest() == table(2)
    assert not reader.changed()


def test_no_reader_sees_half_a_table(path: Path) -> None:
    last = 60
    writer = FileRoutingFeed(path)
    writer.publish(table(1, keys=500))
    seen: list[int] = []
    errors: list[BaseException] = []
    started = threading.Event()

    def watch() -> None:
        try:
            reader = FileRoutingFeed(path)
            while not seen or seen[-1] < last:
                found = reader.latest()
                assert found is not None
                assert found == table(found.seq, keys=500)
                seen.append(found.seq)
                started.set()
        except BaseException as error:
            errors.append(error)
            started.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert started.wait(DEADLINE_S)
    for seq in range(2, last + 1):
        writer.publish(table(seq, keys=500))
    thread.join(DEADLINE_S)
    assert errors == []
    assert seen[-1] == last
    assert seen == sorted(seen)
    assert sorted(p.name for p in path.parent.iterdir()) == ["routing.json", "routing.lock"]


def test_a_slow_publisher_does_not_put_an_older_table_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = FileRoutingFeed(path), FileRoutingFeed(path)
    slow.publish(table(1))
    fsync = os.fsync
    racer = threading.Thread(target=lambda: fast.publish(table(7)))

    def overtaken(fd: int) -> None:
        """The other steward publishes while this one writes its file."""
        monkeypatch.setattr(os, "fsync", fsync)
        racer.start()
        racer.join(1.0)  # a publisher that takes a lock waits for us instead
        fsync(fd)

    # as in two processes: the two must not share a temporary name
    monkeypatch.setattr(os, "getpid", lambda: threading.get_ident())
    monkeypatch.setattr(os, "fsync", overtaken)
    slow.publish(table(6))
    racer.join(DEADLINE_S)
    found = fast.latest()
    assert found is not None
    assert found.seq == 7
