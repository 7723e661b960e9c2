"""Two times: business time, which a demo or a test may drive, and the wall's."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where a use case learns the time; a judge is handed it."""

    def now(self) -> float:
        """Business time in seconds since the epoch, UTC: events, windows, soaks."""
        ...

    def wall(self) -> float:
        """Real time in seconds since the epoch: leases, retries, deadlines."""
        ...
