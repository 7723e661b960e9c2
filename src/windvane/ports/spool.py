"""The local, append-only hand-over from a gateway to the recorder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from windvane.core.errors import WindvaneError

MAX_EVENT_BYTES = 16 << 20
"""Of one payload."""

MOST_LOST_BYTES = 1 << 30
"""What is counted at most of a gap: positions between two writers were never used, and where the
files are gone nobody knows how many."""


class SpoolFull(WindvaneError):
    """The event could not be written, so the request must not be acknowledged."""

    code: ClassVar[str] = "SPL-101"
    hint = "free disk space or let the recorder catch up; nothing acknowledged is lost"


@dataclass(frozen=True, slots=True)
class Batch:
    """Payloads of one spool from ``start`` up to ``end`` (positions in bytes); ``lost`` bytes of
    these were damaged, or are gone, and are skipped."""

    spool: str
    start: int
    end: int
    payloads: tuple[tuple[int, bytes], ...]
    lost: int = 0


class SpoolWriter(Protocol):
    def append(self, *payloads: bytes) -> None:
        """Hand the payloads to the kernel before returning, all or none; raises SpoolFull."""
        ...

    def sync(self) -> None:
        """Force what was appended to the disk (survives a power cut)."""
        ...

    def close(self) -> None: ...


class SpoolReader(Protocol):
    def spools(self) -> Sequence[str]:
        """The names of all spools on this machine, sorted."""
        ...

    def read(self, spool: str, position: int, limit: int) -> Batch:
        """Whole, checked frames from ``position``, about ``limit`` bytes of them."""
        ...

    def waiting(self, spool: str, position: int) -> int:
        """How many bytes lie after ``position``."""
        ...

    def release(self, spool: str, position: int) -> None:
        """All before ``position`` is recorded; its segments may go."""
        ...
