"""The file that workers share: bounded, late for nobody, and alive after any of them is killed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from windvane.adapters.sqlite import SqliteIdempotency
from windvane.ports.idempotency import StoredAnswer

LONG_S = 60.0
DIGEST = hashlib.sha256(b"a").digest()

_CHILD = """
import asyncio, sys
from pathlib import Path
from windvane.adapters.sqlite import SqliteIdempotency
from windvane.ports.idempotency import StoredAnswer

async def run():
    store = SqliteIdempotency(Path(sys.argv[1]), deadline_s=10.0)
    await store.open()
    i = 0
    while True:
        place = i.to_bytes(32, "big")
        assert await store.reserve(place, "child", b"d", 60.0) is None
        await store.keep(place, "child", StoredAnswer(b"d", str(i), b"answer"), 60.0)
        print(i, flush=True)
        i += 1

asyncio.run(run())
"""


class Clock:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


def place(i: int) -> bytes:
    return i.to_bytes(32, "big")


def run(path: Path, story: Callable[[SqliteIdempotency], Awaitable[None]], **more: object) -> None:
    async def told() -> None:
        store = SqliteIdempotency(path, **{"deadline_s": 10.0, **more})  # pyright: ignore[reportArgumentType]
        try:
            await story(store)
        finally:
            await store.aclose()

    asyncio.run(told())


def held(path: Path) -> tuple[int, int]:
    with sqlite3.connect(path) as db:
        found = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM answers").fetchone()
    db.close()
    return found


def test_a_killed_worker_loses_nothing_that_it_kept(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    message = [int(child.stdout.readline()) for _ in range(30)]
    child.send_signal(signal.SIGKILL)
    message += [int(line) for line in child.stdout if line.endswith("\n")]
    child.wait(10)
    child.stdout.close()

    async def story(store: SqliteIdempotency) -> None:
        for i in message:
            assert await store.reserve(place(i), "me", b"d", LONG_S) == StoredAnswer(
                b"d", str(i), b"answer"
            )

    run(path, story)


def test_entries_are_bounded_and_what_ends_soonest_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"

    async def story(store: SqliteIdempotency) -> None:
        for i in range(60):
            await store.keep(place(i), "me", StoredAnswer(DIGEST, str(i), b"x"), LONG_S + i)
        deadline = time.monotonic() + 20
        while held(path)[0] > 22:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        assert await store.reserve(place(59), "other", DIGEST, 1.0) == StoredAnswer(
            DIGEST, "59", b"x"
        )
        assert await store.reserve(place(0), "other", DIGEST, 1.0) is None

    run(path, story, max_entries=20)
    assert held(path)[0] <= 22


def test_bytes_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"

    async def story(store: SqliteIdempotency) -> None:
        for i in range(40):
            await store.keep(
                place(i), "me", StoredAnswer(DIGEST, str(i), bytes(10_000)), LONG_S + i
            )

    run(path, story, max_bytes=100_000, max_entries=100)
    assert held(path)[1] <= 200_000


def test_what_has_ended_leaves_the_file(tmp_path: Path) -> None:
    path, wall = tmp_path / "idempotency.db", Clock()

    async def story(store: SqliteIdempotency) -> None:
        for i in range(50):
            await store.keep(place(i), "me", StoredAnswer(DIGEST, str(i), b"x"), LONG_S)
        wall.at += LONG_S + 1.0
        await store.keep(place(99), "me", StoredAnswer(DIGEST, "99", b"x"), LONG_S)

    run(path, story, now=wall)
    assert held(path)[0] == 1


def test_a_file_that_another_holds_makes_nobody_late_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, ticks = tmp_path / "idempotency.db", Clock()

    async def story(store: SqliteIdempotency) -> None:
        assert await store.reserve(place(1), "me", DIGEST, LONG_S) is None
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        for i in range(2, 20):
            assert await store.reserve(place(i), "me", DIGEST, LONG_S) is None
        assert time.monotonic() - began < 10.0
        assert store.failures == 18
        assert store.degraded
        blocker.execute("ROLLBACK")
        blocker.close()
        ticks.at += 2.0
        assert not store.degraded
        assert await store.reserve(place(1), "other", DIGEST, LONG_S) == StoredAnswer(DIGEST)

    run(path, story, deadline_s=0.2, monotonic=ticks)
    message = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [word.partition(":")[0] for word in message] == [
        "idempotency keys do not protect",
        "idempotency keys protect again",
    ]


def test_one_late_call_is_no_outage(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"

    async def story(store: SqliteIdempotency) -> None:
        await store.open()
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        assert await store.reserve(place(1), "me", DIGEST, LONG_S) is None
        assert store.failures == 1
        assert not store.degraded
        blocker.execute("ROLLBACK")
        blocker.close()

        async def patient() -> StoredAnswer | None:
            return await store.reserve(place(2), "me", DIGEST, LONG_S)

        deadline = time.monotonic() + 20
        while await patient() is None:
            assert time.monotonic() < deadline
        assert not store.degraded

    run(path, story, deadline_s=0.3)


def test_what_was_written_moves_into_the_file_and_the_wal_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"

    async def story(store: SqliteIdempotency) -> None:
        for i in range(2_500):
            await store.keep(place(i), "me", StoredAnswer(DIGEST, str(i), bytes(4_000)), LONG_S)

    run(path, story)
    assert held(path)[0] == 2_500
    wal = path.with_name("idempotency.db-wal")
    assert not wal.exists() or wal.stat().st_size <= 32 << 20


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path, ticks = tmp_path / "idempotency.db", Clock()
    path.write_bytes(b"this is no database, whatever its name says" * 100)

    async def story(store: SqliteIdempotency) -> None:
        assert await store.reserve(place(1), "me", DIGEST, LONG_S) is None
        assert store.failures == 1
        ticks.at += 2.0
        assert await store.reserve(place(1), "me", DIGEST, LONG_S) is None
        assert await store.reserve(place(1), "other", DIGEST, LONG_S) == StoredAnswer(DIGEST)
        assert store.failures == 1

    run(path, story, monotonic=ticks)
    assert path.with_suffix(".unreadable").read_bytes().startswith(b"this is no database")


def test_a_folder_that_cannot_be_written_is_no_protection_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def story(store: SqliteIdempotency) -> None:
        assert await store.reserve(place(1), "me", DIGEST, LONG_S) is None
        await store.keep(place(1), "me", StoredAnswer(DIGEST, "e", b"x"), LONG_S)
        await store.forget(place(1), "me")
        assert store.failures == 3

    run(tmp_path / "file" / "idempotency.db", story)
