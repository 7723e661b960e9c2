"""What a process depends on, as it was seen, and whether it can do its own work without it."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass

SILENT_AFTER_S = 60.0
"""Without a sign of a recorder; each gives one every 15 s."""
_FULL_BYTES, _NEARLY_FULL_BYTES = 16 << 20, 256 << 20


class DependencyState(enum.StrEnum):
    """``DOWN``: it does not do its work. ``DEGRADED``: less of it, or later. ``UNKNOWN``: nobody
    can say."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class Readiness(enum.StrEnum):
    """``DEGRADED``: the process does its own work, and something that it depends on does not."""

    READY = "ready"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Dependency:
    """``name`` of what is depended on, its ``state``, a stable ``code``, ``why`` in one sentence
    that names neither models nor places: strangers may read it."""

    name: str
    state: DependencyState
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class WatcherFacts:
    """What the control database says of who works beside the console.

    ``recorder_seen_ago``: seconds since a recorder last looked at a spool, None where none ever
    did. ``shards_held`` of ``shards`` have a steward. ``routing_seq`` is the number of the newest
    routing table, None where there is none.
    """

    recorder_seen_ago: float | None
    shards_held: int
    shards: int
    routing_seq: int | None


def readiness(found: Iterable[Dependency], essential: Collection[str]) -> Readiness:
    """Unavailable only without what is ``essential`` to the process's own work."""
    bad = [one for one in found if one.state is not DependencyState.OK]
    if any(one.name in essential and one.state is DependencyState.DOWN for one in bad):
        return Readiness.UNAVAILABLE
    return Readiness.DEGRADED if bad else Readiness.READY


def judge_database(error: str) -> Dependency:
    """``error`` says why it does not answer, "" where it does."""
    return _answers("database", "HLT-601", error, "the control database answers")


def judge_log_storage(error: str, damaged: int = 0) -> Dependency:
    """``damaged`` of its newest files are missing or cut off."""
    if damaged and not error:
        why = f"{damaged} of the log's newest files are damaged or missing"
        return Dependency("log storage", DependencyState.DEGRADED, "HLT-610", why)
    return _answers("log storage", "HLT-602", error, "the storage of the log answers")


def judge_disk(free_bytes: int | None, error: str = "") -> Dependency:
    """The fullest of the disks that are written to, with ``free_bytes`` left; None for nobody
    knows, with the ``error``."""
    name = "disk"
    if free_bytes is None:
        return Dependency(name, DependencyState.UNKNOWN, "HLT-611", error)
    free = f"{free_bytes / 1e6:,.0f} MB are free"
    if free_bytes < _FULL_BYTES:
        why = f"it is full: {free}, {_FULL_BYTES / 1e6:,.0f} MB are needed; nothing is recorded"
        return Dependency(name, DependencyState.DOWN, "HLT-611", why)
    if free_bytes < _NEARLY_FULL_BYTES:
        why = f"it is nearly full: {free}, fewer than {_NEARLY_FULL_BYTES / 1e6:,.0f} MB"
        return Dependency(name, DependencyState.DEGRADED, "HLT-611", why)
    return Dependency(name, DependencyState.OK, "HLT-600", free)


def judge_watchers(facts: WatcherFacts) -> list[Dependency]:
    """The recorder and the stewards, by what they last left in the database."""
    return [_recorder(facts.recorder_seen_ago), _steward(facts.shards_held, facts.shards)]


def judge_unseen_watchers() -> list[Dependency]:
    """The same while the database does not answer."""
    why = "the control database does not answer"
    return [
        Dependency(name, DependencyState.UNKNOWN, "HLT-606", why)
        for name in ("recorder", "steward")
    ]


def judge_routing_file(found: int | None, wanted: int | None, error: str = "") -> Dependency:
    """The file that gateways read: ``found`` is its table's number, ``wanted`` that of the newest
    (None for none), ``error`` why it cannot be read."""
    name = "routing file"
    if error:
        return Dependency(name, DependencyState.DOWN, "HLT-604", error)
    if wanted is not None and (found is None or found < wanted):
        why = f"the newest routing table is {wanted}, the file has {found or 'none'}"
        return Dependency(name, DependencyState.DEGRADED, "HLT-605", why)
    why = "no model was ever deployed" if found is None else f"it has routing table {found}"
    return Dependency(name, DependencyState.OK, "HLT-600", why)


def judge_served_versions(loaded: int, broken: int) -> Dependency:
    """The versions that a gateway's worker was told to serve."""
    if broken and not loaded:
        why = f"none of {broken} versions can be loaded: no version answers anybody"
        return Dependency("versions", DependencyState.DOWN, "HLT-607", why)
    if broken:
        why = f"{broken} of {loaded + broken} versions cannot be loaded; others stand in"
        return Dependency("versions", DependencyState.DEGRADED, "HLT-607", why)
    return Dependency("versions", DependencyState.OK, "HLT-600", f"{loaded} versions are served")


def judge_spool(full: bool) -> Dependency:
    """The disk that a gateway's worker writes events to, without which it acknowledges nothing."""
    why = "events cannot be written: nothing may be acknowledged"
    return _answers("spool", "HLT-608", why if full else "", "events are written")


def judge_shared(name: str, degraded: bool, without: str) -> Dependency:
    """A store that workers share; ``without`` says what holds while it does not answer."""
    if degraded:
        return Dependency(name, DependencyState.DEGRADED, "HLT-609", without)
    return Dependency(name, DependencyState.OK, "HLT-600", "it answers")


def _answers(name: str, code: str, error: str, well: str) -> Dependency:
    if error:
        return Dependency(name, DependencyState.DOWN, code, error)
    return Dependency(name, DependencyState.OK, "HLT-600", well)


def _recorder(seen_ago: float | None) -> Dependency:
    if seen_ago is None:
        return Dependency(
            "recorder", DependencyState.UNKNOWN, "HLT-401", "no recorder was ever seen"
        )
    if seen_ago > SILENT_AFTER_S:
        why = f"no recorder was seen for {seen_ago:.0f} s > {SILENT_AFTER_S:.0f} s"
        return Dependency("recorder", DependencyState.DOWN, "HLT-402", why)
    return Dependency("recorder", DependencyState.OK, "HLT-600", f"seen {seen_ago:.0f} s ago")


def _steward(held: int, shards: int) -> Dependency:
    if not held:
        return Dependency("steward", DependencyState.DOWN, "HLT-403", "no steward is running")
    why = f"{held} of {shards} shards of models are judged"
    if held < shards:
        return Dependency("steward", DependencyState.DEGRADED, "HLT-603", why)
    return Dependency("steward", DependencyState.OK, "HLT-600", why)
