"""A circuit breaker: when to stop trying a version, and when to try it again.

Closed, it watches the last executions. Once enough of them failed it opens and nothing is
tried. After a pause it is half open: a few probes go through, and decide.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Circuit(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Opens when at least ``failures`` of the last ``window`` executions failed. The first
    pause is ``pause_s``, each one after a failed probe twice as long, up to ``longest_s``.
    ``probes`` executions in a row must succeed to close."""

    window: int = 20
    failures: int = 5
    pause_s: float = 30.0
    longest_s: float = 60.0
    probes: int = 3


@dataclass(frozen=True, slots=True)
class Breaker:
    """One version's circuit. ``recent`` holds the last executions as bits, 1 for a failure."""

    circuit: Circuit = Circuit.CLOSED
    recent: int = 0
    until: float = 0.0
    pause_s: float = 0.0
    under_way: int = 0
    succeeded: int = 0


CLOSED = Breaker()


def try_now(state: Breaker, now: float, policy: BreakerPolicy) -> tuple[bool, Breaker]:
    """Whether to execute at ``now`` (seconds, any clock that only grows), and what follows."""
    if state.circuit is Circuit.CLOSED:
        return True, state
    if state.circuit is Circuit.OPEN:
        if now < state.until:
            return False, state
        # Half open waits no longer than its last pause for probes that never report.
        state = replace(state, circuit=Circuit.HALF_OPEN, until=now + state.pause_s)
    elif now >= state.until:
        state = replace(state, under_way=0, until=now + state.pause_s)
    if state.under_way + state.succeeded >= policy.probes:
        return False, state
    return True, replace(state, under_way=state.under_way + 1)


def note(state: Breaker, failed: bool, now: float, policy: BreakerPolicy, jitter: float) -> Breaker:
    """The circuit after an execution that ended at ``now``.

    ``jitter`` in [0, 1) shortens a pause by up to half, so that workers do not probe at once.
    """
    match state.circuit:
        case Circuit.CLOSED:
            recent = (state.recent << 1 | failed) & ((1 << policy.window) - 1)
            if recent == state.recent:
                return state
            if recent.bit_count() < policy.failures:
                return replace(state, recent=recent)
            return opened(policy.pause_s, now, jitter)
        case Circuit.HALF_OPEN if failed:
            return opened(min(2.0 * state.pause_s, policy.longest_s), now, jitter)
        case Circuit.HALF_OPEN:
            succeeded = state.succeeded + 1
            if succeeded >= policy.probes:
                return CLOSED
            return replace(state, succeeded=succeeded, under_way=max(0, state.under_way - 1))
        case Circuit.OPEN:
            return state  # an execution that had begun before it opened


def opened(pause_s: float, now: float, jitter: float) -> Breaker:
    """A circuit that opens at ``now`` for ``pause_s`` seconds, less its jitter."""
    return Breaker(Circuit.OPEN, until=now + pause_s * (1.0 - 0.5 * jitter), pause_s=pause_s)
