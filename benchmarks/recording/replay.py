"""One recorder on one core over spools that are full already, and the floor under it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.adapters.sql import SqlControlStore
from windvane.apps.recorder.__main__ import spare_collections
from windvane.ports.events import EVENTS
from windvane.usecases.record_events import Recorder

from .fleet import BusinessClock, Fleet, install

SPOOLS = 2  # workers of the machine's gateway
_READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Replayed:
    """Seconds by the wall and of the recorder's own processor time; what it left behind."""

    events: int
    wall_s: float
    cpu_s: float
    keys: int
    log_files: int
    log_bytes: int
    spool_bytes: int

    @property
    def events_a_cpu_s(self) -> float:
        return self.events / self.cpu_s

    @property
    def keys_a_minute(self) -> float:
        return self.keys / self.wall_s * 60.0


def fill(folder: Path, events: Iterable[tuple[float, bytes]]) -> tuple[int, float]:
    """Write the events to the spools in turn; how many bytes, and the time of the last."""
    writers = [FileSpoolWriter(folder / f"m-w{i}", max_bytes=1 << 40) for i in range(SPOOLS)]
    size, last = 0, 0.0
    for i, (ts, body) in enumerate(events):
        writers[i % SPOOLS].append(body)
        size, last = size + len(body), ts
    for writer in writers:
        writer.close()
    return size, last


def read_all(folder: Path) -> tuple[int, float]:
    """(events, CPU seconds) of reading and decoding every event, and nothing else: the floor."""
    reader, events = FileSpoolReader(folder), 0
    before = time.process_time()
    for spool in reader.spools():
        position = 0
        while (batch := reader.read(spool, position, _READ_BYTES)).end > position:
            position = batch.end
            for _, payload in batch.payloads:
                EVENTS.decode(payload)
                events += 1
    return events, time.process_time() - before


def replay(url: str, folder: Path, fleet: Fleet, events: Iterable[tuple[float, bytes]]) -> Replayed:
    """Record what is in the spools, this process on one core."""
    store = SqlControlStore(url)
    store.migrate()
    install(store, fleet)
    spools = folder / "spool"
    size, last = fill(spools, events)
    log = DeltaEventLog(str(folder / "log"))
    recorder = Recorder("m", store, log, FileSpoolReader(spools), BusinessClock(last + 1.0))
    spare_collections()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        cpu, wall, recorded = time.process_time(), time.perf_counter(), 0
        while (more := recorder.step()) > 0:
            recorded += more
        recorder.finish()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    finally:
        os.sched_setaffinity(0, cores)
    store.close()
    files = [path for path in (folder / "log").rglob("*.parquet") if "_delta_log" not in str(path)]
    return Replayed(
        recorded, wall, cpu, _rows(url, "window_sketches"), len(files),
        sum(path.stat().st_size for path in files), size,
    )  # fmt: skip


def _rows(url: str, table: str) -> int:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as c:
        found = int(c.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())
    engine.dispose()
    return found
