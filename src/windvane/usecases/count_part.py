"""A part of a spool, and what it counts for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from windvane.core.errors import WindvaneError
from windvane.core.sketch import Sketch
from windvane.ports.control_store import Access, WindowKey
from windvane.ports.event_log import LogEntry
from windvane.ports.events import CountedEvent, Denied, SpoolRecord, Unlogged
from windvane.ports.quarantine import Quarantined
from windvane.ports.segments import SegmentKey
from windvane.usecases.check_event import UncountableEvent
from windvane.usecases.commit_log import UNFIT
from windvane.usecases.count_events import count_events
from windvane.usecases.count_units import CountedUnits, count_units
from windvane.usecases.event_contracts import EventContracts
from windvane.usecases.passed_over import Spans, spans_of
from windvane.usecases.record_access import accesses

BadRecord = tuple[int, bytes, SpoolRecord | None, WindvaneError]
"""Position, payload, what it says if it can be read, and what is wrong with it."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """A record that can be read; ``new``: not a repetition of one that is recorded already."""

    position: int
    payload: bytes
    event: SpoolRecord
    new: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What comes next of a spool, up to ``end``: what is to be recorded, and what is set aside.

    ``passed``: the positions of what is set aside. ``retried``: by position, what was set aside
    before and is put back now.
    """

    spool: str
    end: int
    items: Sequence[Item] = ()
    aside: Sequence[Quarantined] = ()
    lost: int = 0
    retried: Mapping[int, Quarantined] = field(default_factory=dict[int, Quarantined])
    passed: Sequence[int] = ()

    def entries(self) -> list[LogEntry]:
        """What of it the log is to have."""
        spool = self.spool
        return [
            LogEntry(spool, item.position, item.event)
            for item in self.items
            if item.new and not isinstance(item.event, Unlogged)
        ]

    def passed_over(self, start: int) -> Spans:
        """What of it, from ``start`` on, the log is not to have: what is set aside or lost, and
        repetitions."""
        if not self.items and not self.passed:
            return ((start, self.end),)
        again = [i.position for i in self.items if not (i.new or isinstance(i.event, Unlogged))]
        logged = [entry.position for entry in self.entries()]
        return spans_of([*self.passed, *again], logged, self.end)

    def halves(self) -> tuple[Part, Part]:
        """One after the other; what was set aside goes with the first."""
        middle = len(self.items) // 2
        first, second = self.items[:middle], self.items[middle:]
        end = second[0].position
        before = [position for position in self.passed if position < end]
        after = [position for position in self.passed if position >= end]
        return (
            replace(self, items=first, end=end, passed=before),
            replace(self, items=second, aside=(), lost=0, passed=after),
        )


@dataclass(frozen=True, slots=True)
class CountedPart:
    """What the store is told of a part of a spool."""

    sketches: Mapping[WindowKey, Sketch]
    segments: Sequence[tuple[SegmentKey, Sketch]]
    units: CountedUnits
    access: Sequence[Access]
    times: Mapping[str, Sequence[float]]


def count_part(known: EventContracts, recorder: str, items: Sequence[Item]) -> CountedPart:
    events = _new_events(items)
    times: dict[str, list[float]] = {}
    for event in events:
        times.setdefault(event.model, []).append(event.ts)
    counted = count_events(known, recorder, events)
    return CountedPart(
        counted.windows,
        counted.segments,
        count_units(known, events),
        accesses(item.event for item in items),
        times,
    )


def uncountable(known: EventContracts, recorder: str, items: Sequence[Item]) -> list[BadRecord]:
    """Those that cannot be counted even by themselves."""
    try:
        fresh = _new_events(items)
        count_events(known, recorder, fresh)
        count_units(known, fresh)
        accesses(item.event for item in items)
    except UNFIT as error:
        if len(items) == 1:
            (item,) = items
            fault = UncountableEvent(f"{type(error).__name__}: {error}")
            return [(item.position, item.payload, item.event, fault)]
        middle = len(items) // 2
        return [
            *uncountable(known, recorder, items[:middle]),
            *uncountable(known, recorder, items[middle:]),
        ]
    return []


def _new_events(items: Sequence[Item]) -> list[CountedEvent]:
    return [item.event for item in items if item.new and not isinstance(item.event, Denied)]
