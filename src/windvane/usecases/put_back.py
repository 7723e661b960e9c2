"""Process again what was set aside, or forget it: what that means for each kind of item."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from windvane.ports.control_store import Tx, UnknownName
from windvane.ports.quarantine import ItemKind, Quarantined
from windvane.usecases.read_model_file import BadModelFile, read_model_file
from windvane.usecases.set_aside import FailedNotification, failed_file


def put_back(tx: Tx, items: Sequence[str], wall: float) -> int:
    """How many are processed again. Events are recorded by a recorder and windows judged by the
    steward, both within seconds; a notification is due now; a model's file that can be read by
    this release is held no longer."""
    waiting: list[str] = []
    done = 0
    for item in _found(tx, items):
        match item.kind:
            case ItemKind.NOTIFICATION:
                held = msgspec.json.decode(item.body, type=FailedNotification)
                tx.postpone_effect(held.key, held.body, wall)
                done += tx.drop_quarantined([item.id])
            case ItemKind.FILE:
                done += _read_again(tx, item)
            case _:
                waiting.append(item.id)
    return done + (tx.retry_quarantined(waiting) if waiting else 0)


def forget(tx: Tx, items: Sequence[str], wall: float) -> int:
    """How many will never be processed."""
    for item in _found(tx, items):
        if item.kind == ItemKind.NOTIFICATION:
            held = msgspec.json.decode(item.body, type=FailedNotification)
            tx.effect_done(held.key, wall)
    return tx.drop_quarantined(items)


def _found(tx: Tx, items: Sequence[str]) -> list[Quarantined]:
    return [tx.quarantined_item(item) for item in items]


def _read_again(tx: Tx, item: Quarantined) -> int:
    try:
        record = tx.model(item.model)
    except UnknownName:  # the model was deleted meanwhile
        return tx.drop_quarantined([item.id])
    try:
        read_model_file(record.text)
    except BadModelFile as error:
        tx.drop_quarantined([item.id])
        tx.add_quarantined([failed_file(record, error, item.at)])
        return 0
    return tx.drop_quarantined([item.id])
