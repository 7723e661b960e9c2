"""What a model's file means for the judges of its windows."""

from __future__ import annotations

from dataclasses import dataclass

from windvane.core.drift import DriftPolicy, Kind, alarm_threshold, block_seconds
from windvane.core.verdict import RatePolicy
from windvane.usecases.read_model_file import (
    ModelFile,
    parse_budget,
    parse_duration,
    parse_share,
)

_MATERIAL = {Kind.DRIFT: 0.2, Kind.VALUES: 0.15, Kind.NULLS: 0.05}


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """Policies of every judge of a window, with one threshold from one budget."""

    window_s: float
    grace_s: float
    recent_s: float
    block_s: float
    drift_over_s: float
    min_rows: int
    sudden_shift: DriftPolicy
    training_drift: DriftPolicy
    refusals: RatePolicy
    errors: RatePolicy


def window_policy(file: ModelFile, *, models: int, tenants: int) -> WindowPolicy:
    """The budget is the installation's: every stream of every model shares it.

    Streams that can wake a person: two a feature, one a tenant, one for errors. Drift
    against the training data is logged, not told; it has a threshold by the same budget
    over its own, slower windows.
    """
    watch = file.watch
    allowed, per_s = parse_budget(watch.false_alarms)
    window_s, over_s = parse_duration(watch.window), parse_duration(watch.drift_over)
    recent_s = parse_duration(watch.recent)
    features = len(file.schema)
    streams = models * (2 * features + tenants + 1)
    at = alarm_threshold(streams, window_s, allowed, per_s)
    material = {kind: watch.material.get(kind.value, least) for kind, least in _MATERIAL.items()}
    slow = alarm_threshold(models * (features + 1), over_s, allowed, per_s)
    return WindowPolicy(
        window_s=window_s,
        grace_s=parse_duration(watch.grace),
        recent_s=recent_s,
        block_s=block_seconds(window_s, recent_s),
        drift_over_s=over_s,
        min_rows=watch.min_rows,
        sudden_shift=DriftPolicy(at, material),
        training_drift=DriftPolicy(slow, material, calm_windows=1),
        refusals=RatePolicy(parse_share(watch.refused), at, "CON", "refused"),
        errors=RatePolicy(parse_share(watch.errors), at, "SLO", "failed"),
    )
