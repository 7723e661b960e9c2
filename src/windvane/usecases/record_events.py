"""Move events from a spool into the log and the window sketches, each exactly once.

What cannot be recorded is set aside with its reason, and the rest of the batch goes on; an outage
of the store or the log stops everything until it is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.sketch import NO_AXES, Sketch, SketchError
from windvane.ports.clock import Clock
from windvane.ports.control_store import (
    Access,
    Checkpoint,
    ControlStore,
    LeaseLost,
    RowRejected,
    Tx,
    UnitSeen,
    WindowKey,
)
from windvane.ports.event_log import EventLog, LogEntry
from windvane.ports.events import EVENTS, Denied, Event, SpoolRecord, event_key
from windvane.ports.quarantine import MAX_MESSAGE, Counted, CountName, ItemStatus, Quarantined
from windvane.ports.spool import Batch, SpoolReader
from windvane.usecases.check_event import (
    UncountableEvent,
    UnreadableEvent,
    UnrecordableEvent,
    check_event,
)
from windvane.usecases.count_events import count_events, units_of
from windvane.usecases.count_late import late_events
from windvane.usecases.event_contracts import EventContracts
from windvane.usecases.quarantine_event import (
    QUARANTINE_SPOOL,
    RETRY_LEASE,
    quarantined_event,
)
from windvane.usecases.record_access import accesses

_log = logging.getLogger(__name__)
_READ_BYTES = 4 << 20
_ROUNDS = 16
_SEEN_EVERY_S = 15.0
_MOST_REFUSED = 10  # one after the other; then it is not the events
_RETRY_LEASE_S = 60.0
# What an event may raise that is bad itself; what a store, a log or a disk raises that is out, is
# none of these.
_UNFIT = (
    RowRejected, msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError,
    AttributeError, RecursionError, SketchError,
)  # fmt: skip

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

    def forget(self, key: str) -> None:
        """As if it had never been added."""
        self._young.discard(key)
        self._old.discard(key)

    def remember(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.add(key)


class _Item(msgspec.Struct, frozen=True, gc=False):
    """A record that can be read; ``new``: not a repetition of one that is recorded already."""

    position: int
    payload: bytes
    event: SpoolRecord
    new: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """What comes next of a spool, up to ``end``: what is to be recorded, and what is set aside.

    ``retried``: by position, what was set aside before and is put back now.
    """

    spool: str
    end: int
    items: Sequence[_Item] = ()
    aside: Sequence[Quarantined] = ()
    lost: int = 0
    retried: Mapping[int, Quarantined] = field(default_factory=dict[int, Quarantined])

    def entries(self) -> list[LogEntry]:
        """What of it the log is to have."""
        spool = self.spool
        return [
            LogEntry(spool, item.position, item.event)
            for item in self.items
            if item.new and not isinstance(item.event, Denied)
        ]

    def halves(self) -> tuple[_Part, _Part]:
        """One after the other; what was set aside goes with the first."""
        middle = len(self.items) // 2
        first, second = self.items[:middle], self.items[middle:]
        return (
            replace(self, items=first, end=second[0].position),
            replace(self, items=second, aside=(), lost=0),
        )


@dataclass(frozen=True, slots=True)
class _Counted:
    """What the store is told of a part of a spool."""

    events: int
    sketches: Mapping[WindowKey, Sketch]
    units: Sequence[UnitSeen]
    access: Sequence[Access]
    times: Mapping[str, Sequence[float]]


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

    What makes a batch fail is found by halving it, in order, so that the log and the checkpoint
    of each half stay as they are of a batch.
    """

    def __init__(
        self, name: str, store: ControlStore, log: EventLog, spool: SpoolReader, clock: Clock
    ) -> None:
        self._name = name
        self._store = store
        self._log = log
        self._spool = spool
        self._clock = clock
        self._known = EventContracts()
        self._seen = SeenKeys()
        self._token: int | None = None
        self._refused = 0
        with store.read() as tx:
            self._checkpoints = {c.spool: c for c in tx.checkpoints()}
            pending = tx.retrying(0)
            place = pending[0].place if pending else tx.next_place()
        positions = {c.spool: c.position for c in self._checkpoints.values()}
        positions[QUARANTINE_SPOOL] = place
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
        """Record what is new in every spool, and what is put back from the quarantine; the number
        of events.

        One batch of each in turn, at most ``rounds`` times: a spool that never pauses keeps
        neither the others nor the caller waiting. ``background`` gets a batch in pieces,
        and may take its time: the store is not held meanwhile.
        """
        recorded = self._retry(background)
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
        try:
            batch = background(
                lambda: self._spool.read(checkpoint.spool, checkpoint.position, _READ_BYTES)
            )
        except OSError:
            # The others go on; this one is not seen meanwhile, and expires in the end.
            _log.exception("spool %s cannot be read at %d", spool, checkpoint.position)
            return None
        if batch.end == checkpoint.position:
            self._idle(checkpoint, before)
            return None
        return self._record_batch(batch, background)

    def _idle(self, checkpoint: Checkpoint, before: float) -> None:
        """Nothing newer was in the spool when the clock stood at ``before``."""
        wall, seen_at = self._clock.wall(), checkpoint.seen_at
        seen = seen_at is not None and 0.0 <= wall - seen_at < _SEEN_EVERY_S
        if before > checkpoint.watermark or not seen or checkpoint.dropped:
            watermark = max(before, checkpoint.watermark)
            fresh = replace(checkpoint, watermark=watermark, seen_at=wall, dropped=False)
            with self._store.begin([]) as tx:
                tx.set_checkpoint(fresh)
            self._checkpoints[checkpoint.spool] = fresh

    def _catch_up(self) -> None:
        """Finish the one batch that the log may have and the store has not."""
        for spool in self._spool.spools():
            reached = self._log.appended(spool)
            while (position := self._checkpoint(spool).position) < reached:
                behind = min(reached - position, _READ_BYTES)
                batch = self._spool.read(spool, position, behind)
                if batch.end == position:
                    break
                self._record_batch(batch, at_once)

    def _retry(self, background: BackgroundExecutor) -> int:
        """Record what somebody put back from the quarantine, if no other recorder does."""
        with self._store.read() as tx:
            waiting = bool(tx.retrying(0))
        if not waiting:
            return 0
        with self._store.begin() as tx:
            self._token = tx.acquire(RETRY_LEASE, self._name, _RETRY_LEASE_S)
            items = tx.retrying(_READ_BYTES) if self._token is not None else []
        if not items:
            return 0
        payloads = tuple((item.place, item.body) for item in items)
        batch = Batch(QUARANTINE_SPOOL, items[0].place, items[-1].place + 1, payloads)
        try:
            return self._record_batch(batch, background, {item.place: item for item in items})
        except LeaseLost:
            _log.warning("another recorder records what was put back from the quarantine")
            raise  # what this one holds as recorded is not

    def _record_batch(
        self,
        batch: Batch,
        background: BackgroundExecutor,
        retried: Mapping[int, Quarantined] | None = None,
    ) -> int:
        items, bad = background(lambda: self._decode(batch))
        if events := [i.event for i in items if not isinstance(i.event, Denied)]:
            with self._store.read() as tx:
                self._known.load(tx, events)
        good: list[_Item] = []
        for item in items:
            event = item.event
            fault = None if isinstance(event, Denied) else self._known.fault_of(event)
            if fault is None:
                good.append(item)
            else:
                bad.append((item.position, item.payload, event, fault))
        part = _Part(batch.spool, batch.end, good, (), batch.lost, retried or {})
        return self._record(self._set_aside(part, bad), background)

    def _decode(self, batch: Batch) -> tuple[list[_Item], list[_Bad]]:
        """What can be read of it, and what cannot."""
        items: list[_Item] = []
        bad: list[_Bad] = []
        now = self._clock.now()
        for position, payload in batch.payloads:
            event = None
            try:
                event = EVENTS.decode(payload)
                check_event(event, now)
                # A request that is repeated is recorded once, but whoever sent it called twice.
                new = isinstance(event, Denied) or self._seen.add(event_key(event))
                items.append(_Item(position, payload, event, new))
            except WindvaneError as error:
                bad.append((position, payload, event, error))
            except _UNFIT as error:
                fault = UnreadableEvent(f"{type(error).__name__}: {error}")
                bad.append((position, payload, event, fault))
        return items, bad

    def _set_aside(self, part: _Part, bad: Sequence[_Bad]) -> _Part:
        """The part without what is bad of it."""
        aside = list(part.aside)
        for code, faults in _by_code(bad).items():
            _log.error(
                "spool %s: %d events up to %d are set aside as %s, one of them at %d: %s",
                part.spool, len(faults), part.end, code, *faults[0],
            )  # fmt: skip
        for position, payload, event, fault in bad:
            if event is not None and not isinstance(event, Denied):
                self._seen.forget(event_key(event))
            if position in part.retried:
                held, status = part.retried[position], ItemStatus.HELD
                again = replace(held, status=status, reason=fault.code, message=fault.message)
                aside.append(again)
            else:
                now = self._clock.now()
                aside.append(quarantined_event(part.spool, position, payload, event, fault, now))
        gone = {position for position, *_ in bad}
        items = [item for item in part.items if item.position not in gone]
        return replace(part, items=items, aside=aside)

    def _record(self, part: _Part, background: BackgroundExecutor) -> int:
        """Log a part of a batch, count it, and move the checkpoint behind it; its events."""
        entries = part.entries()
        try:
            counted = background(lambda: self._count(part.items, entries))
        except _UNFIT as error:
            bad = background(lambda: self._uncountable(part.items))
            if not bad:  # each can be counted by itself, but not together with the others
                return self._halve(part, background, error)
            return self._record(self._set_aside(part, bad), background)
        contracts = {name: contract for name, (contract, _) in self._known.contracts.items()}
        try:
            background(lambda: self._log.append(part.spool, part.end, entries, contracts))
            self._commit(part, counted)
        except _UNFIT as error:
            return self._halve(part, background, error)
        self._refused = 0 if counted.events else self._refused
        return counted.events

    def _halve(self, part: _Part, background: BackgroundExecutor, error: Exception) -> int:
        """Record each half of a part that cannot be recorded as one; the event that is left of it
        is bad."""
        if len(part.items) > 1:
            return sum(self._record(half, background) for half in part.halves())
        self._refused += 1
        if not part.items or self._refused > _MOST_REFUSED:
            raise error
        (item,) = part.items
        fault = UnrecordableEvent(f"{type(error).__name__}: {error}")
        bad = [(item.position, item.payload, item.event, fault)]
        return self._record(self._set_aside(part, bad), background)

    def _count(self, items: Sequence[_Item], entries: Sequence[LogEntry]) -> _Counted:
        events = [entry.event for entry in entries]
        times: dict[str, list[float]] = {}
        for event in events:
            times.setdefault(event.model, []).append(event.ts)
        return _Counted(
            len(events),
            count_events(self._known, self._name, events),
            units_of(self._known, events),
            accesses(item.event for item in items),
            times,
        )

    def _uncountable(self, items: Sequence[_Item]) -> list[_Bad]:
        """Those that cannot be counted even by themselves."""
        try:
            fresh: list[Event] = [
                i.event for i in items if i.new and not isinstance(i.event, Denied)
            ]
            count_events(self._known, self._name, fresh)
            units_of(self._known, fresh)
            accesses(item.event for item in items)
        except _UNFIT as error:
            if len(items) == 1:
                (item,) = items
                fault = UncountableEvent(f"{type(error).__name__}: {error}")
                return [(item.position, item.payload, item.event, fault)]
            middle = len(items) // 2
            return [*self._uncountable(items[:middle]), *self._uncountable(items[middle:])]
        return []

    def _commit(self, part: _Part, counted: _Counted) -> None:
        with self._store.begin([]) as tx:
            if any(sketch.layout_id == NO_AXES.id for sketch in counted.sketches.values()):
                tx.put_layout(NO_AXES)
            tx.add_sketches(counted.sketches)
            tx.add_units(counted.units)
            tx.add_access(counted.access)
            tx.add_quarantined(part.aside)
            counts = late_events(tx, counted.times)
            counts[Counted(CountName.SPOOL_LOST_BYTES)] = part.lost
            tx.add_counts(counts)
            if part.spool == QUARANTINE_SPOOL:
                self._settle(tx, part)
                return
            fresh = self._after(part, counted)
            tx.set_checkpoint(fresh)
        self._checkpoints[part.spool] = fresh
        self._spool.release(part.spool, fresh.position)

    def _settle(self, tx: Tx, part: _Part) -> None:
        """What was put back is recorded, and held no more."""
        tx.require(RETRY_LEASE, self._token or 0)
        tx.drop_quarantined([part.retried[item.position].id for item in part.items])

    def _after(self, part: _Part, counted: _Counted) -> Checkpoint:
        held, now = self._checkpoint(part.spool), self._clock.now()
        last = max((ts for times in counted.times.values() for ts in times), default=0.0)
        return Checkpoint(
            part.spool,
            part.end,
            # One clock that is ahead would close everybody's windows.
            max(held.watermark, min(last, now)),
            seen_at=self._clock.wall(),
            lost_bytes=held.lost_bytes + part.lost,
        )


_Bad = tuple[int, bytes, SpoolRecord | None, WindvaneError]
"""Position, payload, what it says if it can be read, and what is wrong with it."""


def _by_code(bad: Iterable[_Bad]) -> dict[str, list[tuple[int, str]]]:
    """Positions and messages; a line of the log for each event would be a flood."""
    out: dict[str, list[tuple[int, str]]] = {}
    for position, _, _, fault in bad:
        out.setdefault(fault.code, []).append((position, fault.message[:MAX_MESSAGE]))
    return out
