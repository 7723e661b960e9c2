"""Move events from a spool into the log and the window sketches, each exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

import msgspec
import numpy as np

from windvane.core.routing import CASCADED, HURRIED, SELECTED, SELECTED_CHALLENGER, Arm
from windvane.core.sketch import LATENCY_EDGES_US, NO_AXES, TRAFFIC, Layout, Sketch
from windvane.core.task import Contract, Task, make_task
from windvane.inference.imported import IMPORTED
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    Access,
    Checkpoint,
    ControlStore,
    Tx,
    UnitSeen,
    WindowKey,
)
from windvane.ports.event_log import EventLog, LogEntry
from windvane.ports.events import (
    EVENTS,
    Denied,
    OutcomeSeen,
    Predicted,
    Refused,
    RouteTaken,
    SpoolRecord,
    column_values,
    event_key,
)
from windvane.ports.spool import Batch, SpoolReader
from windvane.usecases.count_rows import Rows, count_rows, event_rows
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
        self._contracts: dict[str, tuple[Contract, Task]] = {}
        self._layouts: dict[str, Layout] = {NO_AXES.id: NO_AXES}
        self._version_layouts: dict[tuple[str, str], Layout] = {}
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
        contracts = {name: contract for name, (contract, _) in self._contracts.items()}
        background(lambda: self._log.append(batch.spool, batch.end, entries, contracts))
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
            if any(sketch.layout_id == NO_AXES.id for sketch in ready.sketches.values()):
                tx.put_layout(NO_AXES)
            tx.add_sketches(ready.sketches)
            tx.add_units(ready.units)
            tx.add_access(ready.access)
            tx.set_checkpoint(ready.checkpoint)
        self._checkpoints[ready.checkpoint.spool] = ready.checkpoint
        self._spool.release(ready.checkpoint.spool, ready.checkpoint.position)

    def _learn(self, entries: Sequence[LogEntry]) -> None:
        """Read contracts and layouts that were not met before, and models whose file is another
        by now."""
        if not entries:
            return
        with self._store.read() as tx:
            for contract_id in {e.event.contract for e in entries} - self._contracts.keys():
                contract = tx.contract(contract_id)
                self._contracts[contract_id] = (contract, make_task(contract.task))
            for name in {e.event.model for e in entries}:
                text = tx.model(name).text
                if name not in self._models or self._models[name].text != text:
                    file = read_model_file(text)
                    window_s = parse_duration(file.watch.window)
                    slow_us = parse_duration(file.watch.latency) * 1e6
                    self._models[name] = _Model(text, window_s, slow_us)
            for model, version in _versions(entries) - self._version_layouts.keys():
                layout_id = tx.version_layouts(model).get(version)
                self._version_layouts[model, version] = self._layout(tx, layout_id)

    def _layout(self, tx: Tx, layout_id: str | None) -> Layout:
        if layout_id is None:  # a version that is gone: its rows are traffic and no more
            return NO_AXES
        if layout_id not in self._layouts:
            self._layouts[layout_id] = tx.layout(layout_id)
        return self._layouts[layout_id]

    def _sketches(self, entries: Sequence[LogEntry]) -> dict[WindowKey, Sketch]:
        gathered: dict[_Place, _WindowRows] = {}
        windows = {name: model.window_s for name, model in self._models.items()}
        for entry in entries:
            event = entry.event
            model = event.model
            place = (model, event.ts // windows[model], event.tenant, event.contract)
            match event:
                case Predicted():
                    rows = event_rows(event)
                    for i, route in enumerate(event.routes_of()):
                        found = _at(gathered, (*place, route.routed, _counted_as(route)))
                        found.rows.values.append(rows.values[i])
                        found.rows.outputs.append(rows.outputs[i])
                        if not i:
                            found.traffic["requests"] += 1
                            # Of what was made elsewhere nobody need tell how long it took.
                            if event.latency_us or IMPORTED not in route.flags:
                                found.latencies.append(event.latency_us)
                        if route.answered != route.routed:
                            found.traffic["fell_back"] += 1
                        if route.flags and "failed" in route.flags:
                            found.traffic["execution_errors"] += 1
                case Refused():
                    found = _at(gathered, (*place, event.routed, event.arm))
                    found.traffic["unanswered" if event.routed else "refused"] += event.requests
                case OutcomeSeen():
                    _at(gathered, (*place, "", "")).traffic["outcomes"] += 1
        return self._count(gathered)

    def _count(self, gathered: Mapping[_Place, _WindowRows]) -> dict[WindowKey, Sketch]:
        """Count the rows of all windows of a contract and a layout at once."""
        out: dict[WindowKey, Sketch] = {}
        alike: dict[tuple[str, str], list[tuple[_Place, _WindowRows]]] = {}
        for place, held in gathered.items():
            model, _, _, contract, version, _ = place
            layout = self._version_layouts[model, version] if version else NO_AXES
            alike.setdefault((contract, layout.id), []).append((place, held))
        for (contract_id, layout_id), mine in alike.items():
            layout = self._layouts[layout_id]
            contract, task = self._contracts[contract_id]
            rows = Rows(
                [values for _, held in mine for values in held.rows.values],
                [outputs for _, held in mine for outputs in held.rows.outputs],
            )
            counts = np.zeros((len(mine), layout.size), np.int64)
            if len(rows) and layout.size:
                groups = np.repeat(np.arange(len(mine)), [len(held.rows) for _, held in mine])
                counts = count_rows(layout, contract, task, rows, groups, len(mine))
            for (place, held), features in zip(mine, counts, strict=True):
                model, window, tenant, _, version, arm = place
                start = window * self._models[model].window_s
                key = WindowKey(model, start, version, arm, tenant, self._name)
                counted = {**held.traffic, "rows": len(held.rows)}
                traffic = np.array([counted[name] for name in TRAFFIC], np.int64)
                bins = np.searchsorted(LATENCY_EDGES_US, held.latencies, side="left")
                latency = np.bincount(bins, minlength=len(LATENCY_EDGES_US) + 1)
                made = Sketch(layout.id, features, traffic, latency.astype(np.int64))
                # Two contracts of one window have one key and, by their version, one layout.
                out[key] = out[key] + made if key in out else made
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
            units = column_values(event.units, event.rows)
            for route, unit in zip(event.routes_of(), units, strict=True):
                if HURRIED in route.flags:  # it did not answer: no evidence that it is well
                    continue
                failed = "failed" in route.flags
                if route.arm == Arm.CHALLENGER or failed or slow:
                    named = unit or weak_unit(event)
                    out.append(UnitSeen(rollout, route.arm, named, int(step), failed, slow))
        return out


def _counted_as(route: RouteTaken) -> str:
    """The arm whose window a row is counted in."""
    if CASCADED not in route.flags:
        return route.arm
    return SELECTED_CHALLENGER if route.arm == Arm.CHALLENGER else SELECTED


def weak_unit(event: Predicted) -> str:
    """What a row counts as whose client named no unit: everything of one key in one minute. Rows
    of one caller depend on each other, so each by itself would be too much evidence."""
    return f"\x00{event.key}/{event.ts // 60.0:.0f}"


def _versions(entries: Sequence[LogEntry]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for entry in entries:
        event = entry.event
        if isinstance(event, Predicted):
            found |= {(event.model, route.routed) for route in event.routes}
        elif isinstance(event, Refused) and event.routed:
            found.add((event.model, event.routed))
    return found


# Model, number of the window, tenant, contract, version, arm.
_Place: TypeAlias = tuple[str, float, str, str, str, str]


@dataclass(slots=True)
class _WindowRows:
    """One window's rows of one version, arm and tenant, before they are counted."""

    rows: Rows = field(default_factory=Rows)
    latencies: list[int] = field(default_factory=list[int])
    traffic: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRAFFIC, 0))


def _at(gathered: dict[_Place, _WindowRows], place: _Place) -> _WindowRows:
    found = gathered.get(place)
    if found is None:
        found = gathered[place] = _WindowRows()
    return found
