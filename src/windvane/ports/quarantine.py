"""What could not be processed: set aside with its reason, counted, and put back on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

MAX_BODY_BYTES = 1 << 20
"""Of one item; a longer body is cut, and the item cannot be put back."""
MAX_MESSAGE = 500
"""Characters."""
MAX_ITEMS_OF_MODEL, MAX_BYTES_OF_MODEL = 1_000, 16 << 20
MAX_ITEMS, MAX_BYTES = 10_000, 64 << 20
"""Held of one model, and in all; what is beyond is counted only."""


class ItemKind(StrEnum):
    """What was set aside."""

    EVENT = "event"
    WINDOW = "window"
    NOTIFICATION = "notification"
    FILE = "file"


class ItemStatus(StrEnum):
    """``RETRY``: it is about to be processed again."""

    HELD = "held"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One item. ``at`` is business time in seconds, ``reason`` the code of ``message``; ``body``
    is as it was found, of ``size`` bytes before it was cut; ``source`` says where it was found
    (spool and position of an event). ``place`` orders those that are to be processed again."""

    id: str
    kind: str
    model: str
    tenant: str
    at: float
    reason: str
    message: str
    body: bytes
    size: int
    source: str = ""
    status: str = ItemStatus.HELD
    place: int = 0

    @property
    def whole(self) -> bool:
        """Whether the body is all there, so that it can be processed again."""
        return 0 < self.size <= MAX_BODY_BYTES


class CountName(StrEnum):
    """What is counted for good, over all machines and restarts.

    ``QUARANTINED`` and ``NOT_HELD`` (beyond the bounds) by the item's kind and reason,
    ``LATE_EVENTS`` by model, ``SPOOL_LOST_BYTES`` in all. ``DECISIONS`` by model and action,
    ``RETENTION_ROWS`` (rolled up, emptied or removed by age) by kind, ``WATCHING`` (milliseconds of
    CPU) by monitor.
    """

    QUARANTINED = "quarantined"
    NOT_HELD = "quarantine_not_held"
    LATE_EVENTS = "late_events"
    SPOOL_LOST_BYTES = "spool_lost_bytes"
    DECISIONS = "decisions"
    RETENTION_ROWS = "retention_rows"
    WATCHING = "watching_cpu_milliseconds"


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter: its name, and what of."""

    name: str
    subject: str = ""
    reason: str = ""


class Quarantine(Protocol):
    """What could not be processed, with its reason; and counts that only grow."""

    def add_quarantined(self, items: Sequence[Quarantined]) -> list[str]:
        """Hold them, as far as the bounds above allow, and count each that was not held already;
        the ids of those that are held. Messages and bodies are cut to their bounds."""
        ...

    def quarantined(self, model: str = "", kind: str = "", limit: int = 100) -> list[Quarantined]:
        """Newest first, with empty bodies; ``model`` or ``kind`` "" for all."""
        ...

    def held_of(self, items: Sequence[str]) -> set[str]:
        """Those of these ids that are held."""
        ...

    def quarantined_item(self, item: str) -> Quarantined:
        """With its body. Raises UnknownName."""
        ...

    def quarantine_sizes(self) -> Mapping[str, int]:
        """How many items are held, by model."""
        ...

    def retry_quarantined(self, items: Sequence[str]) -> int:
        """Mark those whose body is whole, each with a ``place`` above all that ever were; how
        many were held and are marked now."""
        ...

    def retrying(self, limit_bytes: int, kind: ItemKind) -> list[Quarantined]:
        """Those of the kind that are marked, with their bodies, by place: at least one, then as
        many as have ``limit_bytes`` together."""
        ...

    def next_place(self) -> int:
        """Of the next item to be marked."""
        ...

    def drop_quarantined(self, items: Sequence[str]) -> int:
        """Forget them; how many there were."""
        ...

    def add_counts(self, counts: Mapping[Counted, int]) -> None:
        """Add to what was counted before."""
        ...

    def counts(self) -> Mapping[Counted, int]: ...
