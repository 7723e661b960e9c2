"""The records that travel by the spool. Arrays on the wire: fields are only ever appended.

``key`` is the id of the API key that was used (``jwt:SUBJECT`` of a token), for the audit.
``contract`` is the id of the contract that says what the columns are: its features in their
order, and its task's outputs.

Records hold no cycles, and a recorder has tens of thousands of them at once: the garbage collector
does not look at them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

Column = Any
"""Equally many values as rows: the bare value where there is one row, else a list, or
little-endian float64 packed in bytes."""


class RouteTaken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``routed`` is the version that the table chose, ``answered`` the one that answered
    ("" for a rule or a constant); they differ after a fallback. ``flags`` name what was odd."""

    routed: str
    answered: str
    arm: str
    flags: list[str] = []


class Predicted(msgspec.Struct, frozen=True, array_like=True, tag="P", gc=False):
    """One acknowledged request of ``rows`` rows.

    ``event_id`` is ours; ``request_id`` is what the client calls it, if it does. ``units`` is a
    column, "" where the client named none. ``routes`` has one for all rows, or one each.
    ``explanations`` is a column of JSON texts, "" where nobody asked or there is none.
    """

    event_id: str
    ts: float
    model: str
    tenant: str
    contract: str
    rollout: str
    latency_us: int
    rows: int
    units: Column
    routes: Sequence[RouteTaken]
    features: Sequence[Column]
    outputs: Sequence[Column]
    request_id: str = ""
    key: str = ""
    explanations: Column = ""

    def explanations_of(self) -> Sequence[str]:
        """One for each row."""
        held = self.explanations
        return [""] * self.rows if held == "" else column_values(held, self.rows)

    def routes_of(self) -> Iterator[RouteTaken]:
        """One for each row."""
        if len(self.routes) == 1:
            return iter([self.routes[0]] * self.rows)
        return iter(self.routes)


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="R", gc=False):
    """One request without an answer; ``sample`` is the body's beginning.

    ``routed`` and ``arm`` are "" where the request broke the model's contract, or allowed less
    time than its deadline; where the model broke its own they say which version had no answer.
    ``requests``: how many it counts as; a batch of predictions made elsewhere is as many.
    In a ``rollout``, ``units`` are those of the rows that a version owed an answer ("" where the
    client named none), and ``arms`` which arm did.
    """

    event_id: str
    ts: float
    model: str
    tenant: str
    contract: str
    code: str
    message: str
    sample: str
    routed: str = ""
    arm: str = ""
    request_id: str = ""
    key: str = ""
    requests: int = 1
    rollout: str = ""
    units: list[str] = []
    arms: list[str] = []


class OutcomeSeen(msgspec.Struct, frozen=True, array_like=True, tag="O", gc=False):
    """The truth about row ``row`` of an earlier prediction ``prediction_id``, as it was known by
    ``ts``: a later one about the same row revises it. ``event_id`` is ours. ``value`` is as the
    task's ``label`` gives it: a number, or a list of them."""

    event_id: str
    ts: float
    model: str
    tenant: str
    contract: str
    prediction_id: str
    row: int
    value: float | list[float]
    key: str = ""


class Denied(msgspec.Struct, frozen=True, array_like=True, tag="D", gc=False):
    """A known key was used for what it may not do, or after its end; for the audit only."""

    event_id: str
    ts: float
    model: str
    tenant: str
    code: str
    key: str


class Compared(msgspec.Struct, frozen=True, array_like=True, tag="C", gc=False):
    """What the stand-in of a version would have answered for a row that the version answered.

    The row was drawn with ``probability`` among all rows that the version answered in this arm.
    ``stand_in`` is a version, "" for a rule or a constant. ``outputs`` are the version's of this
    one row, ``answers`` the stand-in's: none where it had no answer. Such a record is counted and
    is not in the log.
    """

    event_id: str
    ts: float
    model: str
    tenant: str
    contract: str
    routed: str
    arm: str
    stand_in: str
    probability: float
    outputs: list[Any]
    answers: list[Any] = []


Event = Predicted | Refused | OutcomeSeen
"""What the log has."""
CountedEvent = Event | Compared
"""What windows count."""
Unlogged = Compared | Denied
SpoolRecord = CountedEvent | Denied
EVENTS = msgspec.msgpack.Decoder(SpoolRecord)
EVENT_ENCODER = msgspec.msgpack.Encoder()


def as_column(values: Sequence[Any]) -> Column:
    """Values of one column as an event keeps them."""
    return values[0] if len(values) == 1 else values


def as_columns(rows: Sequence[Sequence[Any]]) -> Sequence[Column]:
    """Rows, which are equally long, as an event keeps them."""
    return rows[0] if len(rows) == 1 else list(zip(*rows, strict=True))


def column_values(column: Column, rows: int) -> Sequence[Any]:
    """The values of a column, one for each of ``rows`` rows."""
    if rows == 1:
        return (column,)
    if isinstance(column, bytes):
        return np.frombuffer(column, "<f8").tolist()
    return column


def event_key(event: CountedEvent) -> str:
    """What an event is deduplicated by: tenant, model, kind and id.

    Ids are ours, so only a record that is read twice repeats one; that of a prediction made
    elsewhere is made of what its client calls it.
    """
    return dedupe_key(event.tenant, event.model, str(event.__struct_config__.tag), event.event_id)


def dedupe_key(tenant: str, model: str, kind: str, named: str) -> str:
    return "\x00".join((tenant, model, kind, named))
