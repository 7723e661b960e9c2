"""The durable log of predictions, refusals and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from windvane.ports.events import Event


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event with the place it came from."""

    spool: str
    position: int
    event: Event


class EventLog(Protocol):
    def append(
        self,
        spool: str,
        end: int,
        entries: Sequence[LogEntry],
        schemas: Mapping[str, Sequence[tuple[str, str]]],
    ) -> None:
        """Append ``entries`` (positions below ``end``), each table at most once a position.

        ``schemas``: (feature, type) in the event's order by layout id. Repeating a call
        after a crash writes only what is missing.
        """
        ...

    def appended(self, spool: str) -> int:
        """The largest ``end`` that some table has of this spool; 0 for none."""
        ...

    def recent_keys(self, positions: Mapping[str, int], limit: int) -> list[str]:
        """Dedupe keys of about ``limit`` latest entries before each spool's position."""
        ...

    def counts(self, model: str) -> Mapping[str, int]:
        """Rows by table: predictions, refusals, outcomes."""
        ...

    def samples(
        self, model: str, start: float, end: float, where: Mapping[str, Any], limit: int
    ) -> list[dict[str, Any]]:
        """A few predictions in [start, end) with the given column values, the first ones.

        Each has what is known about the row, and its values by name under "features".
        """
        ...

    def refusals(
        self, model: str, tenant: str, start: float, end: float, limit: int
    ) -> list[dict[str, Any]]:
        """A few refused requests of one tenant in [start, end)."""
        ...

    def compact(self, model: str, most: int) -> int:
        """Rewrite each day that lies in more than ``most`` small files as few large ones; the
        files that were replaced, in number. Rows, positions and older versions stay."""
        ...

    def scored(self, model: str, start: float, end: float, bins: int) -> list[dict[str, Any]]:
        """Predictions made in [start, end) with known outcome, counted.

        Rows of (routed, arm, rollout, bin, value, n, loss, loss_squares): counts and Brier
        losses by score bin and outcome.
        """
        ...
