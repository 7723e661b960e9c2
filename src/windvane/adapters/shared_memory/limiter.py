"""The limiter of one machine: exact over its worker processes, without a server."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterable, Sequence
from typing import TypeAlias, TypeVar

from windvane.adapters.shared_memory.memory import (
    MemoryFull,
    SharedMemory,
    Slot,
    lock_within,
    own_slot,
    shared_fd,
    slot_key,
)
from windvane.core.admission import Limit, RateLimitDecision

_log = logging.getLogger(__name__)

BUSY_RETRY_S = 0.1
"""What a request over a concurrency cap is told to wait: nobody knows when a place frees, and a
client that asks ten times a second neither burdens us nor loses much."""

_PATIENCE_S = 0.002
_STUCK_S = 0.05
_SAY_AGAIN_S = 60.0
_MAX_PLANS = 8_192
_MAX_KNOWN = 65_536
_CLOCK_SLACK_S = 1.0
_LOCK_NB = fcntl.LOCK_EX | fcntl.LOCK_NB
_UNLOCK = fcntl.LOCK_UN

_K = TypeVar("_K")
_V = TypeVar("_V")
# A limit with where it counts, taken apart for the path of a request.
_Bound: TypeAlias = (
    "tuple[Limit, Slot, memoryview[int], memoryview[float], memoryview[int], int, float, int]"
)
_Plan: TypeAlias = tuple[tuple[_Bound, ...], tuple[int, ...]]


class SharedLimiter:
    """An exact sliding log of each limit, and its requests under way, in shared memory.

    ``fd`` comes from ``shared_fd()`` of the parent; None makes memory of this worker's own.
    ``worker`` is this process' number among those who share, used by one process at a time: who
    comes after one that was killed frees what that one held. ``solo`` says that there is no other
    worker, and saves the locks.

    The clock of ``now`` is one that all workers read alike (``time.monotonic``). Not for several
    threads at once. A limit's name is ``tenant`` or ``tenant/model``; limits of one tenant share
    a lock.

    If a lock is not to be had within ``patience_s``, the request is judged by what the memory
    says at that moment; that it was let in is there for all to see, and entered as soon as the
    lock can be had. So a few too many may pass where workers decide at the very same moment,
    but none uncounted. ``unlocked`` counts such decisions. A limit that finds no room in the
    memory is counted in this process alone. Both are logged, once a minute at most.
    """

    def __init__(
        self, fd: int | None, worker: int, *, solo: bool, patience_s: float = _PATIENCE_S
    ) -> None:
        self._owns = fd is None
        self._fd = shared_fd() if fd is None else fd
        try:
            self._memory = SharedMemory(self._fd, worker)
        except BaseException:
            self._close_fd()
            raise
        self._worker = worker
        self._solo = solo
        self._patience_s = patience_s
        # By identity, which needs no hashing. An entry keeps its sequence alive, so that no other
        # object can come to have its address.
        self._plans: dict[int, tuple[Sequence[Limit], _Plan]] = {}
        self._bounds: dict[Limit, _Bound] = {}
        self._spare: dict[bytes, Slot] = {}
        self._stuck: dict[int, float] = {}
        self._said: dict[str, float] = {}
        self.unlocked = 0

    @property
    def at_once(self) -> bool:
        return True

    @property
    def degraded(self) -> bool:
        """Never: there is no remote limiter to lose."""
        return False

    def acquire(self, limits: Sequence[Limit], now: float) -> RateLimitDecision:
        """Microseconds. A tuple that is used again, rather than made for each request, saves
        finding its limits.

        ``limit`` of an admitted request is the one with least left among those with a rate, or
        None. A request that several limits refuse is told of the longest wait.
        """
        known = self._plans.get(id(limits))
        plan, locks = self._plan(limits) if known is None else known[1]
        if not locks:
            return self._decide(plan, now, True)
        if len(locks) > 1:
            return self._take_locks(plan, locks, now)
        byte: int = next(iter(locks))
        try:
            fcntl.lockf(self._fd, _LOCK_NB, 1, byte)
        except OSError:
            if not self._wait(byte):
                return self._decide(plan, now, False)
        try:
            return self._decide(plan, now, True)
        finally:
            fcntl.lockf(self._fd, _UNLOCK, 1, byte)

    def release(self, decision: RateLimitDecision) -> None:
        places = decision.places
        if places is None:
            return
        assert isinstance(places, tuple)
        worker = self._worker
        for slot in places:
            # Nobody else writes this word, so no lock.
            busy = slot.busy
            held = busy[worker]
            if held > 0:
                busy[worker] = held - 1

    def close(self) -> None:
        """Let go of the memory; nothing may be taken afterwards."""
        self._plans.clear()
        self._bounds.clear()
        self._spare.clear()
        self._memory.close()
        self._close_fd()

    def _decide(self, plan: tuple[_Bound, ...], now: float, locked: bool) -> RateLimitDecision:
        """Admit under all limits or under none; without the lock nothing shared is written but
        this worker's own words."""
        worker = self._worker
        refused: Limit | None = None
        nearest: Limit | None = None
        wait = reset = certain = 0.0
        least = 0
        seen = 0 if self._solo else self._memory.workers_seen
        for limit, slot, head, times, busy, rate, per_s, cap in plan:
            if rate:
                if locked and slot.owed:
                    slot.settle(rate, worker)
                count, left = head[0], head[1]
                cut = now - per_s
                if left < count and times[left % rate] <= cut:
                    left = slot.leave(rate, left, count, cut)
                    if locked:
                        head[1] = left
                room = rate - count + left
                full = locked and room <= 0  # what is owed may still turn out to be less
                if seen and any(slot.owes[:seen]):
                    room -= slot.owing(seen, cut)
                frees = times[left % rate] - cut if left < count else per_s
                if room <= 0:
                    if frees > per_s + _CLOCK_SLACK_S and locked:
                        self._say("clock", "limit %s: the clock went back; begun anew", limit.name)
                        head[1] = count
                    else:
                        if full:
                            certain = max(certain, frees)
                        if frees > wait:
                            refused, wait = limit, frees
                elif nearest is None or room < least:
                    nearest, least, reset = limit, room, frees
            if cap:
                held = sum(busy[:seen]) if seen else busy[worker]
                if held >= cap and wait < BUSY_RETRY_S:
                    refused, wait = limit, BUSY_RETRY_S
        if refused is not None:
            return RateLimitDecision(refused, 0, wait, wait, None, certain)
        places: tuple[Slot, ...] | None = None
        for _, slot, head, times, busy, rate, per_s, cap in plan:
            if rate:
                if locked:
                    count = head[0]
                    # Workers read the clock before they have the lock: times may be out of order.
                    last = times[(count - 1) % rate] if count > head[1] else now
                    times[count % rate] = now if now > last else last  # noqa: FURB136
                    head[0] = count + 1
                else:
                    slot.owe(worker, now, now - per_s)
            if cap:
                busy[worker] += 1
                places = (slot,) if places is None else (*places, slot)
        return RateLimitDecision(nearest, least - 1 if nearest else 0, reset, 0.0, places)

    def _take_locks(
        self, plan: tuple[_Bound, ...], locks: tuple[int, ...], now: float
    ) -> RateLimitDecision:
        """Limits of several tenants: their locks in one order, so that nobody waits in a ring."""
        held: list[int] = []
        try:
            for byte in locks:
                try:
                    fcntl.lockf(self._fd, _LOCK_NB, 1, byte)
                except OSError:
                    if not self._wait(byte):
                        break
                held.append(byte)
            return self._decide(plan, now, len(held) == len(locks))
        finally:
            for byte in held:
                fcntl.lockf(self._fd, _UNLOCK, 1, byte)

    def _wait(self, byte: int) -> bool:
        """The lock was held. Try on for a while, but only once where that did not help a moment
        ago: a process that is stopped while it holds a lock would cost everybody the wait."""
        patience = self._patience_s
        if self._stuck and self._stuck.get(byte, 0.0) > time.monotonic():
            patience = 0.0
        if lock_within(self._fd, byte, patience):
            return True
        if patience:
            if len(self._stuck) >= _MAX_KNOWN:
                self._stuck.clear()
            self._stuck[byte] = time.monotonic() + _STUCK_S
        self.unlocked += 1
        self._say(
            "lock",
            "%d requests were limited without the lock, held by another worker for over %.0f ms",
            self.unlocked, self._patience_s * 1e3,
        )  # fmt: skip
        return False

    def _plan(self, limits: Sequence[Limit]) -> _Plan:
        """Where each limit counts, and the locks in their order."""
        plan: list[_Bound] = []
        keep = type(limits) is tuple  # a list could change
        for limit in dict.fromkeys(limits):
            if limit.rate or limit.concurrent:
                bound = self._bounds.get(limit)
                if bound is None:
                    bound, sure = self._bind(limit)
                    keep = keep and sure
                plan.append(bound)
        shared: Iterable[Slot] = () if self._solo else (b[1] for b in plan if b[1].shared)
        made = tuple(plan), tuple(sorted({slot.lock for slot in shared}))
        if keep:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[id(limits)] = limits, made
        return made

    def _bind(self, limit: Limit) -> tuple[_Bound, bool]:
        """The limit with its slot, and whether that stays its slot."""
        key = slot_key(limit)
        slot, why = None, "the directory is locked"
        try:
            slot = self._memory.find(limit, key, self._patience_s)
            sure = slot is not None
        except MemoryFull as full:
            why, sure = f"the shared memory is full, {full}", True
        if slot is None:
            self._say("room", "limit %s counts in this worker alone: %s", limit.name, why)
            slot = self._spare.get(key) or self._own(limit)
            _put(self._spare, key, slot)
        rate = len(slot.times)
        bound = (
            limit, slot, slot.head, slot.times, slot.busy, rate, limit.per_s, limit.concurrent
        )  # fmt: skip
        if sure:
            _put(self._bounds, limit, bound)
        return bound, sure

    def _own(self, limit: Limit) -> Slot:
        try:
            return own_slot(limit)
        except (OSError, OverflowError, ValueError) as error:
            _log.error("limit %s: %d is too many to count: %s", limit.name, limit.rate, error)
            return own_slot(Limit(limit.name, 0, limit.per_s, limit.concurrent))

    def _say(self, kind: str, message: str, *parts: object) -> None:
        """A warning, once a minute for its kind."""
        at = time.monotonic()
        if at >= self._said.get(kind, at):
            self._said[kind] = at + _SAY_AGAIN_S
            _log.warning(message, *parts)

    def _close_fd(self) -> None:
        if self._owns:
            os.close(self._fd)
            self._owns = False


def _put(known: dict[_K, _V], key: _K, value: _V) -> None:
    """Bounded: the first to come goes, and is found again when it is needed."""
    if key not in known and len(known) >= _MAX_KNOWN:
        del known[next(iter(known))]
    known[key] = value
