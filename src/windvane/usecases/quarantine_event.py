"""What is held of an event that could not be recorded."""

from __future__ import annotations

import hashlib
from math import isfinite

from windvane.core.errors import WindvaneError
from windvane.ports.events import SpoolRecord
from windvane.ports.quarantine import MAX_BODY_BYTES, MAX_MESSAGE, ItemKind, Quarantined

QUARANTINE_SPOOL = "@quarantine"
"""Under this name the log has what was put back; no spool's folder is called so."""
RETRY_LEASE = "quarantine"


def quarantined_event(
    spool: str,
    position: int,
    payload: bytes,
    event: SpoolRecord | None,
    fault: WindvaneError,
    now: float,
) -> Quarantined:
    """The item; its id follows from the place, so that a batch that is read twice has it once."""
    ts = event.ts if event is not None else now
    return Quarantined(
        id=quarantined_id(spool, position),
        kind=ItemKind.EVENT,
        model=event.model if event is not None else "",
        tenant=event.tenant if event is not None else "",
        at=ts if isfinite(ts) and abs(ts) < 1e12 else now,
        reason=fault.code,
        message=fault.message[:MAX_MESSAGE],
        body=payload[:MAX_BODY_BYTES],
        size=len(payload),
        source=f"{spool}@{position}",
    )


def quarantined_id(spool: str, position: int) -> str:
    return hashlib.blake2b(f"{spool}@{position}".encode(), digest_size=8).hexdigest()
