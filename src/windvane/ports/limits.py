"""Limits that hold over all workers of a machine, or over all machines."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from windvane.core.admission import Limit, RateLimitDecision


class Limiter(Protocol):
    """Counts admissions exactly: a sliding log of the last ``rate`` admissions of each limit.

    A request is admitted under all of its limits or under none. Whoever was admitted gives its
    place back with ``release``; the places of a worker that died are freed without it.
    """

    def acquire(
        self, limits: Sequence[Limit], now: float
    ) -> RateLimitDecision | Awaitable[RateLimitDecision]:
        """Admit one request under ``limits`` at ``now`` (seconds of a clock that only grows and
        that all who share the limits read), or say which limit refuses it and for how long.

        A local limiter answers at once; a remote one within its deadline, and if it cannot, the
        local one answers for it.
        """
        ...

    def release(self, decision: RateLimitDecision) -> None:
        """The admitted request has ended. Never waits, never fails."""
        ...

    @property
    def at_once(self) -> bool:
        """True if ``acquire`` never has to be waited for."""
        ...

    @property
    def degraded(self) -> bool:
        """True while a remote limiter is not reached and only this machine is counted."""
        ...
