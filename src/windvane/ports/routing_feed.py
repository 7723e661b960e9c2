"""How a routing table reaches the gateways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from windvane.core.routing import RoutingTable


class RoutingFeed(Protocol):
    def publish(self, table: RoutingTable) -> bool:
        """Make ``table`` the newest, without the versions that pending rollbacks took out; False
        (and no change) if a newer one is out already."""
        ...

    def amend(self, change: Callable[[RoutingTable], RoutingTable]) -> bool:
        """Put what ``change`` makes of the newest table in its place, under its number; nobody
        publishes meanwhile. False where there is none that can be read."""
        ...

    def latest(self) -> RoutingTable | None:
        """The newest table, or None if there never was one. Raises where it cannot be read."""
        ...

    def last_seq(self) -> int | None:
        """The number of the newest table; None where there is none, or none that can be read.
        Cheap while nothing changes: what is known to lie there is not read again."""
        ...

    def changed(self) -> bool:
        """Whether ``latest`` would give another table than it did last."""
        ...
