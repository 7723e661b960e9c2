"""Answers under idempotency keys, in one file for all workers of a machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.ports.idempotency import StoredAnswer

_log = logging.getLogger(__name__)

DEADLINE_S = 0.05
MAX_ENTRIES = 200_000
MAX_BYTES = 256 << 20
MAX_ENTRY_BYTES = 1 << 20
_PAUSE_S = 1.0
_MOST_WAITING = 2_048
_AT_ONCE = 256
_MOST_LATE = 3
_KEEP_HOUSE_EVERY_S = 30.0
_KEEP_HOUSE_AFTER = 1_000
_DELETED_AT_ONCE = 500
_JOIN_S = 5.0
_ROW_BYTES = 200  # what a row takes beside its answer, about

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    place BLOB PRIMARY KEY, holder TEXT NOT NULL, digest BLOB NOT NULL, id TEXT NOT NULL,
    body BLOB, bytes INTEGER NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_until ON answers (until, bytes);
"""


@dataclass(slots=True)
class _Call:
    """One statement's worth of work, and who waits for it until ``deadline`` (monotonic)."""

    work: Callable[[sqlite3.Connection], Any]
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class SqliteIdempotency:
    """Calls go through one thread, which carries out what came meanwhile in one transaction.

    A file in WAL mode without a sync for each commit: what was kept survives the end of any
    process, and is not worth a wait for the disk. A second thread moves the WAL into the file,
    which does wait for the disk, and drops what is too old or too much. After a failure, or the
    fourth call in a row that was late, nobody asks for a second. At most about ``max_entries``
    and ``max_bytes`` are held; beyond that, what ends soonest goes first. A file that is no
    database any more is set aside and begun anew.

    ``now`` is the wall clock, which the workers of a machine share.
    """

    def __init__(
        self,
        path: Path,
        *,
        deadline_s: float = DEADLINE_S,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_entry_bytes: int = MAX_ENTRY_BYTES,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._path = path
        self._deadline_s = deadline_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_entry_bytes = max_entry_bytes
        self._now = now
        self._monotonic = monotonic
        self._calls: queue.Queue[_Call | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._down_until = float("-inf")
        self._degradation_logged = False
        self._late = 0
        self._closed = self._ended = False
        self._housekeeper: threading.Thread | None = None
        self._much = threading.Event()  # was written, or the end has come
        self._fresh = 0  # entries written since the housekeeper looked

    @property
    def degraded(self) -> bool:
        """True for a while after a call failed."""
        return self._monotonic() < self._down_until

    async def open(self) -> None:
        """Make the file ahead of the first call."""
        await self._ask(_nothing, 1.0)

    async def aclose(self) -> None:
        """End the threads; what they have not done by then is dropped."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._calls.put_nowait(None)
            await asyncio.to_thread(thread.join, _JOIN_S)
        housekeeper, self._housekeeper = self._housekeeper, None
        if housekeeper is not None:
            self._ended = True
            self._much.set()
            await asyncio.to_thread(housekeeper.join, _JOIN_S)

    async def reserve(
        self, place: bytes, holder: str, digest: bytes, lease_s: float
    ) -> StoredAnswer | None:
        def work(db: sqlite3.Connection) -> StoredAnswer | None:
            now = self._now()
            row = db.execute(
                "SELECT digest, id, body FROM answers WHERE place = ? AND until > ?", (place, now)
            ).fetchone()
            if row is not None:
                return StoredAnswer(row[0], row[1], row[2])
            self._put(db, (place, holder, digest, "", None, _ROW_BYTES, now + lease_s))
            return None

        return await self._ask(work, self._deadline_s)

    async def keep(self, place: bytes, holder: str, kept: StoredAnswer, ttl_s: float) -> None:
        size = _ROW_BYTES + len(kept.body or b"")
        if size > self._max_entry_bytes:
            await self.forget(place, holder)
            return

        def work(db: sqlite3.Connection) -> None:
            now = self._now()
            held = db.execute(
                "SELECT 1 FROM answers WHERE place = ? AND until > ? AND holder <> ?",
                (place, now, holder),
            ).fetchone()
            if held is None:
                self._put(
                    db, (place, holder, kept.digest, kept.id, kept.body, size, now + ttl_s)
                )  # fmt: skip

        await self._ask(work, self._deadline_s)

    async def forget(self, place: bytes, holder: str) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM answers WHERE place = ? AND holder = ?", (place, holder))

        await self._ask(work, self._deadline_s)

    def _put(self, db: sqlite3.Connection, row: tuple[Any, ...]) -> None:
        db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        self._fresh += 1
        if self._fresh == min(_KEEP_HOUSE_AFTER, max(1, self._max_entries // 10)):
            self._much.set()

    async def _ask(self, work: Callable[[sqlite3.Connection], Any], within_s: float) -> Any:
        """What ``work`` gave; None where it could not be done in time."""
        if self._closed or self.degraded:
            self.failures += 1
            return None
        loop = asyncio.get_running_loop()
        call = _Call(work, self._monotonic() + within_s, loop, loop.create_future())
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="idempotency", daemon=True)
            self._thread.start()
            self._housekeeper = threading.Thread(
                target=self._keep_house, name="idempotency-housekeeper", daemon=True
            )
            self._housekeeper.start()
        try:
            self._calls.put_nowait(call)
            async with asyncio.timeout(within_s):
                found = await call.future
        except (queue.Full, TimeoutError, sqlite3.Error, OSError) as error:
            self._fail(error, within_s)
            return None
        self._late = 0
        return found

    def _fail(self, error: Exception, within_s: float) -> None:
        self.failures += 1
        busy = isinstance(error, queue.Full | TimeoutError) or "locked" in str(error)
        self._late += 1
        if busy and self._late <= _MOST_LATE:
            return
        self._down_until = self._monotonic() + _PAUSE_S
        if not self._degradation_logged:
            self._degradation_logged = True
            message = str(error) or f"no answer within {within_s * 1e3:.0f} ms"
            _log.warning("idempotency keys do not protect: %s: %s", self._path, message)

    # What follows runs in the thread.

    def _run(self) -> None:
        db: sqlite3.Connection | None = None
        while True:
            call = self._calls.get()
            if call is None:
                break
            calls = [call]
            while len(calls) < _AT_ONCE and not self._calls.empty():
                more = self._calls.get_nowait()
                if more is None:
                    self._calls.put(None)
                    break
                calls.append(more)
            due = self._monotonic()
            calls = [one for one in calls if one.deadline > due]  # nobody waits for the others
            if not calls:
                continue
            try:
                db = db or self._connect()
                results = self._carry_out(db, calls)
            except Exception as error:
                if db is not None:
                    db.close()
                    db = None
                if type(error) is sqlite3.DatabaseError:
                    self._set_aside()
                for one in calls:
                    _give(one, error)
                continue
            for one, result in zip(calls, results, strict=True):
                _give(one, result)
            self._recovered()
        if db is not None:
            db.close()

    def _carry_out(self, db: sqlite3.Connection, calls: list[_Call]) -> list[Any]:
        """All or none."""
        db.execute("BEGIN IMMEDIATE")
        try:
            results = [call.work(db) for call in calls]
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return results

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=self._deadline_s, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA wal_autocheckpoint = 0")  # the housekeeper's
            db.execute(f"PRAGMA journal_size_limit = {16 << 20}")
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self) -> None:
        """The file is no database, or one that is torn; the next call begins a new one."""
        for ending in ("-wal", "-shm"):
            Path(f"{self._path}{ending}").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.replace(self._path.with_suffix(".unreadable"))

    def _recovered(self) -> None:
        if self._degradation_logged and self._monotonic() >= self._down_until:
            self._degradation_logged = False
            _log.warning("idempotency keys protect again: %s", self._path)

    # And this in the housekeeper's.

    def _keep_house(self) -> None:
        while True:
            self._much.wait(_KEEP_HOUSE_EVERY_S)
            self._much.clear()
            self._fresh = 0
            last = self._ended
            try:
                with contextlib.closing(self._connect()) as db:
                    self._clean(db)
                    # Others go on reading and writing meanwhile.
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except (sqlite3.Error, OSError) as error:
                _log.info("%s was not cleaned, it is tried again: %s", self._path, error)
            if last:
                return

    def _clean(self, db: sqlite3.Connection) -> None:
        """Drop what has ended, then what ends soonest, until the rest fits. Some at a time, for
        nobody else writes meanwhile."""
        now = self._now()
        while (
            db.execute(
                "DELETE FROM answers WHERE place IN "
                "(SELECT place FROM answers WHERE until <= ? LIMIT ?)",
                (now, _DELETED_AT_ONCE),
            ).rowcount
            == _DELETED_AT_ONCE
        ):
            pass
        total = "SELECT count(*), coalesce(sum(bytes), 0) FROM answers"
        held, size = db.execute(total).fetchone()
        while held > self._max_entries or size > self._max_bytes:
            surplus = max(held - self._max_entries, held // 10, 1)
            db.execute(
                "DELETE FROM answers WHERE place IN "
                "(SELECT place FROM answers ORDER BY until LIMIT ?)",
                (min(surplus, _DELETED_AT_ONCE),),
            )
            held, size = db.execute(total).fetchone()


def _nothing(db: sqlite3.Connection) -> None:
    del db


def _give(call: _Call, result: Any) -> None:
    """Hand over what became of it; whoever waited may be gone."""

    def give() -> None:
        if call.future.done():
            return
        if isinstance(result, Exception):
            call.future.set_exception(result)
        else:
            call.future.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop has ended
        call.loop.call_soon_threadsafe(give)
