"""Move events from a spool into the log and the window sketches, each exactly once.

What cannot be recorded is set aside with its reason, and the rest of the batch goes on; an outage
of the store or the log stops everything until it is over.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from windvane.ports.clock import Clock
from windvane.ports.control_store import Checkpoint, ControlStore, Tx
from windvane.ports.event_log import EventLog, LogEntry, LogRows
from windvane.ports.events import EVENTS, Denied, event_key
from windvane.ports.leases import LeaseLost
from windvane.ports.quarantine import (
    MAX_MESSAGE,
    Counted,
    CountName,
    ItemKind,
    ItemStatus,
    Quarantined,
)
from windvane.ports.spool import MOST_LOST_BYTES, Batch, SpoolReader
from windvane.usecases.check_event import UnloggedEvent, UnrecordableEvent
from windvane.usecases.commit_log import (
    MOST_REFUSED,
    UNFIT,
    CommitPolicy,
    PendingRows,
    RefusedRow,
    by_code,
    closes_at,
    commit_rows,
    prepare_each,
)
from windvane.usecases.count_late import judged_until, late_events
from windvane.usecases.count_part import (
    BadRecord,
    CountedPart,
    Item,
    Part,
    count_part,
    uncountable,
)
from windvane.usecases.decode_batch import decode_batch, decode_counted
from windvane.usecases.event_contracts import EventContracts
from windvane.usecases.passed_over import from_on, holds, joined, size_within
from windvane.usecases.quarantine_event import QUARANTINE_SPOOL, RETRY_LEASE, quarantined_event
from windvane.usecases.seen_keys import SeenKeys

_log = logging.getLogger(__name__)
_READ_BYTES = 4 << 20
_ROUNDS = 16
_SEEN_EVERY_S = 15.0
_RETRY_LEASE_S = 60.0
T = TypeVar("T")


class BackgroundExecutor(Protocol):
    """Runs what needs the processor but holds nobody up, soon or late; gives what that gave."""

    def __call__(self, work: Callable[[], T]) -> T: ...


def at_once(work: Callable[[], T]) -> T:
    return work()


class Recorder:
    """One machine's recorder.

    Each batch is counted in the control store, and waits for the log with others, both keyed by
    the spool position. After a crash, what is counted and not in the log is read again from the
    spool, which is kept up to there, and only logged. What is put back from the quarantine lies
    in no spool: it is in the log before it is counted.

    What makes a batch fail is found by halving it, in order, so that the log and the checkpoint
    of each half stay as they are of a batch.
    """

    def __init__(
        self,
        name: str,
        store: ControlStore,
        log: EventLog,
        spool: SpoolReader,
        clock: Clock,
        policy: CommitPolicy | None = None,
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
        self._seen_at = -math.inf
        with store.read() as tx:
            self._checkpoints = {c.spool: c for c in tx.checkpoints()}
            pending = tx.retrying(0, ItemKind.EVENT)
            place = pending[0].place if pending else tx.next_place()
        self._pending = PendingRows(policy or CommitPolicy())
        # What this machine counted and did not log is met again; what others did, is not.
        here = set(spool.spools())
        positions = {
            c.spool: c.logged if c.spool in here else c.position for c in self._checkpoints.values()
        }
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
            if self._pending.due(self._clock.wall()):
                self._commit_log(background)
            if not busy:
                break
        return recorded

    def finish(self) -> None:
        """Log what waits, before the process ends."""
        self._commit_log(at_once)

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
            wanted = max(before, checkpoint.watermark)
            watermark = self._pending.hold_watermark(
                checkpoint.spool, checkpoint.watermark, wanted, math.inf
            )
            fresh = replace(checkpoint, watermark=watermark, seen_at=wall, dropped=False)
            self._set(fresh)

    def _catch_up(self) -> None:
        """Log what is counted already, and count what is logged already."""
        spools = self._spool.spools()
        reached = {spool: self._log.appended(spool) for spool in spools}
        self._see()
        for spool in spools:
            self._log_again(spool)
        self._commit_log(at_once)
        for spool in spools:
            while (position := self._checkpoint(spool).position) < reached[spool]:
                behind = min(reached[spool] - position, _READ_BYTES)
                batch = self._spool.read(spool, position, behind)
                if batch.end == position:
                    break
                self._record_batch(batch, at_once)
                self._see_in_time()
        self._commit_log(at_once)

    def _see(self) -> None:
        """Say that the spools are there, though they are not read to their ends yet: none expires
        meanwhile, and what was given up of one is not."""
        wall = self._seen_at = self._clock.wall()
        fresh = {
            spool: replace(
                held, seen_at=wall, lost_bytes=held.lost_bytes - held.unlogged_lost, unlogged_lost=0
            )
            for spool in self._spool.spools()
            if (held := self._checkpoints.get(spool)) is not None
        }
        if not fresh:
            return
        with self._store.begin([]) as tx:
            for checkpoint in fresh.values():
                tx.set_checkpoint(checkpoint)
        self._checkpoints.update(fresh)

    def _see_in_time(self) -> None:
        if not 0.0 <= self._clock.wall() - self._seen_at < _SEEN_EVERY_S:
            self._see()

    def _set(self, checkpoint: Checkpoint) -> None:
        with self._store.begin([]) as tx:
            tx.set_checkpoint(checkpoint)
        self._checkpoints[checkpoint.spool] = checkpoint

    def _log_again(self, spool: str) -> None:
        """Have what is counted logged: all of it that was not passed over then."""
        start, until = self._checkpoint(spool).logged, self._checkpoint(spool).position
        while start < until:
            self._see_in_time()
            batch = self._spool.read(spool, start, min(until - start, _READ_BYTES))
            if not batch.payloads or batch.end > until:
                # Damaged since, or its end is gone, as after a power cut; the sketches have it.
                end = batch.end if start < batch.end <= until else until
                self._lose(spool, start, end)
                start = end
                continue
            passed = self._checkpoint(spool).passed
            bodies = {at: body for at, body in batch.payloads if not holds(passed, at)}
            entries, refused = decode_counted(spool, bodies, self._seen)
            with self._store.read() as tx:
                self._known.load(tx, [entry.event for entry in entries])
            rows, more = prepare_each(
                lambda end, some: self._prepare(spool, end, some), spool, batch.end, entries
            )
            refused += more
            if refused:
                aside = tuple((one.position, one.position + 1) for one in refused)
                fresh = replace(self._checkpoint(spool), passed=joined(passed, aside))
                with self._store.begin([]) as tx:
                    tx.add_quarantined([self._unlogged(one, bodies) for one in refused])
                    tx.set_checkpoint(fresh)
                self._checkpoints[spool] = fresh
            for one in rows:
                self._pending.add(one, start, math.inf)
            start = batch.end
            if self._pending.full():
                self._commit_log(at_once)

    def _lose(self, spool: str, start: int, until: int) -> None:
        """Pass what is counted and can be logged no more, but for what was passed over anyway."""
        self._commit_log(at_once)  # what is there, before its place is passed
        held = self._checkpoint(spool)
        lost = min(until - start - size_within(held.passed, start, until), MOST_LOST_BYTES)
        fresh = replace(
            held, lost_bytes=held.lost_bytes + lost, logged=until,
            passed=from_on(held.passed, until),
        )  # fmt: skip
        with self._store.begin([]) as tx:
            tx.set_checkpoint(fresh)
            tx.add_counts({Counted(CountName.SPOOL_LOST_BYTES): lost})
        self._checkpoints[spool] = fresh
        if lost:
            _log.error("spool %s: up to %d counted bytes from %d are gone", spool, lost, start)

    def _prepare(self, spool: str, end: int, entries: Sequence[LogEntry]) -> LogRows:
        contracts = {name: contract for name, (contract, _) in self._known.contracts.items()}
        return self._log.prepare(spool, end, entries, contracts)

    def _commit_log(self, background: BackgroundExecutor) -> None:
        """Log what waits; then the spools need it no more, and its windows may close."""
        pending = self._pending
        if not pending:
            return
        rows, ends, watermarks = pending.rows(), pending.ends(), pending.watermarks()
        refused = background(lambda: commit_rows(self._log, rows, ends))
        bodies = {(one.spool, one.position): self._body(one) for one in refused}
        fresh = {
            spool: replace(
                held,
                logged=end,
                watermark=max(held.watermark, watermarks[spool]),
                passed=from_on(held.passed, end),
            )
            for spool, end in ends.items()
            for held in (self._checkpoint(spool),)
        }
        with self._store.begin([]) as tx:
            for spool in {one.spool for one in refused}:
                mine = [one for one in refused if one.spool == spool]
                of_spool = {at: body for (name, at), body in bodies.items() if name == spool}
                tx.add_quarantined([self._unlogged(one, of_spool) for one in mine])
            for checkpoint in fresh.values():
                tx.set_checkpoint(checkpoint)
        self._checkpoints.update(fresh)
        self._store.sync()  # the spool is the only copy that a power cut leaves until then
        pending.committed(self._clock.wall())
        for spool, end in ends.items():
            self._spool.release(spool, end)

    def _body(self, refused: RefusedRow) -> bytes:
        return self._spool.read(refused.spool, refused.position, 1).payloads[0][1]

    def _unlogged(self, refused: RefusedRow, bodies: Mapping[int, bytes]) -> Quarantined:
        error, body = refused.error, bodies[refused.position]
        event = None
        with contextlib.suppress(*UNFIT):
            event = EVENTS.decode(body)
        if event is not None and not isinstance(event, Denied):
            self._seen.forget(event_key(event))
        fault = UnloggedEvent(f"{type(error).__name__}: {error}")
        _log.error(
            "spool %s: %d is counted, not logged: %s", refused.spool, refused.position, fault
        )
        return quarantined_event(
            refused.spool, refused.position, body, event, fault, self._clock.now()
        )

    def _retry(self, background: BackgroundExecutor) -> int:
        """Record what somebody put back from the quarantine, if no other recorder does."""
        with self._store.read() as tx:
            waiting = bool(tx.retrying(0, ItemKind.EVENT))
        if not waiting:
            return 0
        with self._store.begin([]) as tx:
            self._token = tx.acquire(RETRY_LEASE, self._name, _RETRY_LEASE_S)
            items = tx.retrying(_READ_BYTES, ItemKind.EVENT) if self._token is not None else []
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
        items, bad = background(lambda: decode_batch(batch, self._seen, self._clock.now()))
        if events := [i.event for i in items if not isinstance(i.event, Denied)]:
            with self._store.read() as tx:
                self._known.load(tx, events)
        good: list[Item] = []
        for item in items:
            event = item.event
            fault = None if isinstance(event, Denied) else self._known.fault_of(event)
            if fault is None:
                good.append(item)
            else:
                bad.append((item.position, item.payload, event, fault))
        part = Part(batch.spool, batch.end, good, (), batch.lost, retried or {})
        return self._record(self._set_aside(part, bad), background)

    def _set_aside(self, part: Part, bad: Sequence[BadRecord]) -> Part:
        """The part without what is bad of it."""
        aside = list(part.aside)
        told = [(position, fault) for position, _, _, fault in bad]
        for code, faults in by_code(told, MAX_MESSAGE).items():
            _log.error(
                "spool %s: %d events up to %d are set aside as %s, one of them at %d: %s",
                part.spool, len(faults), part.end, code, *faults[0],
            )  # fmt: skip
        for position, payload, event, fault in bad:
            if event is not None and not isinstance(event, Denied):
                self._seen.forget(event_key(event))
            if position in part.retried:
                held, status = part.retried[position], ItemStatus.HELD
                # What is counted already stays so.
                reason = held.reason if held.reason == UnloggedEvent.code else fault.code
                again = replace(held, status=status, reason=reason, message=fault.message)
                aside.append(again)
            else:
                now = self._clock.now()
                aside.append(quarantined_event(part.spool, position, payload, event, fault, now))
        gone = {position for position, *_ in bad}
        items = [item for item in part.items if item.position not in gone]
        passed = [*part.passed, *gone]
        return replace(part, items=items, aside=aside, passed=passed)

    def _record(self, part: Part, background: BackgroundExecutor) -> int:
        """Log a part of a batch, count it, and move the checkpoint behind it; its events."""
        entries = part.entries()
        logged = {p for p, item in part.retried.items() if item.reason == UnloggedEvent.code}
        items = [item for item in part.items if item.position not in logged]
        try:
            counted = background(lambda: count_part(self._known, self._name, items))
        except UNFIT as error:
            bad = background(lambda: uncountable(self._known, self._name, part.items))
            if not bad:  # each can be counted by itself, but not together with the others
                return self._halve(part, background, error)
            return self._record(self._set_aside(part, bad), background)
        try:
            rows = background(lambda: self._prepare(part.spool, part.end, entries))
            if part.spool == QUARANTINE_SPOOL:
                background(lambda: self._log.commit([rows], {part.spool: part.end}))
            self._commit(part, counted, rows)
        except UNFIT as error:
            return self._halve(part, background, error)
        self._refused = 0 if entries else self._refused
        return len(entries)

    def _halve(self, part: Part, background: BackgroundExecutor, error: Exception) -> int:
        """Record each half of a part that cannot be recorded as one; the event that is left of it
        is bad."""
        if len(part.items) > 1:
            return sum(self._record(half, background) for half in part.halves())
        self._refused += 1
        if not part.items or self._refused > MOST_REFUSED:
            raise error
        (item,) = part.items
        fault = UnrecordableEvent(f"{type(error).__name__}: {error}")
        bad = [(item.position, item.payload, item.event, fault)]
        return self._record(self._set_aside(part, bad), background)

    def _commit(self, part: Part, counted: CountedPart, rows: LogRows) -> None:
        held = self._checkpoint(part.spool)
        with self._store.begin([]) as tx:
            judged = {name: judged_until(tx, name) for name in counted.times}
            closing = closes_at(self._known.models, counted.times, judged)
            used = {sketch.layout_id for sketch in counted.sketches.values()}
            for layout in self._known.unstored(used):
                tx.put_layout(layout)
            tx.add_sketches(counted.sketches)
            tx.add_segments(counted.segments)
            tx.add_first_requests(counted.units.requests)
            tx.add_unit_events(counted.units.events)
            tx.add_access(counted.access)
            tx.add_quarantined(part.aside)
            counts = late_events(tx, counted.times)
            counts[Counted(CountName.SPOOL_LOST_BYTES)] = part.lost
            tx.add_counts(counts)
            if part.spool == QUARANTINE_SPOOL:
                self._settle(tx, part)
                return
            fresh = self._after(held, part, counted, closing)
            tx.set_checkpoint(fresh)
        self._checkpoints[part.spool] = fresh
        self._pending.add(rows, held.position, closing, len(fresh.passed))

    def _settle(self, tx: Tx, part: Part) -> None:
        """What was put back is recorded, and held no more."""
        tx.require(RETRY_LEASE, self._token or 0)
        tx.drop_quarantined([part.retried[item.position].id for item in part.items])

    def _after(
        self, held: Checkpoint, part: Part, counted: CountedPart, closing: float
    ) -> Checkpoint:
        last = max((ts for times in counted.times.values() for ts in times), default=0.0)
        # One clock that is ahead would close everybody's windows.
        wanted = max(held.watermark, min(last, self._clock.now()))
        return Checkpoint(
            part.spool,
            part.end,
            self._pending.hold_watermark(part.spool, held.watermark, wanted, closing),
            seen_at=self._clock.wall(),
            lost_bytes=held.lost_bytes + part.lost,
            logged=held.logged,
            passed=joined(held.passed, part.passed_over(held.position)),
        )
