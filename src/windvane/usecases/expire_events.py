"""Remove what is older than the installation keeps, but nothing that outcomes are still due for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog, LogKind, RemovedRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.read_model_file import read_model_file


def expire_events(
    store: ControlStore,
    log: EventLog,
    now: float,
    retention_s: Mapping[LogKind, float],
    pinned: Mapping[LogKind, Sequence[int]],
) -> dict[LogKind, RemovedRows]:
    """One bounded step for each kind that has a retention, in seconds.

    Predictions and outcomes stay for as long as any model waits for outcomes
    (``watch.outcomes.arrive_within``), whatever their retention: a prediction that is gone
    would make a timely outcome one of an unknown id. ``pinned``: versions of the tables that
    trainings read, which stay readable. Raises UnknownLogVersion.
    """
    return {
        kind: log.expire(kind, now - kept_s, pinned.get(kind, ()))
        for kind, kept_s in kept_seconds(store, retention_s).items()
    }


def kept_seconds(store: ControlStore, retention_s: Mapping[LogKind, float]) -> dict[LogKind, float]:
    """For how long each kind is kept: as is set, or for as long as outcomes are due."""
    with store.read() as tx:
        files = [read_model_file(model.text) for model in tx.models()]
    due_s = max((arrive_within_s(file) or 0.0 for file in files), default=0.0)
    return {
        kind: max(kept_s, 0.0 if kind == "refusals" else due_s)
        for kind, kept_s in retention_s.items()
    }
