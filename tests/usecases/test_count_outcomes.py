"""What became of outcomes, over the span and the window that the model's file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from usecases.harness import FILE, MODEL, START
from usecases.recording import RecorderHarness, outcome, predicted

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.event_log import OutcomeCounts
from windvane.usecases.count_outcomes import arrive_within_s, count_outcomes
from windvane.usecases.read_model_file import BadModelFile, read_model_file

DAY_S = 86_400.0


def with_outcomes(given: str) -> str:
    """The harness's file with other outcomes, over a week."""
    text = FILE.replace("drift_over: 20m", "drift_over: 7d")
    lines = [line for line in text.splitlines() if not line.strip().startswith("outcomes:")]
    at = next(i for i, line in enumerate(lines) if line.startswith("watch:"))
    return "\n".join([*lines[: at + 1], f"  outcomes: {given}", *lines[at + 1 :]])


def test_of_what_came_lately_the_late_is_told(recording: RecorderHarness) -> None:
    recording.write(
        [
            predicted("a"),
            predicted("b"),
            outcome("a", START + DAY_S),
            outcome("b", START + DAY_S + 1),
            outcome("c", START + DAY_S, tenant="UA"),
        ]
    )
    recording.clock.at = START + 2 * DAY_S
    recording.start().step()
    file = read_model_file(with_outcomes("{arrive_within: 1d}"))
    assert file.model == MODEL
    assert count_outcomes(recording.log, file, START + 2 * DAY_S) == [
        OutcomeCounts("AA", joined=1, late=1),
        OutcomeCounts("UA", unknown=1),
    ]
    silent = read_model_file(with_outcomes("{}"))
    assert count_outcomes(recording.log, silent, START + 2 * DAY_S)[0].late == 0
    assert count_outcomes(recording.log, file, START + 99 * DAY_S) == []


def test_a_log_without_outcomes(tmp_path: Path) -> None:
    assert count_outcomes(DeltaEventLog(str(tmp_path)), read_model_file(FILE), START) == []


@pytest.mark.parametrize("given", ["{arrive_within: soon}", "{arrive_within: 0s}"])
def test_a_window_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(BadModelFile, match=r"watch\.outcomes\.arrive_within"):
        read_model_file(with_outcomes(given))


def test_the_window_is_in_seconds() -> None:
    assert arrive_within_s(read_model_file(with_outcomes("{arrive_within: 36h}"))) == 129_600.0
    assert arrive_within_s(read_model_file(with_outcomes("{}"))) is None
