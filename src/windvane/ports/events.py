"""The records that travel by the spool. Arrays on the wire: fields are only ever appended.

``key`` is the id of the API key that was used (``jwt:SUBJECT`` of a token), for the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One row as served. ``values`` lie in the schema's order.

    ``routed`` is the version that the table chose, ``answered`` the one that answered
    ("" for the constant); they differ after a fallback. ``flags`` name what was odd.
    """

    unit: str
    routed: str
    answered: str
    arm: str
    values: Sequence[Any]
    output: float
    flags: list[str] = []


class Predicted(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """One acknowledged request."""

    request_id: str
    ts: float
    model: str
    tenant: str
    layout_id: str
    rollout: str
    latency_us: int
    rows: list[Row]
    key: str = ""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """One request without an answer; ``sample`` is the body's beginning.

    ``routed`` and ``arm`` are "" where the request broke the model's promise; where the model
    broke its own they say which version had no answer.
    """

    request_id: str
    ts: float
    model: str
    tenant: str
    layout_id: str
    code: str
    message: str
    sample: str
    routed: str = ""
    arm: str = ""
    key: str = ""


class OutcomeSeen(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """The truth about row ``row`` of an earlier request; ``event_id`` makes it idempotent."""

    event_id: str
    ts: float
    model: str
    tenant: str
    layout_id: str
    request_id: str
    row: int
    value: float
    key: str = ""


class Denied(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """A known key was used for what it may not do, or after its end; for the audit only."""

    event_id: str
    ts: float
    model: str
    tenant: str
    code: str
    key: str


Event = Predicted | Refused | OutcomeSeen
SpoolRecord = Event | Denied
EVENTS = msgspec.msgpack.Decoder(SpoolRecord)
EVENT_ENCODER = msgspec.msgpack.Encoder()


def event_key(event: Event) -> str:
    """What an event is deduplicated by: tenant, model, kind and id.

    The kind is in it because a client may repeat a refused request, mended, under the same
    request id; the answer that it then gets is no repetition of the refusal.
    """
    named = event.event_id if isinstance(event, OutcomeSeen) else event.request_id
    return dedupe_key(event.tenant, event.model, str(event.__struct_config__.tag), named)


def dedupe_key(tenant: str, model: str, kind: str, named: str) -> str:
    return "\x00".join((tenant, model, kind, named))
