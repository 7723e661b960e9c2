"""Answers kept under a client's idempotency key, for all workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """``digest`` of the request's body, ``id`` of its event and ``body`` of its answer (None
    while it has none yet)."""

    digest: bytes
    id: str = ""
    body: bytes | None = None


class IdempotencyStore(Protocol):
    """Places are 32 bytes that stand for tenant, model, protocol and key. ``holder`` is the id
    of the request that reserves one: whoever comes late, after its lease ended, changes nothing
    that is another one's by then.

    Each call returns within the store's own deadline and does not raise. A store that cannot be
    reached holds nothing, so that requests are answered, if need be twice; ``failures`` counts
    the calls that it could not carry out, since whoever reads it last set it to 0.
    """

    failures: int

    @property
    def degraded(self) -> bool:
        """True while requests are answered without it."""
        ...

    async def reserve(
        self, place: bytes, holder: str, digest: bytes, lease_s: float
    ) -> StoredAnswer | None:
        """Take the place for ``lease_s``; None if it was free, else what is held there."""
        ...

    async def keep(self, place: bytes, holder: str, kept: StoredAnswer, ttl_s: float) -> None:
        """The answer of whoever reserved the place. One that is too large is not kept, and the
        place is free then."""
        ...

    async def forget(self, place: bytes, holder: str) -> None:
        """Whoever reserved the place has no answer; a repetition is a new request."""
        ...
