"""Limits over real processes: exact while all hammer, and freed of who was killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from contracts.limits.worlds import answer, fresh, until

from windvane.adapters.redis import RedisLimiter
from windvane.adapters.shared_memory import SharedLimiter, WorkerTaken, shared_fd
from windvane.core.admission import Limit, RateLimitDecision

CHILD = Path(__file__).with_name("limits_child.py")
LEASE_S = 1.0
Start = Callable[..., "Child"]


class Child:
    """A worker that begins when it is told to."""

    def __init__(self, kind: str, where: str, worker: object, *args: object, fd: int = -1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), kind, where, str(worker), *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=(fd,) if fd >= 0 else (),
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=20)


@pytest.fixture
def fd() -> Iterator[int]:
    made = shared_fd()
    yield made
    os.close(made)


@pytest.fixture(params=["shared", "redis"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts a worker that shares its limits with those started before."""
    children: list[Child] = []

    def make(what: str, much: float, *limits: Limit, worker: int = 0) -> Child:
        texts = [f"{one.name},{one.rate},{one.per_s},{one.concurrent}" for one in limits]
        if request.param == "shared":
            fd = request.getfixturevalue("fd")
            child = Child("shared", str(fd), worker, what, much, *texts, fd=fd)
        else:
            url = request.getfixturevalue("valkey").url
            child = Child("redis", url, LEASE_S, what, much, *texts)
        children.append(child)
        return child

    yield make
    for child in children:
        child.end()


def hammered(children: list[Child]) -> list[tuple[int, int]]:
    for child in children:
        assert child.line() == "ready"
    for child in children:
        child.go()
    counts = [child.line().split() for child in children]
    for child in children:
        assert child.process.wait(timeout=20) == 0
    return [(int(admitted), int(asked)) for admitted, asked in counts]


def test_all_workers_together_admit_exactly_the_rate(start: Start) -> None:
    tenant = fresh()
    limits = Limit(tenant, 500, 3_600.0, 50), Limit(f"{tenant}/m", 400, 3_600.0)
    counts = hammered([start("hammer", 0.7, *limits, worker=i) for i in range(4)])
    assert sum(admitted for admitted, _ in counts) == 400
    assert sum(asked for _, asked in counts) > 400


def test_all_workers_together_admit_exactly_the_rate_in_each_window(start: Start) -> None:
    """Windows of a tenth of a second, more than one of them full, and never one too many."""
    limit = Limit(fresh(), 20, 0.1)
    began = time.monotonic()
    counts = hammered([start("hammer", 1.0, limit, worker=i) for i in range(3)])
    lasted = time.monotonic() - began
    total = sum(admitted for admitted, _ in counts)
    assert 20 * 2 <= total <= 20 * (lasted / 0.1 + 1)


def test_workers_who_never_wait_for_a_lock_let_hardly_more_in(fd: int) -> None:
    """What is decided without the lock is seen by all: at most one too many by each worker who
    decided at the very moment when the last place went."""
    tenant, workers = fresh(), 4
    texts = [f"{tenant},2000,3600.0,50", f"{tenant}/m,2000,3600.0,50"]
    children = [
        Child("impatient", str(fd), i, "hammer", 1.0, *texts, fd=fd) for i in range(workers)
    ]
    try:
        total = sum(admitted for admitted, _ in hammered(children))
        assert 2_000 <= total <= 2_000 + 2 * workers
    finally:
        for child in children:
            child.end()


def held_by(child: Child) -> int:
    assert child.line() == "ready"
    child.go()
    return int(child.line())


def test_what_a_killed_worker_held_is_free_when_its_successor_starts(fd: int) -> None:
    limits = (Limit(fresh(), concurrent=3),)
    text = f"{limits[0].name},0,60.0,3"
    child = Child("shared", str(fd), 1, "hold", 3, text, fd=fd)
    survivor = SharedLimiter(fd, 0, solo=False)
    try:
        assert held_by(child) == 3
        assert not survivor.acquire(limits, 0.0).admitted
        with pytest.raises(WorkerTaken, match=r"LIM-102: worker 1 is alive"):
            SharedLimiter(fd, 1, solo=False)
        child.process.kill()
        child.process.wait(timeout=20)
        assert not survivor.acquire(limits, 0.0).admitted
        successor = SharedLimiter(fd, 1, solo=False)
        taken = survivor.acquire(limits, 0.0)
        assert taken.admitted
        survivor.release(taken)
        successor.close()
    finally:
        child.end()
        survivor.close()


def test_what_a_killed_gateway_held_in_redis_is_free_after_its_lease(valkey: Any) -> None:
    limits = (Limit(fresh(), concurrent=3),)
    child = Child("redis", valkey.url, LEASE_S, "hold", 3, f"{limits[0].name},0,60.0,3")
    try:
        assert held_by(child) == 3
        child.process.kill()
        killed_at = time.monotonic()
        freed_after = asyncio.run(_admitted(valkey.url, limits)) - killed_at
        assert freed_after < LEASE_S + 5
    finally:
        child.end()


async def _admitted(url: str, limits: tuple[Limit, ...]) -> float:
    """When a place was free; asked again at once, with a deadline."""
    local = SharedLimiter(None, 0, solo=True)
    limiter = RedisLimiter(url, local, deadline_s=5.0, lease_s=LEASE_S)
    deadline = time.monotonic() + 20
    refused = 0
    while not (taken := await answer(limiter.acquire(limits, 0.0))).admitted:
        refused += 1
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert refused, "the lease had not begun"
    limiter.release(taken)
    await limiter.aclose()
    local.close()
    return time.monotonic()


def test_a_killed_worker_in_the_middle_of_a_take_blocks_nobody(fd: int) -> None:
    """Killed at random moments while it hammers; whoever is left goes on at once, exactly."""
    tenant = fresh()
    limits = (Limit(tenant, 1_000_000, 3_600.0, 8), Limit(f"{tenant}/m", 1_000_000, 3_600.0))
    texts = [f"{one.name},{one.rate},{one.per_s},{one.concurrent}" for one in limits]
    survivor = SharedLimiter(fd, 0, solo=False, patience_s=10.0)
    before: RateLimitDecision | None = None
    for _ in range(5):
        child = Child("shared", str(fd), 1, "hammer", 20, *texts, fd=fd)
        assert child.line() == "ready"
        child.go()
        first = survivor.acquire(limits, time.monotonic())
        survivor.release(first)
        until(partial(_moved, survivor, limits, first), "the child hammers")
        child.end()
        taken = survivor.acquire(limits, time.monotonic())
        assert taken.admitted
        assert before is None or taken.remaining < before.remaining
        survivor.release(taken)
        before = taken
    assert survivor.unlocked == 0
    survivor.close()


def _moved(limiter: SharedLimiter, limits: tuple[Limit, ...], since: RateLimitDecision) -> bool:
    taken = limiter.acquire(limits, time.monotonic())
    limiter.release(taken)
    return since.remaining - taken.remaining > 1_000
