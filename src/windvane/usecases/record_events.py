"""Move events from a spool into the log and the window sketches, each exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
import numpy as np

from windvane.core.execution import RowPacker
from windvane.core.routing import Arm
from windvane.core.sketch import LATENCY_EDGES_US, TRAFFIC, Layout, Sketch
from windvane.ports.clock import Clock
from windvane.ports.control_store import Access, Checkpoint, ControlStore, UnitSeen, WindowKey
from windvane.ports.event_log import EventLog, LogEntry
from windvane.ports.events import (
    EVENTS,
    Denied,
    OutcomeSeen,
    Predicted,
    Refused,
    Row,
    SpoolRecord,
    event_key,
)
from windvane.ports.spool import Batch, SpoolReader
from windvane.usecases.read_model_file import parse_duration, read_model_file
from windvane.usecases.record_access import accesses

_log = logging.getLogger(__name__)
_READ_BYTES = 4 << 20
_ROUNDS = 16

T = TypeVar("T")


class SeenKeys:
    """The latest dedupe keys: at least half of ``limit``, and never more than all of it.

    Two sets, of which the older is dropped when the younger has its half.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self._young: set[str] = set()
        self._old: set[str] = set()

    def add(self, key: str) -> bool:
        """False if the key was there already."""
        if key in self._young or key in self._old:
            return False
        if len(self._young) >= max(1, self.limit // 2):
            self._young, self._old = set(), self._young
        self._young.add(key)
        return True

    def remember(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.add(key)


@dataclass(frozen=True, slots=True)
class _Model:
    text: str
    window_s: float
    slow_us: float
    schema: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch that the log has, and what the store has yet to be told of it."""

    checkpoint: Checkpoint
    events: int
    sketches: Mapping[WindowKey, Sketch]
    units: Sequence[UnitSeen]
    access: Sequence[Access]


class BackgroundExecutor(Protocol):
    """Runs what needs the processor but holds nobody up, soon or late; gives what that gave."""

    def __call__(self, work: Callable[[], T]) -> T: ...


def at_once(work: Callable[[], T]) -> T:
    return work()


class Recorder:
    """One machine's recorder.

    Each batch goes to the log first and to the control store second, both keyed by the
    spool position. After a crash between the two, the log is ahead: the batch is read
    again, the log adds nothing, the sketches are counted.
    """

    def __init__(
        self, name: str, store: ControlStore, log: EventLog, spool: SpoolReader, clock: Clock
    ) -> None:
        self._name = name
        self._store = store
        self._log = log
        self._spool = spool
        self._clock = clock
        self._layouts: dict[str, Layout] = {}
        self._models: dict[str, _Model] = {}
        self._seen = SeenKeys()
        with store.read() as tx:
            self._checkpoints = {c.spool: c for c in tx.checkpoints()}
        positions = {c.spool: c.position for c in self._checkpoints.values()}
        self._seen.remember(reversed(log.recent_keys(positions, self._seen.limit)))
        self._catch_up()

    def waiting_bytes(self) -> int:
        """How much of the spool that is furthest behind is not recorded yet."""
        spools = self._spool.spools()
        waiting = (self._spool.waiting(s, self._checkpoint(s).position) for s in spools)
        return max(waiting, default=0)

    def _checkpoint(self, spool: str) -> Checkpoint:
        """How far it is recorded; from its beginning on if it was not met before."""
        return self._checkpoints.get(spool) or Checkpoint(spool, 0, 0.0)

    def step(self, rounds: int = _ROUNDS, background: BackgroundExecutor = at_once) -> int:
        """Record what is new in every spool; the number of events.

        One batch of each in turn, at most ``rounds`` times: a spool that never pauses keeps
        neither the others nor the caller waiting. ``background`` gets a batch in four pieces,
        and may take its time: the store is not held meanwhile.
        """
        recorded = 0
        busy = list(self._spool.spools())
        for _ in range(rounds):
            found = {spool: self._advance(spool, background) for spool in busy}
            busy = [spool for spool, events in found.items() if events is not None]
            recorded += sum(events or 0 for events in found.values())
            if not busy:
                break
        return recorded

    def _advance(self, spool: str, background: BackgroundExecutor) -> int | None:
        """Record one batch of a spool; its events, or None where nothing more is there yet."""
        before = self._clock.now()
        checkpoint = self._checkpoint(spool)
        ready = self._prepare(checkpoint, _READ_BYTES, background)
        if ready is None:
            self._idle(checkpoint, before)
            return None
        self._commit(ready)
        return ready.events

    def _idle(self, checkpoint: Checkpoint, before: float) -> None:
        """Nothing newer was in the spool when the clock stood at ``before``."""
        if before > checkpoint.watermark:
            fresh = Checkpoint(checkpoint.spool, checkpoint.position, before)
            with self._store.begin() as tx:
                tx.set_checkpoint(fresh)
            self._checkpoints[checkpoint.spool] = fresh

    def _catch_up(self) -> None:
        """Finish the one batch that the log may have and the store has not."""
        for spool in self._spool.spools():
            reached = self._log.appended(spool)
            while (checkpoint := self._checkpoint(spool)).position < reached:
                behind = min(reached - checkpoint.position, _READ_BYTES)
                ready = self._prepare(checkpoint, behind, at_once)
                if ready is None:
                    break
                self._commit(ready)

    def _prepare(
        self, held: Checkpoint, limit_bytes: int, background: BackgroundExecutor
    ) -> _Ready | None:
        """Append the batch after ``held`` to the log and count it; None where there is none."""
        batch = background(lambda: self._spool.read(held.spool, held.position, limit_bytes))
        if batch.end == held.position:
            return None
        entries, calls = background(lambda: self._decode(batch))
        self._learn(entries)
        schemas = {e.event.layout_id: self._models[e.event.model].schema for e in entries}
        background(lambda: self._log.append(batch.spool, batch.end, entries, schemas))
        return background(lambda: self._sum_up(held, batch, entries, calls))

    def _sum_up(
        self,
        held: Checkpoint,
        batch: Batch,
        entries: Sequence[LogEntry],
        calls: Sequence[SpoolRecord],
    ) -> _Ready:
        last = max((e.event.ts for e in entries), default=0.0)
        checkpoint = Checkpoint(batch.spool, batch.end, max(held.watermark, last))
        sketches, units = self._sketches(entries), self._units(entries)
        return _Ready(checkpoint, len(entries), sketches, units, accesses(calls))

    def _decode(self, batch: Batch) -> tuple[list[LogEntry], list[SpoolRecord]]:
        """What is new to the log, and every call."""
        entries: list[LogEntry] = []
        calls: list[SpoolRecord] = []
        for position, payload in batch.payloads:
            try:
                event = EVENTS.decode(payload)
            except msgspec.MsgspecError:
                _log.exception("spool %s: event at %d is not readable", batch.spool, position)
                continue
            # A request that is repeated is recorded once, but whoever sent it called twice.
            calls.append(event)
            if not isinstance(event, Denied) and self._seen.add(event_key(event)):
                entries.append(LogEntry(batch.spool, position, event))
        return entries, calls

    def _commit(self, ready: _Ready) -> None:
        with self._store.begin() as tx:
            tx.add_sketches(ready.sketches)
            tx.add_units(ready.units)
            tx.add_access(ready.access)
            tx.set_checkpoint(ready.checkpoint)
        self._checkpoints[ready.checkpoint.spool] = ready.checkpoint
        self._spool.release(ready.checkpoint.spool, ready.checkpoint.position)

    def _learn(self, entries: Sequence[LogEntry]) -> None:
        """Read layouts that were not met before, and models whose file is another by now."""
        if not entries:
            return
        with self._store.read() as tx:
            for layout_id in {e.event.layout_id for e in entries} - self._layouts.keys():
                self._layouts[layout_id] = tx.layout(layout_id)
            for name in {e.event.model for e in entries}:
                text = tx.model(name).text
                if name in self._models and self._models[name].text == text:
                    continue
                file = read_model_file(text)
                self._models[name] = _Model(
                    text,
                    parse_duration(file.watch.window),
                    parse_duration(file.watch.latency) * 1e6,
                    tuple((s.name, s.type.value) for s in file.schema),
                )

    def _sketches(self, entries: Sequence[LogEntry]) -> dict[WindowKey, Sketch]:
        gathered: dict[_Place, _WindowRows] = {}
        windows = {name: model.window_s for name, model in self._models.items()}
        for entry in entries:
            event = entry.event
            model = event.model
            place = (model, event.ts // windows[model], event.tenant, event.layout_id)
            match event:
                case Predicted():
                    for i, row in enumerate(event.rows):
                        found = _at(gathered, (*place, row.routed, row.arm))
                        found.rows.append(row)
                        if not i:
                            found.latencies.append(event.latency_us)
                        if row.answered != row.routed:
                            found.traffic["fell_back"] += 1
                        if row.flags and "failed" in row.flags:
                            found.traffic["execution_errors"] += 1
                case Refused():
                    found = _at(gathered, (*place, event.routed, event.arm))
                    found.traffic["unanswered" if event.routed else "refused"] += 1
                case OutcomeSeen():
                    _at(gathered, (*place, "", "")).traffic["outcomes"] += 1
        return self._count(gathered)

    def _count(self, gathered: Mapping[_Place, _WindowRows]) -> dict[WindowKey, Sketch]:
        """Count the rows of all windows of a layout at once."""
        out: dict[WindowKey, Sketch] = {}
        for layout_id in dict.fromkeys(place[3] for place in gathered):
            layout = self._layouts[layout_id]
            mine = [(place, t) for place, t in gathered.items() if place[3] == layout_id]
            rows = [row for _, t in mine for row in t.rows]
            counts = np.zeros((len(mine), layout.size), np.int64)
            if rows:
                groups = np.repeat(np.arange(len(mine)), [len(t.rows) for _, t in mine])
                counts = layout.count(_columns(layout, rows), groups, len(mine))
            for (place, t), features in zip(mine, counts, strict=True):
                model, window, tenant, _, version, arm = place
                start = window * self._models[model].window_s
                key = WindowKey(model, start, version, arm, tenant, self._name)
                counted = {**t.traffic, "rows": len(t.rows), "requests": len(t.latencies)}
                traffic = np.array([counted[name] for name in TRAFFIC], np.int64)
                bins = np.searchsorted(LATENCY_EDGES_US, t.latencies, side="left")
                latency = np.bincount(bins, minlength=len(LATENCY_EDGES_US) + 1)
                out[key] = Sketch(layout_id, features, traffic, latency.astype(np.int64))
        return out

    def _units(self, entries: Sequence[LogEntry]) -> list[UnitSeen]:
        """Units of running rollouts: all of the challenger's, the champion's unlucky ones."""
        out: list[UnitSeen] = []
        for entry in entries:
            event = entry.event
            if not isinstance(event, Predicted) or not event.rollout:
                continue
            slow = event.latency_us > self._models[event.model].slow_us
            rollout, _, step = event.rollout.rpartition("#")
            for row in event.rows:
                failed = "failed" in row.flags
                if row.arm == Arm.CHALLENGER or failed or slow:
                    out.append(UnitSeen(rollout, row.arm, row.unit, int(step), failed, slow))
        return out


# Model, number of the window, tenant, layout, version, arm.
_Place: TypeAlias = tuple[str, float, str, str, str, str]


@dataclass(slots=True)
class _WindowRows:
    """One window's rows of one version, arm and tenant, before they are counted."""

    rows: list[Row] = field(default_factory=list[Row])
    latencies: list[int] = field(default_factory=list[int])
    traffic: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRAFFIC, 0))


def _at(gathered: dict[_Place, _WindowRows], place: _Place) -> _WindowRows:
    found = gathered.get(place)
    if found is None:
        found = gathered[place] = _WindowRows()
    return found


def _columns(layout: Layout, rows: Sequence[Row]) -> dict[str, Any]:
    """The rows' values and outputs by the layout's names."""
    outputs = [row.output for row in rows]
    values = [row.values for row in rows]
    if layout.numeric:
        matrix = RowPacker(len(layout.names) - 1)(values)
        return dict(zip(layout.names, [*matrix.T, np.array(outputs)], strict=True))
    return dict(zip(layout.names, [*map(list, zip(*values, strict=True)), outputs], strict=True))
