"""One word for a model's health now, and the sentence behind it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from windvane.core.alerting import CANARY, Severity
from windvane.core.verdict import Outcome
from windvane.ports.control_store import Deployment, Incident, WindowVerdict
from windvane.usecases.advance_rollout import ROLLOUT
from windvane.usecases.monitors.sudden_shift import SuddenShift
from windvane.usecases.monitors.training_drift import TrainingDrift


class Tone(enum.StrEnum):
    """How loud a word is; each has a sign of its own beside its colour."""

    GOOD = "good"
    BUSY = "busy"
    QUIET = "quiet"
    WARN = "warn"
    BAD = "bad"


SIGNS: Mapping[Tone, str] = {
    Tone.GOOD: "✓",
    Tone.BUSY: "→",
    Tone.QUIET: "–",
    Tone.WARN: "!",
    Tone.BAD: "✕",
}


@dataclass(frozen=True, slots=True)
class Health:
    """``word`` to read at a glance, ``why`` in one sentence."""

    word: str
    tone: Tone
    why: str

    @property
    def sign(self) -> str:
        return SIGNS[self.tone]


def health_of(
    live: Deployment | None,
    incidents: Sequence[Incident],
    latest: Mapping[tuple[str, str], WindowVerdict],
    requests: int,
) -> Health:
    """From what is open and what was judged last; ``latest`` holds one verdict by monitor
    and subject.

    A canary that was rolled back harms nobody any more, and training drift harms nobody: both
    ask for a look, not for haste.
    """
    if live is None:
        return Health("not live", Tone.QUIET, "no version is deployed yet")
    by_age = sorted(incidents, key=lambda i: -i.opened_at)
    urgent = [i for i in by_age if is_urgent(i)]
    if live.standing_in:
        why = f"version {live.standing_in} stands in for version {live.champion}"
        views = ", ".join(live.broken_views)
        return Health("standing in", Tone.WARN, f"{why}; broken: {views}" if views else why)
    if urgent:
        return Health("failing", Tone.BAD, urgent[0].title)
    if by_age:
        return Health("needs a look", Tone.WARN, by_age[0].title)
    judged = _judged(latest)
    if judged is not None:
        return judged
    if live.challenger:
        why = f"version {live.challenger} answers {live.share:.0%} of the units"
        return Health("rolling out", Tone.BUSY, why)
    features = latest.get((SuddenShift.name, ""))
    if not requests:
        return Health("quiet", Tone.QUIET, "no requests in these windows")
    if features is None:
        return Health("learning", Tone.QUIET, "no window was judged yet")
    if features.outcome == Outcome.HOLD:
        return Health("learning", Tone.QUIET, features.sentence)
    return Health("healthy", Tone.GOOD, features.sentence)


def is_urgent(incident: Incident) -> bool:
    """A canary that was rolled back harms nobody any more."""
    return incident.severity == Severity.HIGH and incident.kind != CANARY.name


def _judged(latest: Mapping[tuple[str, str], WindowVerdict]) -> Health | None:
    """A failed or impossible judgement that no incident tells about."""
    for verdict in latest.values():
        if verdict.outcome == Outcome.ERROR:
            return Health("not measured", Tone.WARN, verdict.sentence)
    harmless = (TrainingDrift.name, ROLLOUT)
    for verdict in latest.values():
        if verdict.outcome == Outcome.FAIL and verdict.monitor not in harmless:
            return Health("needs a look", Tone.WARN, verdict.sentence)
    drift = latest.get((TrainingDrift.name, ""))
    if drift is not None and drift.outcome == Outcome.FAIL:
        why = f"the inputs differ from the training data: {drift.sentence}"
        return Health("drifting", Tone.BUSY, why)
    return None
