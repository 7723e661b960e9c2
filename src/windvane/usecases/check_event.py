"""Whether an event's own numbers can be recorded at all, before anything is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, ClassVar

from windvane.core.errors import WindvaneError
from windvane.ports.events import (
    Column,
    Compared,
    Denied,
    OutcomeSeen,
    Predicted,
    Refused,
    SpoolRecord,
)

_MOST_ROWS = 1_000_000
_MOST_NUMBERS = 1 << 20  # of one outcome
_LONGEST_US = 10**12
_MOST_REQUESTS = 1_000_000_000
_AHEAD_S = 86_400.0
_LATEST = 4_102_444_800.0  # the year 2100: no partition of the log has a later day


class UnreadableEvent(WindvaneError):
    """The bytes are no event of this release."""

    code: ClassVar[str] = "REC-101"
    hint = "a later release wrote it, or its bytes are damaged: drop it, or retry it with that one"


class EventOutOfRange(WindvaneError):
    """A number of the event is not finite, or outside of what can be counted and stored."""

    code: ClassVar[str] = "REC-102"
    hint = "look at the clock and the release of the gateway that wrote it"


class UnknownContract(WindvaneError):
    """The event names a contract that the control database does not have, or cannot be read."""

    code: ClassVar[str] = "REC-103"
    hint = "was the control database put back from an older copy? then retry it once it is whole"


class UnknownModel(WindvaneError):
    """The event is of a model that the control database does not have."""

    code: ClassVar[str] = "REC-104"
    hint = "apply the model's file again and retry it, or drop it"


class UnreadableModelFile(WindvaneError):
    """The file of the event's model cannot be read by this release."""

    code: ClassVar[str] = "REC-105"
    hint = "apply a file that can be read, then `windvane quarantine retry --model MODEL`"


class UncountableEvent(WindvaneError):
    """The event does not fit its contract or its version's layout."""

    code: ClassVar[str] = "REC-106"
    hint = "`windvane quarantine show` has its values; the gateway's release should be this one"


class UnrecordableEvent(WindvaneError):
    """The log or the control database is there, but refuses this event."""

    code: ClassVar[str] = "REC-107"
    hint = "`windvane quarantine show` has its values; other events are recorded meanwhile"


class UnloggedEvent(WindvaneError):
    """The event is counted, and the log refuses it; retried, it is logged and not counted again."""

    code: ClassVar[str] = "REC-108"
    hint = "`windvane quarantine show` has its values; retry it once the log takes them"


REASONS: tuple[type[WindvaneError], ...] = (
    UnreadableEvent, EventOutOfRange, UnknownContract, UnknownModel, UnreadableModelFile,
    UncountableEvent, UnrecordableEvent, UnloggedEvent,
)  # fmt: skip


def check_event(event: SpoolRecord, now: float) -> None:
    """Raises EventOutOfRange. ``now``: business time, which no event is a day ahead of."""
    if not 0.0 <= event.ts <= min(now + _AHEAD_S, _LATEST):
        raise EventOutOfRange(f"its time is {event.ts!r}, the recorder's clock says {now:.0f}")
    # What nearly all events are, without a call for each number.
    if (
        type(event) is Predicted
        and event.rows == len(event.routes) == 1
        and 0 <= event.latency_us <= _LONGEST_US
    ):
        return
    match event:
        case Predicted():
            _check_prediction(event)
        case Refused():
            _within("requests", event.requests, 0, _MOST_REQUESTS)
        case OutcomeSeen():
            _within("row", event.row, 0, _MOST_ROWS)
            values = event.value if isinstance(event.value, list) else [event.value]
            _within("numbers of the outcome", len(values), 1, _MOST_NUMBERS)
            if not all(map(isfinite, values)):
                raise EventOutOfRange("the outcome is not finite")
        case Compared():
            if not 0.0 < event.probability <= 1.0:
                raise EventOutOfRange(f"probability: {event.probability!r} is not from 0 to 1")
        case Denied():
            pass


def _check_prediction(event: Predicted) -> None:
    rows = event.rows
    _within("rows", rows, 1, _MOST_ROWS)
    _within("latency in microseconds", event.latency_us, 0, _LONGEST_US)
    if len(event.routes) not in (1, rows):
        raise EventOutOfRange(f"{len(event.routes)} routes for {rows:,} rows")
    if rows > 1:
        _check_columns("features", event.features, rows)
        _check_columns("outputs", event.outputs, rows)


def _check_columns(what: str, columns: Sequence[Column], rows: int) -> None:
    for i, column in enumerate(columns):
        held: Any = column
        length = len(held) / 8 if isinstance(held, bytes) else len(held)
        if length != rows:
            raise EventOutOfRange(f"{what}: column {i} has {length:g} values for {rows:,} rows")


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise EventOutOfRange(f"{name}: {value} is not from {least:,} to {most:,}")
