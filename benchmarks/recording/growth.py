"""Thirty days of events under a driven clock: what the control database and the log hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.adapters.sql import SqlControlStore
from windvane.core.health import DAY_S, LogForecast
from windvane.ports.control_store import ControlStore
from windvane.ports.judging import Progress
from windvane.usecases.forecast_log import forecast_log
from windvane.usecases.keep_bounded import Turn, keep_bounded, keep_log_bounded
from windvane.usecases.read_settings import Retention
from windvane.usecases.record_events import Recorder

from .fleet import START, WINDOW_S, Fleet, encoded_of_each, install

KEPT = Retention(predictions=7.0, outcomes=7.0, refusals=7.0, windows=1.0, hours=7.0, sketches=14.0)
"""Short, so that each bound is reached within the thirty days."""
_HOUR_S = 3_600.0
_BEGIN = START + 18 * _HOUR_S
"""In the evening: an installation that began at midnight would hide how a first day is counted."""
_MOST_FILES = 100  # the steward's


@dataclass
class DrivenClock:
    at: float

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class Day:
    """At the end of a day: rows of each kind of sketch, bytes of the database's file, events and
    bytes of the log's latest version, its files, and what was forecast then."""

    sketches: int
    database_bytes: int
    log_rows: int
    log_bytes: int
    log_files: int
    spool_bytes: int
    forecast: LogForecast


def simulate(folder: Path, fleet: Fleet, days: int, told: Callable[[str], None]) -> list[Day]:
    """``days`` of an event or two for each key in each window, an hour at a time."""
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    store.migrate()
    install(store, fleet)
    log = DeltaEventLog(str(folder / "log"), read_within_hours=0)
    clock, turn, out = DrivenClock(_BEGIN), Turn(), list[Day]()
    writer = FileSpoolWriter(folder / "spool" / "m-w0", segment_bytes=1 << 20)
    recorder = Recorder("m", store, log, FileSpoolReader(folder / "spool"), clock)
    windows = round(_HOUR_S / WINDOW_S)
    for hour in range(days * 24):
        begin = _BEGIN + hour * _HOUR_S
        for _, body in encoded_of_each(fleet, windows, seed=hour, begin=begin):
            writer.append(body)
        clock.at = begin + _HOUR_S
        while recorder.step():
            pass
        _judged(store, fleet, clock.at)
        keep_bounded(store, clock, KEPT, 60.0, turn)
        if hour % 24 == 23:
            keep_log_bounded(store, log, clock, KEPT)
            while log.compact(_MOST_FILES):
                pass
            out.append(_look(folder, store, log, clock.at))
            told(f"day {len(out)}: {describe_day(out[-1])}")
    writer.close()
    store.close()
    return out


def _judged(store: ControlStore, fleet: Fleet, until: float) -> None:
    """As a steward leaves it that has judged every window."""
    with store.begin() as tx:
        tx.put_progress([Progress(file.model, START, until, until) for file in fleet.files])


def _look(folder: Path, store: ControlStore, log: DeltaEventLog, now: float) -> Day:
    database = folder / "control.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (sketches,) = db.execute("SELECT count(*) FROM window_sketches").fetchone()
    sizes = log.sizes(now)
    files = [path for path in (folder / "log").rglob("*.parquet") if "_delta_log" not in str(path)]
    spool = sum(path.stat().st_size for path in (folder / "spool").rglob("*.spool"))
    return Day(
        sketches,
        database.stat().st_size,
        sum(one.rows for one in sizes),
        sum(one.bytes for one in sizes),
        len(files),
        spool,
        forecast_log(store, log, now, KEPT, 14.0),
    )


def describe_day(day: Day) -> dict[str, Any]:
    return {
        "sketches": day.sketches, "database_bytes": day.database_bytes, "log_rows": day.log_rows,
        "log_bytes": day.log_bytes, "log_files": day.log_files, "spool_bytes": day.spool_bytes,
        "forecast_level_bytes": round(day.forecast.level_bytes),
    }  # fmt: skip


def at_rate(day: Day, events_a_day: float, a_second: float) -> dict[str, float]:
    """The log's bytes at that rate: rows and their bytes grow with the events. The database does
    not: its rows are of keys and windows, whatever they counted."""
    scale = a_second * DAY_S / events_a_day
    return {
        "events_a_second": a_second, "log_scale": round(scale, 1),
        "log_bytes": round(day.log_bytes * scale),
        "forecast_level_bytes": round(day.forecast.level_bytes * scale),
    }  # fmt: skip


def with_days(forecast: LogForecast, scale: float, kept: Retention) -> float:
    """Bytes where the log would level off with another retention."""
    days = {
        "predictions": kept.predictions, "outcomes": kept.outcomes, "refusals": kept.refusals
    }  # fmt: skip
    tables = [replace(one, kept_days=days[one.table]) for one in forecast.tables]
    return scale * sum(one.bytes_a_day * (one.kept_days + 1.0) for one in tables)
