"""Remove what is older than the installation keeps, but nothing that outcomes are still due for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from windvane.ports.control_store import ControlStore
from windvane.ports.event_log import EventLog, LogKind, RemovedRows
from windvane.usecases.count_outcomes import arrive_within_s
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    Watch,
    parse_duration,
    read_model_file,
)
from windvane.usecases.read_settings import Retention

_DAY_S = 86_400.0
_OUTCOME_KINDS: Mapping[LogKind, float] = {
    "predictions": Retention().predictions * _DAY_S,
    "outcomes": Retention().outcomes * _DAY_S,
}
"""What outcomes are joined from, and for how long it is kept where nothing else is known."""
_DURATION = r"""["']?\s*:\s*["']?(\d[\d.]*\s*[a-z]+)"""


def expire_events(
    store: ControlStore,
    log: EventLog,
    now: float,
    retention_s: Mapping[LogKind, float],
    pinned: Mapping[LogKind, Sequence[int]],
) -> dict[LogKind, RemovedRows]:
    """One bounded step for each kind that has a retention, in seconds.

    Predictions and outcomes stay for as long as any model may join them (see `kept_seconds`),
    whatever their retention: a prediction that is gone would make a timely outcome one of an
    unknown id. ``pinned``: versions of the tables that trainings read, which stay readable.
    Raises UnknownLogVersion.
    """
    return {
        kind: log.expire(kind, now - kept_s, pinned.get(kind, ()))
        for kind, kept_s in kept_seconds(store, retention_s).items()
    }


def kept_seconds(store: ControlStore, retention_s: Mapping[LogKind, float]) -> dict[LogKind, float]:
    """For how long each kind is kept: as is set, or for as long as outcomes are joined.

    A file that cannot be read does not stop the others' rows from being removed, which share
    their files with its own. It counts with the durations that its text still shows, and never
    with less than an installation keeps by default: what is removed does not come back once the
    file is mended.
    """
    needed_s, unknown = 0.0, False
    with store.read() as tx:
        records = tx.models()
    for record in records:
        try:
            needed_s = max(needed_s, joined_for_s(read_model_file(record.text)))
        except BadModelFile:
            needed_s, unknown = max(needed_s, _shown_s(record.text)), True
    return {
        kind: max(
            kept_s,
            needed_s if kind in _OUTCOME_KINDS else 0.0,
            _OUTCOME_KINDS.get(kind, 0.0) if unknown else 0.0,
        )
        for kind, kept_s in retention_s.items()
    }


def joined_for_s(file: ModelFile) -> float:
    """How old a prediction may be that is still joined, in seconds; 0.0 where the file asks for
    nothing of outcomes.

    A look is at the outcomes of the last ``watch.drift_over``, of which the earliest may be of a
    prediction ``arrive_within`` before; it comes once the span is over, and late where the
    recorder is behind, for which a day is left.
    """
    judged = file.watch.outcomes.keys() & {"floor", "arrive_within"}
    if not judged and not (file.slo and file.slo.quality):
        return 0.0
    return (arrive_within_s(file) or 0.0) + parse_duration(file.watch.drift_over) + _DAY_S


def _shown_s(text: str) -> float:
    """The same of a text that is no model's file, by the longest durations that it shows."""
    over_s = _longest_s(text, "drift_over") or parse_duration(Watch().drift_over)
    return _longest_s(text, "arrive_within") + over_s + _DAY_S


def _longest_s(text: str, key: str) -> float:
    longest = 0.0
    for found in re.finditer(key + _DURATION, text):
        try:
            longest = max(longest, parse_duration(found[1]))
        except ValueError:
            continue
    return longest
