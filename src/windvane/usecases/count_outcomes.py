"""What became of a model's outcomes lately."""

from __future__ import annotations

from collections.abc import Sequence

from windvane.ports.event_log import EventLog, OutcomeCounts
from windvane.usecases.read_model_file import ModelFile, parse_duration


def arrive_within_s(file: ModelFile) -> float | None:
    """How long after a prediction its outcome counts as in time; None where the file is silent."""
    given = file.watch.outcomes.get("arrive_within")
    return None if given is None else parse_duration(given)


def count_outcomes(log: EventLog, file: ModelFile, now: float) -> Sequence[OutcomeCounts]:
    """Of the outcomes of the last ``watch.drift_over``, by tenant."""
    start = now - parse_duration(file.watch.drift_over)
    return log.outcome_counts(file.model, file.contract, start, now, arrive_within_s(file))
