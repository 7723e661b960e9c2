"""One machine's spools, log and store, and the events that its gateways write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from event_rows import predicted_event
from usecases.harness import MODEL, START, ManualClock

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.spool import FileSpoolReader, FileSpoolWriter
from windvane.adapters.sql import SqlControlStore
from windvane.core.rollout import Stage, StageFacts
from windvane.core.sketch import Sketch
from windvane.ports.control_store import Access, Checkpoint, ControlStore, WindowKey
from windvane.ports.event_log import EventLog
from windvane.ports.events import (
    EVENT_ENCODER,
    Denied,
    OutcomeSeen,
    Predicted,
    Refused,
    SpoolRecord,
)
from windvane.ports.spool import SpoolReader
from windvane.usecases.commit_log import CommitPolicy
from windvane.usecases.record_events import Recorder

AT_ONCE = CommitPolicy(every_s=0.0)
ANY_STAGE = Stage(0.1, START)


def predicted(
    request: str, ts: float = START, tenant: str = "AA", rollout: str = "", slow: bool = False,
    rows: int = 1, key: str = "k1", **row: Any,
) -> Predicted:  # fmt: skip
    given: dict[str, Any] = {
        "unit": "u1", "routed": "1", "answered": "1", "arm": "champion",
        "values": [500.0, "dl", 60.0], "output": 0.3, "flags": [], **row,
    }  # fmt: skip
    output = given.pop("output")
    return predicted_event(
        request, ts, MODEL, tenant, Events.contract, outputs=[output], rows=rows, rollout=rollout,
        latency_us=150_000 if slow else 900, key=key, **given,
    )  # fmt: skip


def refused(request: str, ts: float = START, tenant: str = "AA", key: str = "k1") -> Refused:
    return Refused(
        request, ts, MODEL, tenant, Events.contract, "CON-101", "x is null", "{}", key=key
    )


def unanswered(
    request: str, rollout: str, *owing: tuple[str, str], ts: float = START, tenant: str = "AA",
    key: str = "k1",
) -> Refused:  # fmt: skip
    """A request that nobody answered, with the (arm, unit) of each row that was owed an answer."""
    arms, units = [arm for arm, _ in owing], [unit for _, unit in owing]
    return Refused(
        request, ts, MODEL, tenant, Events.contract, "GAT-108", "version 2 failed", "{}",
        routed="2", arm=arms[0] if arms else "", key=key, rollout=rollout, units=units, arms=arms,
    )  # fmt: skip


def outcome(
    request: str, ts: float = START, tenant: str = "AA", event: str = "", key: str = "k1"
) -> OutcomeSeen:
    name = event or f"{request}/0"
    return OutcomeSeen(name, ts, MODEL, tenant, Events.contract, request, 0, 1.0, key)


def denied(
    event: str, ts: float = START, tenant: str = "AA", key: str = "k1", code: str = "GAT-111"
) -> Denied:
    return Denied(event, ts, "", tenant, code, key)


class Events:
    """The contract that events name; set once the session's model is applied."""

    contract = ""


@dataclass
class RecorderHarness:
    """One machine: a store, a log and spools; a recorder may be started on it at any time."""

    folder: Path
    store: ControlStore
    log: EventLog
    clock: ManualClock = field(default_factory=ManualClock)
    log_root: str = ""
    log_storage: Mapping[str, str] = field(default_factory=dict[str, str])
    writers: dict[str, FileSpoolWriter] = field(default_factory=dict)

    def write(
        self, events: Sequence[SpoolRecord], spool: str = "m-w0", segment: int = 8 << 20
    ) -> None:
        if spool not in self.writers:
            folder = self.folder / "spool" / spool
            self.writers[spool] = FileSpoolWriter(folder, segment_bytes=segment)
        for event in events:
            self.writers[spool].append(EVENT_ENCODER.encode(event))

    def start(
        self,
        store: ControlStore | None = None,
        log: EventLog | None = None,
        spool: SpoolReader | None = None,
        policy: CommitPolicy = AT_ONCE,
    ) -> Recorder:
        reader = spool or FileSpoolReader(self.folder / "spool")
        return Recorder("m", store or self.store, log or self.log, reader, self.clock, policy)

    def sketches(self) -> dict[WindowKey, Sketch]:
        with self.store.read() as tx:
            return dict(tx.sketches(MODEL, 0.0, 1e12))

    def total(self, name: str) -> int:
        return sum(sketch.total(name) for sketch in self.sketches().values())

    def units(self, rollout: str, steps: int = 1) -> tuple[StageFacts, ...]:
        """What happened to units in its first steps."""
        with self.store.read() as tx:
            return tx.stage_facts(rollout, [ANY_STAGE] * steps)

    def access(self) -> list[Access]:
        """By hour, tenant, key and action."""
        with self.store.read() as tx:
            return sorted(
                tx.access("", 0.0, 1_000), key=lambda a: (a.hour, a.tenant, a.key, a.action)
            )

    def checkpoints(self) -> list[Checkpoint]:
        with self.store.read() as tx:
            return tx.checkpoints()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


@contextmanager
def opened(template: Path, folder: Path) -> Iterator[RecorderHarness]:
    shutil.copy(template, folder / "control.db")
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    with opened_on(store, folder, str(folder / "log")) as recording:
        yield recording


@contextmanager
def opened_on(
    store: ControlStore, folder: Path, log_root: str, log_storage: Mapping[str, str] | None = None
) -> Iterator[RecorderHarness]:
    """On a store that knows the model; closes it."""
    storage = log_storage or {}
    log = DeltaEventLog(log_root, storage)
    recording = RecorderHarness(folder, store, log, log_root=log_root, log_storage=storage)
    try:
        yield recording
    finally:
        recording.close()
        store.close()
