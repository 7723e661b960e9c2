"""Who leads, and how a deposed leader is kept from writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError


class LeaseLost(WindvaneError):
    """Another steward leads now; this one's transaction was not committed."""

    code: ClassVar[str] = "STO-102"
    hint = "nothing to do: the new leader goes on from the same state"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a name; ``alive`` by the database's clock."""

    name: str
    holder: str
    token: int
    alive: bool


class Leases(Protocol):
    """Leases are timed by the database's clock: those of the machines may differ."""

    def acquire(self, name: str, holder: str, ttl: float) -> int | None:
        """Take or renew the lease for ``ttl`` seconds; its fencing token, or None while another
        holds it."""
        ...

    def release(self, name: str, token: int) -> None:
        """Let another take it, if ``token`` is current."""
        ...

    def leases(self, prefix: str) -> list[Lease]:
        """Those whose names begin so, by name."""
        ...

    def forget_leases(self, prefix: str, dead_for_s: float) -> None:
        """Drop the rows of leases that ended so long ago: holders that will not come back."""
        ...

    def require(self, name: str, token: int) -> None:
        """Raise LeaseLost, and so roll the transaction back, unless ``token`` is current."""
        ...
