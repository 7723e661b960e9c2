"""Windows, notifications and models' files that fail: what is held of each in the quarantine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from windvane.core.errors import WindvaneError
from windvane.ports.control_store import ModelRecord, OutboxItem, Tx
from windvane.ports.events import EVENTS
from windvane.ports.quarantine import MAX_BODY_BYTES, MAX_MESSAGE, ItemKind, Quarantined
from windvane.usecases.closed_window import ClosedWindow
from windvane.usecases.read_model_file import BadModelFile

NEVER = 1e15  # wall time (s): an effect that waits for somebody to put it back

_MOST_SHOWN = 512  # bytes of what cannot be read


class FailedWindow(msgspec.Struct, frozen=True):
    """A window that one monitor could not judge, and the version that answered then."""

    model: str
    monitor: str
    start: float
    champion: str


class FailedNotification(msgspec.Struct, frozen=True):
    """An effect of the outbox, and what was to be told."""

    key: str
    body: dict[str, Any]


def failed_window(window: ClosedWindow, monitor: str, code: str, why: str) -> Quarantined:
    """The item of a window that ``monitor`` could not judge."""
    body = FailedWindow(window.model, monitor, window.start, window.live.champion)
    source = f"{monitor} of {window.model} at {window.start:.0f}"
    return _item(ItemKind.WINDOW, window.model, window.start, code, why, body, source)


def failed_notification(item: OutboxItem, error: Exception, now: float) -> Quarantined:
    """The item of a notification that nobody took for long."""
    body = FailedNotification(item.key, dict(item.body))
    code = error.code if isinstance(error, WindvaneError) else WindvaneError.code
    model = str(item.body.get("model", ""))
    return _item(ItemKind.NOTIFICATION, model, now, code, str(error), body, item.key)


def failed_file(record: ModelRecord, error: Exception, now: float) -> Quarantined:
    """The item of a model's file that cannot be read any more."""
    code = error.code if isinstance(error, WindvaneError) else BadModelFile.code
    text = record.text.encode()
    return Quarantined(
        _id(ItemKind.FILE, record.name), ItemKind.FILE, record.name, "", now, code,
        str(error)[:MAX_MESSAGE], text[:MAX_BODY_BYTES], len(text), f"file of {record.name}",
    )  # fmt: skip


def file_is_read_again(tx: Tx, model: str) -> None:
    """What was held of a file that is replaced by one that can be read is of no use."""
    tx.drop_quarantined([_id(ItemKind.FILE, model)])


def content_of_item(item: Quarantined) -> Mapping[str, Any] | str:
    """What the body says: fields by name, the text of a file, or the first bytes in hexadecimal
    where it is neither."""
    kinds: dict[str, type[msgspec.Struct]] = {
        ItemKind.WINDOW: FailedWindow,
        ItemKind.NOTIFICATION: FailedNotification,
    }
    try:
        if item.kind == ItemKind.FILE:
            return item.body.decode()
        if item.kind in kinds:
            return msgspec.to_builtins(msgspec.json.decode(item.body, type=kinds[item.kind]))
        event = EVENTS.decode(item.body)
        named = {name: getattr(event, name) for name in event.__struct_fields__}
        return msgspec.to_builtins({"kind": type(event).__name__, **named})
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return item.body[:_MOST_SHOWN].hex(" ")


def _item(
    kind: ItemKind, model: str, at: float, code: str, why: str, body: msgspec.Struct, source: str
) -> Quarantined:
    packed = msgspec.json.encode(body)
    return Quarantined(
        _id(kind, source), kind, model, "", at, code, why[:MAX_MESSAGE],
        packed[:MAX_BODY_BYTES], len(packed), source,
    )  # fmt: skip


def _id(kind: ItemKind, source: str) -> str:
    return hashlib.blake2b(f"{kind}/{source}".encode(), digest_size=8).hexdigest()
