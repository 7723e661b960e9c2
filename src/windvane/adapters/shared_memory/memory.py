"""The shared memory: a header, a directory of limits, and for each limit its counters and log.

| where | what |
|---|---|
| 0 | header, 8 words of 8 bytes: magic, entries in use, next free byte, workers seen, capacity |
| 4096 | directory: an entry of 32 bytes a limit, in the order of their coming: key, offset, rate |
| then | a slot for each limit: 2 words of counts, 3 words a worker, the ring of times |

The file is sparse: a page costs memory from its first touch on. Whoever writes, writes what
counts last, so that a process that is killed between two words leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections import deque
from typing import ClassVar

from windvane.core.admission import Limit
from windvane.core.errors import WindvaneError

MAX_WORKERS = 64
SIZE_BYTES = 1 << 30
MAX_LIMITS = 65_536

_MAGIC = int.from_bytes(b"wvlimit1", "little")
_DIRECTORY = 4_096
_ENTRY = struct.Struct("<16sqq")
_HEADER = struct.Struct("<5q")
_COUNT, _FREE, _SEEN, _CAPACITY = 1, 2, 3, 4
_HEAD_WORDS = 2
_BUSY, _OWES, _OWED_AT = (_HEAD_WORDS + i * MAX_WORKERS for i in range(3))
_SLOT_WORDS = _HEAD_WORDS + 3 * MAX_WORKERS
_ALIGN = 64
_MAP_NORESERVE: int = getattr(mmap, "MAP_NORESERVE", 0)  # Linux; unknown to the type stubs

# POSIX locks are on byte numbers, whether the file has those bytes or not.
_DIRECTORY_LOCK = 1 << 61
_WORKER_LOCK = 1 << 60
_LOCK_NB = fcntl.LOCK_EX | fcntl.LOCK_NB
# A loop of tries costs a core; after these many the holder was put aside and needs the core.
_EAGER_TRIES = 20
_NAP_S = 20e-6
_MOVE_IN_S = 5.0


class BadMemory(WindvaneError):
    """The descriptor that a worker was given is no memory for limits."""

    code: ClassVar[str] = "LIM-101"
    hint = "it comes from `shared_fd()` of the same release, inherited from the supervisor"


class WorkerTaken(WindvaneError):
    """A worker's number lies outside of the table, or belongs to a process that is alive."""

    code: ClassVar[str] = "LIM-102"
    hint = f"each worker alive needs a number of its own, from 0 to {MAX_WORKERS - 1}"


class MemoryFull(Exception):
    """No room for another limit; never leaves this adapter."""


def shared_fd(*, size: int = SIZE_BYTES, limits: int = MAX_LIMITS) -> int:
    """A descriptor of fresh shared memory for limits; the caller owns it.

    ``size`` in bytes is address space, of which only touched pages cost memory; ``limits`` is how
    many different limits fit. Made once by the parent of all workers, who pass it on
    (``pass_fds``).
    """
    first = _aligned(_DIRECTORY + limits * _ENTRY.size)
    if size <= first:
        raise BadMemory(f"{size:,} bytes cannot hold a directory of {limits:,} limits")
    fd = os.memfd_create("windvane-limits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    # Never another size: touching a mapped page that was cut off would kill the worker.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    os.pwrite(fd, _HEADER.pack(_MAGIC, 0, first, 0, limits), 0)
    return fd


def slot_key(limit: Limit) -> bytes:
    """Which log a limit counts in: its name and window. Another cap on concurrency is the same
    log; another rate is a new one, which begins empty."""
    name = limit.name.encode("utf-8", "surrogatepass")
    head = struct.pack("<qdq", limit.rate, limit.per_s, len(name))
    return hashlib.blake2b(head + name, digest_size=16).digest()


def lock_byte(limit: Limit) -> int:
    """One lock for all limits of a tenant, so that a request under several takes one; 48 bits,
    so that two tenants hardly ever wait for each other."""
    tenant = limit.name.partition("/")[0].encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(tenant, digest_size=6).digest(), "little")


