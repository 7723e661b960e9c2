"""A worker in a process of its own: on shared memory (``shared``; or ``impatient``, who never
waits for a lock) or on ``redis``.

``hammer SECONDS``: asks as fast as it can and prints how often it was admitted; on a busy machine
for longer, until a window of hours is used up.
``hold COUNT``: takes so many places, prints what it got, and waits to be killed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

from windvane.adapters.redis import RedisLimiter
from windvane.adapters.shared_memory import SharedLimiter
from windvane.core.admission import Limit, RateLimitDecision

PATIENT_S = 10.0


def limit_of(text: str) -> Limit:
    name, rate, per_s, cap = text.split(",")
    return Limit(name, int(rate), float(per_s), int(cap))


async def run(
    acquire: Callable[[], RateLimitDecision | Awaitable[RateLimitDecision]],
    release: Callable[[RateLimitDecision], None],
    what: str,
    much: float,
    long: bool,
) -> None:
    async def ask() -> RateLimitDecision:
        taken = acquire()
        return taken if isinstance(taken, RateLimitDecision) else await taken

    print("ready", flush=True)
    sys.stdin.readline()
    if what == "hold":
        got = [(await ask()).admitted for _ in range(int(much))]
        print(sum(got), flush=True)
        sys.stdin.readline()
        return
    admitted, asked, spent, end = 0, 0, False, time.monotonic() + much
    while time.monotonic() < end or (long and not spent and time.monotonic() < end + 60):
        taken = await ask()
        asked += 1
        spent = spent or taken.retry_after_s > 60
        if taken.admitted:
            admitted += 1
            release(taken)
    print(admitted, asked, flush=True)


async def main(kind: str, where: str, worker: str, what: str, much: str, *texts: str) -> None:
    limits = tuple(limit_of(text) for text in texts)
    long = any(limit.rate and limit.per_s > 60 for limit in limits)
    if kind != "redis":
        patience_s = PATIENT_S if kind == "shared" else 0.0
        shared = SharedLimiter(int(where), int(worker), solo=False, patience_s=patience_s)
        await run(
            lambda: shared.acquire(limits, time.monotonic()),
            shared.release,
            what,
            float(much),
            long,
        )
        assert shared.unlocked == 0 or kind == "impatient"
        shared.close()
        return
    local = SharedLimiter(None, 0, solo=True)
    remote = RedisLimiter(where, local, deadline_s=PATIENT_S, lease_s=float(worker))
    await remote.open()
    await run(lambda: remote.acquire(limits, 0.0), remote.release, what, float(much), long)
    assert not remote.degraded
    await remote.aclose()
    local.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
