"""What the two drift monitors share: their material sizes, and the table of a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.drift import Alarm, DriftFacts, Kind
from windvane.usecases.read_model_file import ModelFile

_MATERIAL = {Kind.DRIFT: 0.2, Kind.VALUES: 0.15, Kind.NULLS: 0.05}


def material_sizes(file: ModelFile) -> dict[Kind, float]:
    """The least size of an effect that matters, by kind of stream: the file's, else the default."""
    return {kind: file.watch.material.get(kind.value, least) for kind, least in _MATERIAL.items()}


def drift_table(facts: DriftFacts, alarms: Sequence[Alarm]) -> Mapping[str, Any]:
    """Every stream's size and evidence, and whether its alarm opened (True) or closed
    (False) in it."""
    changed = {f"{a.feature}/{a.kind.value}": a.opened for a in alarms}
    return {
        "rows": facts.rows,
        "readings": [
            {
                "feature": r.feature,
                "view": r.view,
                "kind": r.kind.value,
                "p": round(r.p, 6),
                "size": round(r.size, 4),
                "changed": changed.get(r.stream),
            }
            for r in facts.readings
        ],
    }
