"""The shared memory itself: who may use it, what happens when it is full or locked."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.limits.worlds import fresh

from windvane.adapters.shared_memory import (
    BUSY_RETRY_S,
    BadMemory,
    SharedLimiter,
    WorkerTaken,
    shared_fd,
)
from windvane.adapters.shared_memory.memory import lock_byte
from windvane.core.admission import Limit

HOLD_LOCK = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1, int(sys.argv[2]))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def fd() -> Iterator[int]:
    made = shared_fd()
    yield made
    os.close(made)


def test_it_costs_only_the_pages_that_are_touched(fd: int) -> None:
    limiter = SharedLimiter(fd, 0, solo=False)
    for i in range(100):
        limiter.acquire((Limit(f"t{i}", 6_000),), 1.0)
    used = os.fstat(fd).st_blocks * 512
    assert os.fstat(fd).st_size == 1 << 30
    assert used < 2 << 20
    limiter.close()


def test_counts_outlive_the_workers(fd: int) -> None:
    limit = Limit(fresh(), 5)
    for left in (4, 3, 2):
        worker = SharedLimiter(fd, 0, solo=False)
        assert worker.acquire((limit,), 1.0).remaining == left
        worker.close()


def test_closing_leaves_nothing_open() -> None:
    # A file that an earlier test left to the collector would be closed meanwhile.
    gc.collect()
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    for _ in range(5):
        limiter = SharedLimiter(None, 0, solo=True)
        taken = limiter.acquire((Limit("t", 5, 60.0, 2),), 1.0)
        limiter.close()
        del taken
        limiter.close()
    gc.collect()
    assert {path.name for path in Path("/proc/self/fd").iterdir()} <= before


@pytest.mark.parametrize("worker", [-1, 64])
def test_a_worker_has_a_number_of_the_table(fd: int, worker: int) -> None:
    with pytest.raises(WorkerTaken, match="LIM-102"):
        SharedLimiter(fd, worker, solo=False)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"x" * 8_192)
    with path.open("r+b") as file, pytest.raises(BadMemory, match="LIM-101"):
        SharedLimiter(file.fileno(), 0, solo=False)
    path.write_bytes(b"")
    with path.open("r+b") as file, pytest.raises(BadMemory, match="0 bytes shared"):
        SharedLimiter(file.fileno(), 0, solo=False)
    with pytest.raises(BadMemory, match="cannot hold"):
        shared_fd(size=8_192)


def test_nobody_can_cut_the_memory_off(fd: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)


@pytest.mark.parametrize("small", [{"limits": 1}, {"size": 2_200_000}])
def test_a_limit_without_room_is_counted_in_its_worker_and_said_once(
    caplog: pytest.LogCaptureFixture, small: dict[str, int]
) -> None:
    fd = shared_fd(**small)
    one, other = (SharedLimiter(fd, i, solo=False) for i in range(2))
    fits, rest = Limit("fits", 3), [Limit(f"t{i}", 20_000 + i, 60.0, 1) for i in range(5)]
    with caplog.at_level(logging.WARNING):
        assert one.acquire((fits,), 1.0).remaining == 2
        assert other.acquire((fits,), 1.0).remaining == 1
        for limit in rest:
            taken = one.acquire((limit,), 1.0)
            assert taken.remaining == limit.rate - 1
            assert not one.acquire((limit,), 1.0).admitted
            one.release(taken)
            assert one.acquire((limit,), 1.0).remaining == limit.rate - 2
    warned = [r.getMessage() for r in caplog.records]
    assert len(warned) == 1
    assert "counts in this worker alone: the shared memory is full" in warned[0]
    assert other.acquire((rest[-1],), 1.0).remaining == rest[-1].rate - 1
    one.close()
    other.close()
    os.close(fd)


def test_a_rate_beyond_all_memory_is_not_kept_and_said(caplog: pytest.LogCaptureFixture) -> None:
    limiter = SharedLimiter(None, 0, solo=True)
    assert limiter.acquire((Limit("t", 1 << 60),), 1.0).admitted
    assert "is too many to count" in caplog.text
    limiter.close()


def test_a_stuck_lock_delays_a_request_by_little_and_what_it_let_in_is_counted(
    fd: int, caplog: pytest.LogCaptureFixture
) -> None:
    limit = Limit(fresh(), 4, 60.0, 2)
    limiter, other = (SharedLimiter(fd, i, solo=False) for i in range(2))
    taken = limiter.acquire((limit,), 1.0)
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(fd), str(lock_byte(limit))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(fd,),
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with caplog.at_level(logging.WARNING):
            second = limiter.acquire((limit,), 1.0)
            assert (second.admitted, second.remaining) == (True, 2)
            # The cap is kept, and so is the rate.
            assert not limiter.acquire((limit,), 1.0).admitted
            limiter.release(taken)
            limiter.release(second)
            third = limiter.acquire((limit,), 1.0)
            assert (third.admitted, third.remaining) == (True, 1)
            # Another worker sees it, until it leaves the window.
            fourth = other.acquire((limit,), 1.0)
            assert (fourth.admitted, fourth.remaining) == (True, 0)
            other.release(fourth)
            assert not other.acquire((limit,), 60.9).admitted
            assert other.acquire((limit,), 61.0).remaining == 3
        assert limiter.unlocked == 4 - 1
        assert len(caplog.records) == 2, "once for each worker"
        assert "without the lock" in caplog.text
        # Another tenant is not held up.
        assert limiter.acquire((Limit(fresh(), 4),), 1.0).admitted
        assert limiter.unlocked == 3
    finally:
        child.communicate("\n", timeout=20)
    # All but the last have left the window by now.
    limiter.release(third)
    assert limiter.acquire((limit,), 61.5).remaining == 2
    assert other.acquire((limit,), 61.5).limit == limit
    limiter.close()
    other.close()


def test_limits_of_two_tenants_are_locked_in_one_order(fd: int) -> None:
    one, other = Limit(fresh(), 5), Limit(fresh(), 5)
    limiter = SharedLimiter(fd, 0, solo=False)
    assert limiter.acquire((one, other), 1.0).remaining == 4
    assert limiter.acquire((other, one), 1.0).remaining == 3
    # Every lock was given back: another process can have both.
    code = "import fcntl, sys; [fcntl.lockf(int(sys.argv[1]), 6, 1, int(b)) for b in sys.argv[2:]]"
    locks = [str(lock_byte(limit)) for limit in (one, other)]
    subprocess.run([sys.executable, "-c", code, str(fd), *locks], check=True, pass_fds=(fd,))
    assert fcntl.LOCK_EX | fcntl.LOCK_NB == 6
    limiter.close()


def test_a_full_window_is_certain_whatever_cap_refuses_longer(fd: int) -> None:
    limiter = SharedLimiter(fd, 0, solo=False)
    window, cap = Limit("t", 1, 0.03), Limit("t/m", concurrent=1)
    assert limiter.acquire((window, cap), 10.0).admitted
    refused = limiter.acquire((window, cap), 10.01)
    assert (refused.limit, refused.retry_after_s) == (cap, BUSY_RETRY_S)
    assert refused.certain_s == pytest.approx(0.02)
    limiter.close()


def test_many_callers_sequences_do_not_pile_up(fd: int) -> None:
    limiter = SharedLimiter(fd, 0, solo=True)
    limit = Limit(fresh(), 50_000)
    for _ in range(20_000):
        limiter.acquire((limit,), 1.0)
    assert len(limiter._plans) <= 8_192
    assert limiter.acquire((limit,), 1.0).remaining == 50_000 - 20_001
    limiter.close()
