"""Judge windows again that a monitor could not judge, once somebody put them back."""

from __future__ import annotations

import logging
from dataclasses import replace

import msgspec

from windvane.core.verdict import Outcome
from windvane.ports.control_store import ControlStore, Tx, WindowVerdict
from windvane.ports.event_log import EventLog
from windvane.ports.judging import Progress
from windvane.ports.quarantine import ItemKind, Quarantined
from windvane.usecases.leases import Shards
from windvane.usecases.load_windows import (
    DueWindow,
    LearnedFrom,
    WindowCache,
    learned_from,
    load_windows,
)
from windvane.usecases.monitors import MONITORS, Judged
from windvane.usecases.set_aside import FailedWindow

_log = logging.getLogger(__name__)
_AT_ONCE = 64 << 10  # bytes of items
_WORST = (Outcome.ERROR, Outcome.FAIL, Outcome.HOLD, Outcome.PASS)


def judge_again(store: ControlStore, log: EventLog, shards: Shards) -> int:
    """What each says takes the place of the verdict that there was none, and the item goes; how
    many there were.

    It is for the record: nobody acts on a window that is over, and what the monitor carries
    stays as it is, for it went on without this window. What fails again is held again.
    """
    with store.read() as tx:
        items = [i for i in tx.retrying(_AT_ONCE, ItemKind.WINDOW) if shards.holds(i.model)]
    for item in items:
        try:
            failed = msgspec.json.decode(item.body, type=FailedWindow)
            with store.read() as tx:
                due = _load(tx, failed, learned_from(store))
            judged = _look(due, failed, log)
        except Exception as error:
            _log.exception("%s could not be judged again", item.source)
            _hold(store, shards, item, f"{type(error).__name__}: {error}")
            continue
        with store.begin([item.model]) as tx:
            shards.require(tx, [item.model])
            tx.add_verdicts(_rows(failed, judged))
            tx.drop_quarantined([item.id])
    return len(items)


def _load(tx: Tx, failed: FailedWindow, learned: LearnedFrom) -> DueWindow:
    """Raises LookupError where the window is not there any more, or another version serves."""
    live = tx.deployment(failed.model)
    if live is None or live.champion != failed.champion:
        serves = "none" if live is None else f"version {live.champion}"
        raise LookupError(f"version {failed.champion} served then, {serves} does now")
    progress = tx.progress([failed.model])[failed.model]
    past = Progress(failed.model, progress.began, failed.start, 0.0)
    loaded = load_windows(
        tx, [failed.model], WindowCache(), float("inf"), {failed.model: past}, learned=learned
    )
    for due in loaded.windows:
        return due
    raise LookupError("; ".join(loaded.failed.values()) or "the window is not there any more")


def _look(due: DueWindow, failed: FailedWindow, log: EventLog) -> tuple[Judged, ...]:
    monitor = next((m for m in MONITORS if m.name == failed.monitor), None)
    if monitor is None:
        raise LookupError(f"there is no monitor {failed.monitor} any more")
    return tuple(monitor.look(due.window, due.states.get(monitor.name, {}), log))


def _rows(failed: FailedWindow, judged: tuple[Judged, ...]) -> list[WindowVerdict]:
    rows = [
        WindowVerdict(
            failed.model, failed.start, failed.monitor, one.subject, one.verdict.outcome,
            one.verdict.code, one.verdict.sentence, one.detail,
        )
        for one in judged
        if one.shown
    ]  # fmt: skip
    if all(row.subject for row in rows):  # the row that says ERROR has no subject
        worst = min(rows, key=lambda row: _WORST.index(Outcome(row.outcome)), default=None)
        rows.append(
            replace(worst, subject="")
            if worst is not None
            else WindowVerdict(
                failed.model, failed.start, failed.monitor, "", Outcome.PASS, "WIN-103",
                "judged again: there was nothing to say", {},
            )
        )  # fmt: skip
    return rows


def _hold(store: ControlStore, shards: Shards, item: Quarantined, why: str) -> None:
    with store.begin([item.model]) as tx:
        shards.require(tx, [item.model])
        tx.drop_quarantined([item.id])
        tx.add_quarantined([replace(item, message=why[:500], status="held", place=0)])
