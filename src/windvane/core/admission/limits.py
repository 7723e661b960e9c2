"""A sliding window of admissions, and a cap on those under way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``rate`` admissions in any ``per_s`` seconds and ``concurrent`` at one time.

    ``name`` is what is counted ("tenant" or "tenant/model"); 0 stands for no such bound.
    """

    name: str
    rate: int = 0
    per_s: float = 60.0
    concurrent: int = 0


@dataclass(slots=True)  # frozen would cost each request a microsecond
class RateLimitDecision:
    """The answer to one request. ``limit`` is the one that refused, else the one with least
    left; ``remaining`` admissions are left in its window, the next place frees in ``reset_s``.
    ``retry_after_s`` is 0 if the request was admitted. For ``certain_s`` from now every other
    request under the same limits is refused too: nothing but time frees a place in a window.
    ``places`` is the limiter's own note of what to give back."""

    limit: Limit | None
    remaining: int = 0
    reset_s: float = 0.0
    retry_after_s: float = 0.0
    places: object = None
    certain_s: float = 0.0

    @property
    def admitted(self) -> bool:
        return self.retry_after_s == 0.0


FREE = RateLimitDecision(None)


def admit_at(admissions: list[float], limit: Limit, now: float) -> float:
    """Seconds until ``limit`` admits a request, 0.0 for at once; the plain rule that every
    limiter must agree with.

    ``admissions`` are the times of all admissions so far, growing. A request at ``now`` is
    admitted if fewer than ``rate`` lie in ``(now - per_s, now]``.
    """
    inside = [at for at in admissions if at > now - limit.per_s]
    if not limit.rate or len(inside) < limit.rate:
        return 0.0
    return inside[-limit.rate] + limit.per_s - now
