"""Rollbacks that were done by the routing table alone, until the control database has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PendingRollback:
    """``version`` of ``model`` was taken out of the routing table at ``at`` (business time, s)."""

    model: str
    version: str
    at: float
    by: str
    reason: str


class PendingRollbacks(Protocol):
    """At most one a version."""

    def add(self, rollback: PendingRollback) -> None:
        """Durably, in place of an earlier one of the version. Raises OSError, and then there is
        nothing."""
        ...

    def waiting(self) -> Sequence[PendingRollback]:
        """In their order. What cannot be read is set aside, and said once."""
        ...

    def set_aside(self) -> Sequence[str]:
        """Names of what could not be read."""
        ...

    def drop(self, rollback: PendingRollback) -> None:
        """Wherever it lies; nothing where it is gone, or another took its place."""
        ...
