"""Up to when everything that was seen is recorded, without who is gone for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from windvane.core.errors import WindvaneError, did_you_mean
from windvane.ports.control_store import Checkpoint, ControlStore, Tx, UnknownName
from windvane.ports.quarantine import Counted, CountName
from windvane.ports.spool import MOST_LOST_BYTES
from windvane.usecases.passed_over import size_within

EXPIRE_AFTER_S = 600.0
"""The default of the setting ``spool_expire_after_s``."""
MISSED_S = 86_400.0
"""A spool that nobody has seen for longer is taken for gone for good."""


class SpoolStillThere(WindvaneError):
    """A recorder saw the spool a moment ago: without it, windows would close too early."""

    code: ClassVar[str] = "SPL-102"
    hint = "stop its recorder for good, or wait: a spool that is gone expires by itself"


@dataclass(frozen=True, slots=True)
class SpoolState:
    """A spool for people, counted up to ``position`` and in the log up to ``logged``. ``lag_s``:
    how far its watermark is behind now, in seconds; None where nothing of it is recorded yet."""

    spool: str
    position: int
    logged: int
    watermark: float
    lag_s: float | None
    seen_s_ago: float | None
    expired: bool
    lost_bytes: int


def recorded_until(
    checkpoints: Iterable[Checkpoint], wall: float, expire_after_s: float
) -> float | None:
    """Business time in seconds up to which every spool is recorded that is still there; None where
    none is: then nobody knows, and no window closes.

    ``expired_spools`` says which are left out. What one of these held is late when it comes back:
    it is recorded and counted, but its windows may be judged by then.
    """
    left_out = set(expired_spools(checkpoints := list(checkpoints), wall, expire_after_s))
    marks = [c.watermark for c in checkpoints if not c.dropped and c.spool not in left_out]
    return min(marks, default=None)


def shown_until(
    checkpoints: Iterable[Checkpoint], wall: float, expire_after_s: float
) -> float | None:
    """The same for people: of a spool that has just begun nothing is recorded, and nothing is late;
    where every spool is gone, how far the furthest came. None where nothing was ever recorded."""
    known = [c for c in checkpoints if c.watermark > 0.0]
    found = recorded_until(known, wall, expire_after_s)
    return found if found is not None else max((c.watermark for c in known), default=None)


def expired_spools(
    checkpoints: Iterable[Checkpoint], wall: float, expire_after_s: float
) -> list[str]:
    """The names of those that no recorder has seen for ``expire_after_s`` seconds of the wall's
    time, and that nobody dropped."""
    return [c.spool for c in checkpoints if not c.dropped and _expired(c, wall, expire_after_s)]


def missing_spools(
    checkpoints: Iterable[Checkpoint], wall: float, expire_after_s: float
) -> list[str]:
    """Those of `expired_spools` that may still come back with events nobody read: a machine that
    was replaced for good is nobody's worry after a day."""
    held = list(checkpoints)
    ages = seen_ages(held, wall)
    return [s for s in expired_spools(held, wall, expire_after_s) if ages[s] < MISSED_S]


def _expired(checkpoint: Checkpoint, wall: float, expire_after_s: float) -> bool:
    return checkpoint.seen_at is not None and wall - checkpoint.seen_at > expire_after_s


def seen_ages(checkpoints: Iterable[Checkpoint], wall: float) -> dict[str, float]:
    """How long ago (s) a recorder last saw each spool, of those that nobody dropped and of which
    anybody told."""
    return {
        c.spool: max(0.0, wall - c.seen_at)
        for c in checkpoints
        if not c.dropped and c.seen_at is not None
    }


def spool_states(
    checkpoints: Iterable[Checkpoint], now: float, wall: float, expire_after_s: float
) -> list[SpoolState]:
    """Of every spool that nobody dropped."""
    ages = seen_ages(checkpoints := list(checkpoints), wall)
    return [
        SpoolState(
            c.spool,
            c.position,
            c.logged,
            c.watermark,
            max(0.0, now - c.watermark) if c.watermark > 0.0 else None,
            ages.get(c.spool),
            _expired(c, wall, expire_after_s),
            c.lost_bytes,
        )
        for c in checkpoints
        if not c.dropped
    ]


def give_up_unlogged(store: ControlStore, wall: float, expire_after_s: float) -> list[Checkpoint]:
    """Count as lost, once, what is counted and not in the log of spools that expired; these, as
    they were. Where all are expired, nothing is given up: then it may be who reads them that is
    away, and not they. Should one come back, what was given up of it is logged and lost no more."""
    with store.read() as tx:
        if not _given_up(tx.checkpoints(), wall, expire_after_s):
            return []
    with store.begin() as tx:
        found = _given_up(tx.checkpoints(), wall, expire_after_s)
        for checkpoint in found:
            _give_up(tx, checkpoint)
    return found


def unlogged_bytes(checkpoint: Checkpoint) -> int:
    """At most how many bytes of it are counted, and neither in the log nor passed over."""
    start, end = checkpoint.logged, checkpoint.position
    return min(end - start - size_within(checkpoint.passed, start, end), MOST_LOST_BYTES)


def _given_up(
    checkpoints: Iterable[Checkpoint], wall: float, expire_after_s: float
) -> list[Checkpoint]:
    kept = [c for c in checkpoints if not c.dropped]
    gone = [c for c in kept if _expired(c, wall, expire_after_s)]
    if len(gone) == len(kept):
        return []
    return [c for c in gone if not c.unlogged_lost and unlogged_bytes(c)]


def _give_up(tx: Tx, checkpoint: Checkpoint) -> Checkpoint:
    lost = 0 if checkpoint.unlogged_lost else unlogged_bytes(checkpoint)
    if not lost:
        return checkpoint
    fresh = replace(checkpoint, lost_bytes=checkpoint.lost_bytes + lost, unlogged_lost=lost)
    tx.set_checkpoint(fresh)
    tx.add_counts({Counted(CountName.SPOOL_LOST_BYTES): lost})
    return fresh


def drop_spool(store: ControlStore, spool: str, wall: float, expire_after_s: float) -> int:
    """Leave a spool out from now on, and out of lists. Its position stays: should it come back,
    it is recorded from there on, and is in the lists again. At most how many bytes of it are
    counted and not in the log, which are lost with it.

    Raises UnknownName, SpoolStillThere.
    """
    with store.begin() as tx:
        known = {c.spool: c for c in tx.checkpoints() if not c.dropped}
        found = known.get(spool)
        if found is None:
            raise UnknownName(f"there is no spool {spool[:80]!r}", hint=did_you_mean(spool, known))
        if found.seen_at is not None and not _expired(found, wall, expire_after_s):
            ago = max(0.0, wall - found.seen_at)
            raise SpoolStillThere(
                f"spool {spool} was seen {ago:.0f} s ago, less than {expire_after_s:.0f} s"
            )
        fresh = _give_up(tx, found)
        tx.set_checkpoint(replace(fresh, dropped=True))
    return fresh.unlogged_lost
