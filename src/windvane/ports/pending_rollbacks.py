"""Rollbacks that were done by the routing table alone, until the control database has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PendingRollback:
    """``version`` of ``model`` was taken out of the routing table at ``at`` (s, by the wall)."""

    model: str
    version: str
    at: float
    by: str
    reason: str


class PendingRollbacks(Protocol):
    """At most one a model."""

    def add(self, rollback: PendingRollback) -> None:
        """Durably, in place of an earlier one of the model."""
        ...

    def waiting(self) -> Sequence[PendingRollback]:
        """What cannot be read is left out, and stays."""
        ...

    def drop(self, rollback: PendingRollback) -> None:
        """Nothing where it is gone, or another took its place."""
        ...
