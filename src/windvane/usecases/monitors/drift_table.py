"""What the two drift monitors share: their material sizes, and the table of a look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.drift import Alarm, DriftFacts, DriftPolicy, Kind, StreamState, looks_to_alarm
from windvane.usecases.read_model_file import ModelFile

_MATERIAL = {Kind.DRIFT: 0.2, Kind.NULLS: 0.05, Kind.OUTAGE: 0.5}
_LARGEST_E = 1e12


@dataclass(frozen=True, slots=True)
class Bands:
    """Population stability indices from which a change is worth a look, a person's time, and an
    alert."""

    look: float
    investigate: float
    alert: float

    def word(self, size: float) -> str:
        """The band of a size, "" below all."""
        if size >= self.alert:
            return "alert"
        if size >= self.investigate:
            return "investigate"
        return "look" if size >= self.look else ""


def bands_of(file: ModelFile) -> Bands:
    given = file.watch.bands
    return Bands(given.look, given.investigate, given.alert)


def material_sizes(file: ModelFile) -> dict[Kind, float]:
    """The least size of an effect that matters, by kind of stream: the file's, else the default."""
    usual = {**_MATERIAL, Kind.VALUES: file.watch.bands.look}
    return {kind: file.watch.material.get(kind.value, least) for kind, least in usual.items()}


def drift_table(
    facts: DriftFacts,
    alarms: Sequence[Alarm],
    policy: DriftPolicy,
    streams: Mapping[str, StreamState],
    *,
    new: bool = False,
) -> Mapping[str, Any]:
    """Every stream's size, the e-value of this look, its log evidence after it, whether its alarm
    opened (True) or closed (False) in it, and from which size it would be material where that is
    more than usual: what such a stream cannot show; ``looks``: after about how many a change as
    large is told, of those only (None: by no number). ``streams``: the detectors after the look.
    ``alarm_at``: the evidence that an alarm asks for. ``new``: of a tenant that is."""
    changed = {f"{a.feature}/{a.kind.value}": a.opened for a in alarms}
    quiet = StreamState()
    readings: list[dict[str, Any]] = []
    for r in facts.readings:
        held, least = streams.get(r.stream, quiet), policy.least(r)
        readings.append(
            {
                "feature": r.feature,
                "view": r.view,
                "kind": r.kind.value,
                "e": round(min(math.exp(min(r.log_e, 700.0)), _LARGEST_E), 4),
                "evidence": round(held.log_evidence, 3),
                "alarmed": held.alarmed,
                "size": round(r.size, 4),
                "material": round(least, 4),
                "looks": looks_to_alarm(r, policy) if least > policy.material[r.kind] else None,
                "changed": changed.get(r.stream),
            }
        )
    table = {"rows": facts.rows, "alarm_at": policy.alarm_at, "readings": readings}
    return table | ({"new": True} if new else {})
