"""How recording is: how far it came, and what is in no verdict or no log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from windvane.ports.control_store import Tx
from windvane.ports.quarantine import CountName
from windvane.usecases.recorded_until import recorded_until, spool_states


@dataclass(frozen=True, slots=True)
class Recording:
    """``recorded_until`` in seconds since the epoch, None where no spool is left; ``spools`` there
    are, of which windows close without the ``expired_spools``. Ever counted: ``lost_bytes`` of
    spools, ``late_events`` by model, ``quarantined`` items by kind and reason, and those that were
    ``not_held`` there for want of room."""

    recorded_until: float | None
    spools: int
    expired_spools: tuple[str, ...]
    lost_bytes: int
    late_events: Mapping[str, int]
    quarantined: Mapping[str, int]
    not_held: int


def observe_recording(tx: Tx, now: float, wall: float, expire_after_s: float) -> Recording:
    """At ``now`` (business time, s) and ``wall`` (s), of which a spool that nobody saw for
    ``expire_after_s`` is taken for gone."""
    checkpoints = tx.checkpoints()
    states = spool_states(checkpoints, now, wall, expire_after_s)
    lost_bytes = not_held = 0
    late_events: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    for counted, n in tx.counts().items():
        match counted.name:
            case CountName.SPOOL_LOST_BYTES:
                lost_bytes += n
            case CountName.LATE_EVENTS:
                late_events[counted.subject] = n
            case CountName.QUARANTINED:
                quarantined[f"{counted.subject} {counted.reason}"] = n
            case CountName.NOT_HELD:
                not_held += n
            case _:
                pass
    return Recording(
        recorded_until=recorded_until(checkpoints, wall, expire_after_s),
        spools=len(states),
        expired_spools=tuple(one.spool for one in states if one.expired),
        lost_bytes=lost_bytes,
        late_events=late_events,
        quarantined=quarantined,
        not_held=not_held,
    )


def explain_recording(found: Recording) -> list[str]:
    """What was lost, expired or came late, a line each; none where all is well."""
    lines: list[str] = []
    if found.expired_spools:
        named = ", ".join(found.expired_spools[:5])
        lines.append(f"windows close without spools that expired: {named} (`windvane spools`)")
    if found.lost_bytes:
        lines.append(f"{found.lost_bytes:,} bytes of spools were lost before they were read")
    if late := sum(found.late_events.values()):
        lines.append(f"{late:,} events were recorded after their window was judged")
    return lines
