"""How a routing table reaches the gateways."""

from __future__ import annotations

from typing import Protocol

from windvane.core.routing import RoutingTable


class RoutingFeed(Protocol):
    def publish(self, table: RoutingTable) -> bool:
        """Make ``table`` the newest; False (and no change) if a newer one is out already."""
        ...

    def latest(self) -> RoutingTable | None:
        """The newest table, or None if there never was one."""
        ...

    def changed(self) -> bool:
        """Whether ``latest`` would give another table than it did last."""
        ...
