"""Process again what was set aside, or forget it: what that means for each kind of item."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Sequence

import msgspec

from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx, UnknownName
from windvane.ports.quarantine import ItemKind, Quarantined
from windvane.usecases.read_model_file import BadModelFile, read_model_file
from windvane.usecases.set_aside import FailedNotification, failed_file

_MOST_NAMED = 100


def put_back(tx: Tx, clock: Clock, items: Sequence[str], *, by: str = "", reason: str = "") -> int:
    """How many are processed again; on record, by model. Events are recorded by a recorder and
    windows judged by the steward, both within seconds; a notification is due now; a model's file
    that can be read by this release is held no longer. Raises UnknownName."""
    found = _found(tx, items)
    waiting: list[str] = []
    done = 0
    for item in found:
        match item.kind:
            case ItemKind.NOTIFICATION if not item.whole:
                pass
            case ItemKind.NOTIFICATION:
                with contextlib.suppress(msgspec.MsgspecError, ValueError):  # else it stays held
                    held = msgspec.json.decode(item.body, type=FailedNotification)
                    tx.postpone_effect(held.key, held.body, clock.wall())
                    done += tx.drop_quarantined([item.id])
            case ItemKind.FILE:
                done += _read_again(tx, item)
            case _:
                waiting.append(item.id)
    done += tx.retry_quarantined(waiting) if waiting else 0
    _decide(tx, clock, found, "put-back", "put back", by, reason)
    return done


def forget(tx: Tx, clock: Clock, items: Sequence[str], *, by: str = "", reason: str = "") -> int:
    """How many will never be processed; on record, by model. Raises UnknownName."""
    found = _found(tx, items)
    for item in found:
        if item.kind == ItemKind.NOTIFICATION:
            tx.effect_done(item.source, clock.wall())  # its key
    dropped = tx.drop_quarantined(items)
    _decide(tx, clock, found, "forget", "forgotten", by, reason)
    return dropped


def _decide(
    tx: Tx, clock: Clock, items: Sequence[Quarantined], action: str, then: str, by: str, reason: str
) -> None:
    """One decision a model; items of none that is known are about the installation."""
    known = {record.name for record in tx.model_records(sorted({item.model for item in items}))}
    of_model: dict[str, list[Quarantined]] = {}
    for item in items:
        of_model.setdefault(item.model if item.model in known else "", []).append(item)
    for model, mine in of_model.items():
        counts = Counter(item.kind for item in mine)
        told = ", ".join(f"{n:,} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items())
        facts = {
            "kinds": dict(counts),
            "reasons": dict(Counter(item.reason for item in mine)),
            "items": [item.id for item in mine[:_MOST_NAMED]],
        }
        verdict = Verdict(Outcome.PASS, "QUA-100", f"what was set aside is {then}: {told}")
        tx.decide(
            Decision(
                id=f"quarantine/{secrets.token_hex(8)}", model=model, judge="",
                subject="quarantine", action=action, at=clock.now(), policy={}, facts=facts,
                verdict=verdict, actor=by, reason=reason,
            )
        )  # fmt: skip


def _found(tx: Tx, items: Sequence[str]) -> list[Quarantined]:
    return [tx.quarantined_item(item) for item in dict.fromkeys(items)]


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
