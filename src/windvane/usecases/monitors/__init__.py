"""Everything that watches a model's windows. One file a monitor, one line each in ``MONITORS``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from windvane.core.alerting import CANARY, CauseKind
from windvane.usecases.monitors.base import Importance, Judge, Judged, Monitor
from windvane.usecases.monitors.dependence import Dependence
from windvane.usecases.monitors.disagreement import Disagreement
from windvane.usecases.monitors.errors import Errors
from windvane.usecases.monitors.estimates import Estimates
from windvane.usecases.monitors.fallbacks import Fallbacks
from windvane.usecases.monitors.freshness import Freshness
from windvane.usecases.monitors.labels import Labels
from windvane.usecases.monitors.outcomes import Outcomes
from windvane.usecases.monitors.predictions import Predictions
from windvane.usecases.monitors.refusals import Refusals
from windvane.usecases.monitors.repeats import Repeats
from windvane.usecases.monitors.slo import Slo
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.monitors.traffic import Traffic
from windvane.usecases.monitors.training_drift import TrainingDrift
from windvane.usecases.monitors.truth_shift import TruthShift
from windvane.usecases.read_model_file import ModelFile
from windvane.usecases.window_policy import WindowPolicy, window_policy

MONITORS: tuple[Monitor, ...] = (
    SuddenShift(),
    Freshness(),
    Repeats(),
    Refusals(),
    Errors(),
    Predictions(),
    Fallbacks(),
    Disagreement(),
    TrainingDrift(),
    Dependence(),
    Outcomes(),
    Estimates(),
    TruthShift(),
    Labels(),
    Traffic(),
    Slo(),
)


def monitor_named(name: str, monitors: Sequence[Monitor] = MONITORS) -> Monitor | None:
    return next((m for m in monitors if m.name == name), None)


def about(monitor: str, subject: str) -> str:
    """What a verdict of ``monitor`` on ``subject`` is about, for a page; of the rollout's gate,
    which is no monitor, its own name."""
    known = monitor_named(monitor)
    if known is None:
        return f"{monitor}: {subject}" if subject else monitor
    return known.about(subject)


def cause_kinds(monitors: Sequence[Monitor] = MONITORS) -> Mapping[str, CauseKind]:
    """Every kind of cause that an incident may have, by name."""
    found = [kind for m in monitors for kind in (m.cause, *m.more_causes)]
    return {kind.name: kind for kind in (*found, CANARY)}


def watch_policy(
    file: ModelFile, *, models: int, tenants: int, monitors: Sequence[Monitor] = MONITORS
) -> WindowPolicy:
    """A model's policy where the installation has so many models and tenants: all streams of all
    monitors share the one budget of false alarms, but for those that the file switched off."""
    on = [m for m in monitors if m.name not in file.watch.off]
    fast = sum(m.streams(file, tenants) for m in on if not m.slow)
    slow = sum(m.streams(file, tenants) for m in on if m.slow)
    return window_policy(file, streams=models * fast, slow_streams=models * slow)


__all__ = [
    "MONITORS",
    "Importance",
    "Judge",
    "Judged",
    "Monitor",
    "about",
    "cause_kinds",
    "monitor_named",
    "watch_policy",
]