class Slot:
    """One limit's counters and ring, in shared memory or in this process' own.

    ``head`` is [admissions ever, admissions ever that have left the window]; ``times[i % rate]``
    is when admission i was; ``busy[w]`` is how many places worker w holds. ``owed`` are this
    worker's admissions that were decided without the lock, to be entered at the next chance;
    ``owes[w]`` is how many worker w owes, the last of them from ``owed_at[w]``, so that all know
    of them until then. Only w writes what is w's.
    """

    __slots__ = ("busy", "head", "lock", "owed", "owed_at", "owes", "shared", "times")
    busy: memoryview[int]
    head: memoryview[int]
    owes: memoryview[int]
    owed_at: memoryview[float]
    times: memoryview[float]

    def __init__(
        self,
        words: memoryview[int],
        doubles: memoryview[float],
        offset: int,
        rate: int,
        lock: int,
        shared: bool,
    ) -> None:
        at = offset // 8
        self.head = words[at : at + _HEAD_WORDS]
        self.busy = words[at + _BUSY : at + _BUSY + MAX_WORKERS]
        self.owes = words[at + _OWES : at + _OWES + MAX_WORKERS]
        self.owed_at = doubles[at + _OWED_AT : at + _OWED_AT + MAX_WORKERS]
        self.times = doubles[at + _SLOT_WORDS : at + _SLOT_WORDS + rate]
        self.lock = lock
        self.owed: deque[float] = deque()
        self.shared = shared

    def leave(self, rate: int, left: int, count: int, cut: float) -> int:
        """How many of ``count`` admissions ever lie at or before ``cut``, given that at least
        ``left`` + 1 do: doubling steps, then halving ones, for times only grow."""
        times, step = self.times, 1
        while left + step < count and times[(left + step) % rate] <= cut:
            left += step
            step *= 2
        low, high = left + 1, min(left + step, count)
        while low < high:
            middle = (low + high) // 2
            if times[middle % rate] <= cut:
                low = middle + 1
            else:
                high = middle
        return low

    def enter(self, rate: int, at: float) -> None:
        """Write an admission; its time first, then the count that makes it count."""
        head, times = self.head, self.times
        count = head[0]
        last = times[(count - 1) % rate] if count > head[1] else at
        times[count % rate] = max(at, last)
        head[0] = count + 1
        if count + 1 - head[1] > rate:  # only what was owed can be too many
            head[1] = count + 1 - rate

    def owe(self, worker: int, at: float, cut: float) -> None:
        """Note an admission that cannot be entered now; what has left the window is forgotten."""
        owed = self.owed
        owed.append(at)
        while owed[0] <= cut:
            owed.popleft()
        self.owed_at[worker] = at
        self.owes[worker] = len(owed)

    def owing(self, workers: int, cut: float) -> int:
        """What all workers owe, as far as it may lie in the window."""
        owes, owed_at = self.owes, self.owed_at
        return sum(owes[w] for w in range(workers) if owes[w] and owed_at[w] > cut)

    def settle(self, rate: int, worker: int) -> None:
        """Enter what is owed."""
        for at in self.owed:
            self.enter(rate, at)
        self.owed.clear()
        self.owes[worker] = 0


