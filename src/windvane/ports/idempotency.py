"""Answers kept under a client's idempotency key, for all workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Kept:
    """``digest`` of the request's body, ``id`` of its event and ``body`` of its answer (None
    while it has none yet)."""

    digest: bytes
    id: str = ""
    body: bytes | None = None


class IdempotencyStore(Protocol):
    """Places are 32 bytes that stand for tenant, model, protocol and key. Each call returns
    within its own deadline; a store that cannot be reached holds nothing, so that requests
    are answered, if need be twice."""

    async def reserve(self, place: bytes, digest: bytes, lease_s: float) -> Kept | None:
        """Take the place for ``lease_s``; None if it was free, else what is held there."""
        ...

    async def keep(self, place: bytes, kept: Kept, ttl_s: float) -> None:
        """The answer of whoever reserved the place."""
        ...

    async def forget(self, place: bytes) -> None:
        """Whoever reserved the place has no answer; a repetition is a new request."""
        ...
