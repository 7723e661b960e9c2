"""What a spool's payloads say."""

from __future__ import annotations

from collections.abc import Mapping

from windvane.core.errors import WindvaneError
from windvane.ports.event_log import LogEntry
from windvane.ports.events import EVENTS, Denied, Unlogged, event_key
from windvane.ports.spool import Batch
from windvane.usecases.check_event import UnreadableEvent, check_event
from windvane.usecases.commit_log import UNFIT, RefusedRow
from windvane.usecases.count_part import BadRecord, Item
from windvane.usecases.seen_keys import SeenKeys


def decode_batch(batch: Batch, seen: SeenKeys, now: float) -> tuple[list[Item], list[BadRecord]]:
    """What can be read of it at business time ``now``, and what cannot."""
    items: list[Item] = []
    bad: list[BadRecord] = []
    for position, payload in batch.payloads:
        event = None
        try:
            event = EVENTS.decode(payload)
            check_event(event, now)
            # A request that is repeated is recorded once, but whoever sent it called twice.
            new = isinstance(event, Denied) or seen.add(event_key(event))
            items.append(Item(position, payload, event, new))
        except WindvaneError as error:
            bad.append((position, payload, event, error))
        except UNFIT as error:
            fault = UnreadableEvent(f"{type(error).__name__}: {error}")
            bad.append((position, payload, event, fault))
    return items, bad


def decode_counted(
    spool: str, bodies: Mapping[int, bytes], seen: SeenKeys
) -> tuple[list[LogEntry], list[RefusedRow]]:
    """Of events that are counted: what the log is to have, and what this release cannot read."""
    entries: list[LogEntry] = []
    refused: list[RefusedRow] = []
    for position, body in bodies.items():
        try:
            event = EVENTS.decode(body)
        except UNFIT as error:
            refused.append(RefusedRow(spool, position, error))
            continue
        if not isinstance(event, Unlogged):
            seen.add(event_key(event))
            entries.append(LogEntry(spool, position, event))
    return entries, refused
