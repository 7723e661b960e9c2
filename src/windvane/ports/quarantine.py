"""What could not be processed: set aside with its reason, counted, and put back on request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
    ``RETENTION_ROWS`` (rolled up, emptied or removed by age) by kind.
    """

    QUARANTINED = "quarantined"
    NOT_HELD = "quarantine_not_held"
    LATE_EVENTS = "late_events"
    SPOOL_LOST_BYTES = "spool_lost_bytes"
    DECISIONS = "decisions"
    RETENTION_ROWS = "retention_rows"


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter: its name, and what of."""

    name: str
    subject: str = ""
    reason: str = ""