class SharedMemory:
    """The mapped memory as one worker sees it."""

    def __init__(self, fd: int, worker: int) -> None:
        self._fd = fd
        size = os.fstat(fd).st_size
        if size < _DIRECTORY:
            raise BadMemory(f"{size:,} bytes shared, at least {_DIRECTORY:,} needed")
        if not 0 <= worker < MAX_WORKERS:
            raise WorkerTaken(f"worker {worker} of at most {MAX_WORKERS}")
        self._map = mmap.mmap(fd, size)
        view = memoryview(self._map)
        self._words = view.cast("q")
        self._doubles: memoryview[float] = view.cast("d")
        self._size = size
        self._read = 0
        self._known: dict[bytes, int] = {}
        try:
            if self._words[0] != _MAGIC:
                raise BadMemory("the shared memory does not begin as it should")
            self._move_in(worker)
        except WindvaneError:
            self.close()
            raise

    def _move_in(self, worker: int) -> None:
        """Free what a dead worker of this number held."""
        if not try_lock(self._fd, _WORKER_LOCK + worker):
            raise WorkerTaken(f"worker {worker} is alive in another process")
        if not lock_within(self._fd, _DIRECTORY_LOCK, _MOVE_IN_S):
            raise BadMemory(f"the directory of limits was locked for {_MOVE_IN_S:.0f} s")
        try:
            words = self._words
            for offset in self._entries().values():
                words[offset // 8 + _BUSY + worker] = 0
                words[offset // 8 + _OWES + worker] = 0
            words[_SEEN] = max(words[_SEEN], worker + 1)
        finally:
            unlock(self._fd, _DIRECTORY_LOCK)

    @property
    def workers_seen(self) -> int:
        return self._words[_SEEN]

    def find(self, limit: Limit, key: bytes, patience_s: float) -> Slot | None:
        """The limit's slot, made where it is new; None if the directory was locked for longer than
        ``patience_s``. Raises MemoryFull."""
        offset = self._known.get(key)
        if offset is None:
            offset = self._entries().get(key)
        if offset is None:
            if not lock_within(self._fd, _DIRECTORY_LOCK, patience_s):
                return None
            try:
                offset = self._entries().get(key)
                if offset is None:
                    offset = self._append(key, limit.rate)
            finally:
                unlock(self._fd, _DIRECTORY_LOCK)
        return Slot(self._words, self._doubles, offset, limit.rate, lock_byte(limit), shared=True)

    def _entries(self) -> dict[bytes, int]:
        """Read on in the directory; entries are never changed or taken away."""
        count = self._words[_COUNT]
        for i in range(self._read, count):
            key, offset, _ = _ENTRY.unpack_from(self._map, _DIRECTORY + i * _ENTRY.size)
            self._known[key] = offset
        self._read = count
        return self._known

    def _append(self, key: bytes, rate: int) -> int:
        words = self._words
        count, free = words[_COUNT], words[_FREE]
        end = _aligned(free + (_SLOT_WORDS + rate) * 8)
        if count >= words[_CAPACITY] or end > self._size:
            raise MemoryFull(f"{count:,} limits in {free:,} of {self._size:,} bytes")
        _ENTRY.pack_into(self._map, _DIRECTORY + count * _ENTRY.size, key, free, rate)
        words[_FREE] = end
        words[_COUNT] = count + 1
        return free

    def close(self) -> None:
        """Unmap, unless a slot is still held by somebody; then the last one to let go does."""
        self._known.clear()
        self._words.release()
        self._doubles.release()
        try:
            self._map.close()
        except BufferError:
            pass


def own_slot(limit: Limit) -> Slot:
    """A slot in memory of this process alone; raises OSError or OverflowError if the rate is
    more than can be mapped."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    view = memoryview(mmap.mmap(-1, (_SLOT_WORDS + limit.rate) * 8, flags=flags))
    return Slot(view.cast("q"), view.cast("d"), 0, limit.rate, 0, shared=False)


def try_lock(fd: int, byte: int) -> bool:
    try:
        fcntl.lockf(fd, _LOCK_NB, 1, byte)
    except OSError:
        return False
    return True


def lock_within(fd: int, byte: int, patience_s: float) -> bool:
    """Lock ``byte``; False after ``patience_s``. The kernel frees the locks of who is killed."""
    if try_lock(fd, byte):
        return True
    tries, deadline = 0, time.perf_counter() + patience_s
    while time.perf_counter() < deadline:
        if tries > _EAGER_TRIES:
            time.sleep(_NAP_S)
        tries += 1
        if try_lock(fd, byte):
            return True
    return False


def unlock(fd: int, byte: int) -> None:
    fcntl.lockf(fd, fcntl.LOCK_UN, 1, byte)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN
