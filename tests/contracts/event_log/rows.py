"""Events of one model, and where their log may lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deltalake import DeltaTable
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Event, OutcomeSeen, Predicted, Refused

DAY = 1_700_006_400.0  # a midnight, UTC
X, KIND, Y = (
    FeatureSpec("x", "v", FeatureType.NUMBER),
    FeatureSpec("kind", "v", FeatureType.CATEGORY),
    FeatureSpec("y", "v", FeatureType.INTEGER),
)
NARROW, WIDE = Contract((X, KIND)), Contract((X, KIND, Y))
NAMED = {"narrow": NARROW, "wide": WIDE}
CONTRACTS = {one.id: one for one in NAMED.values()}
VALUES: dict[str, list[Any]] = {"narrow": [1.5, "a"], "wide": [2.5, None, 7]}


def predicted(
    request: str,
    ts: float = DAY,
    *,
    tenant: str = "AA",
    rows: int = 1,
    layout: str = "narrow",
    model: str = "delay",
    **given: Any,
) -> Predicted:
    made: dict[str, Any] = {"values": VALUES[layout], "output": 0.25, **given}
    output = made.pop("output")
    contract = NAMED[layout].id
    return predicted_event(
        request, ts, model, tenant, contract, outputs=[output], rows=rows, key="k1", **made
    )


def refused(request: str, ts: float = DAY, tenant: str = "AA") -> Refused:
    return Refused(request, ts, "delay", tenant, NARROW.id, "CON-101", "x is null", "{}")


def outcome(request: str, value: float, ts: float = DAY, tenant: str = "AA") -> OutcomeSeen:
    return OutcomeSeen(f"{request}/0", ts, "delay", tenant, NARROW.id, request, 0, value)


def entries(events: Sequence[Event], spool: str = "m/w0", first: int = 0) -> list[LogEntry]:
    """Ten bytes an event."""
    return [LogEntry(spool, first + 10 * i, event) for i, event in enumerate(events)]


def append(log: DeltaEventLog, events: Sequence[Event], spool: str = "m/w0", first: int = 0) -> int:
    end = first + 10 * len(events)
    log.append(spool, end, entries(events, spool, first), CONTRACTS)
    return end


@dataclass(frozen=True)
class Place:
    """Where a log lies; ``open`` it as often as a process starts."""

    root: str
    storage: Mapping[str, str]

    def open(self) -> DeltaEventLog:
        return DeltaEventLog(self.root, self.storage)

    def table(self, name: str) -> DeltaTable:
        return DeltaTable(f"{self.root}/{name}", storage_options=dict(self.storage) or None)
