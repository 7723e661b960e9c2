"""The demo's own steps."""

from __future__ import annotations

from typing import Any

from windvane.apps.demo.replay import ClientCounts
from windvane.apps.demo.run import wait_drained


class SlowLog:
    """A log whose rows are committed one at a time, predictions before outcomes."""

    def __init__(self, predictions: int, outcomes: int) -> None:
        self.left = ["predictions"] * predictions + ["outcomes"] * outcomes
        self.held = {"predictions": 0, "outcomes": 0}

    def counts(self, model: str) -> dict[str, int]:
        assert model == "flight-delay"
        if self.left:
            self.held[self.left.pop(0)] += 1
        return self.held


def test_the_report_waits_for_outcomes_as_well_as_predictions() -> None:
    log: Any = SlowLog(3, 4)
    wait_drained(log, "flight-delay", ClientCounts(acknowledged=3, outcomes=4))
    assert log.held == {"predictions": 3, "outcomes": 4}
