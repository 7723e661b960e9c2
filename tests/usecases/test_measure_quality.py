"""How good answers were is told of what the outcome counts call joined, and of who answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from event_rows import predicted_event

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.event_log import LogEntry
from windvane.ports.events import Event, OutcomeSeen
from windvane.usecases.measure_quality import QualityReport, measure_quality
from windvane.usecases.read_model_file import read_model_file

FILE = read_model_file(
    """
model: late
owner: {team: ops}
features: {schedule: {distance: {type: number}}}
watch: {window: 1h, outcomes: {floor: 0.62, arrive_within: 10m}}
"""
)
HOUR = 3_600.0
START = 1_700_006_400.0
END = START + 12 * HOUR
ROWS = 200


class Log:
    """The log of model ``late``."""

    def __init__(self, folder: Path) -> None:
        self.adapter = DeltaEventLog(str(folder))
        self._events: list[Event] = []

    def predict(
        self, name: str, at: float, output: float, *, request_id: str = "", unit: str = "",
        answered: str = "1",
    ) -> None:  # fmt: skip
        self._events.append(
            predicted_event(
                name, at, "late", "acme", FILE.contract.id, values=[1.0], outputs=[output],
                request_id=request_id, unit=unit, routed="1", answered=answered,
            )
        )  # fmt: skip

    def tell(self, name: str, at: float, value: float) -> None:
        named = f"{name} {at}"
        self._events.append(
            OutcomeSeen(named, at, "late", "acme", FILE.contract.id, name, 0, value)
        )

    def measure(self) -> QualityReport:
        entries = [LogEntry("w0", i, event) for i, event in enumerate(self._events)]
        self.adapter.append("w0", len(entries), entries, {FILE.contract.id: FILE.contract})
        return measure_quality(self.adapter, FILE, START, END)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def right(truth: float) -> float:
    return 0.9 if truth else 0.1


def test_an_outcome_that_names_several_predictions_is_used_for_none(log: Log) -> None:
    """Though each lies in a span of its own."""
    rng = np.random.default_rng(1)
    for i in range(ROWS):
        truth = float(i % 2)
        log.predict(f"a{i}", START + i, right(truth), request_id=f"order{i}")
        log.predict(f"b{i}", START + 5 * HOUR + i, rng.random(), request_id=f"order{i}")
        log.tell(f"order{i}", START + 60 + i, truth)
    found = log.measure()
    assert [(one.joined, one.ambiguous) for one in found.counts] == [(0, ROWS)]
    assert (found.whole, found.spans) == ((), ())


def test_what_came_too_late_or_cannot_be_is_not_measured(log: Log) -> None:
    for i in range(ROWS):
        truth = float(i % 2)
        for name in ("fine", "late", "odd"):
            log.predict(f"{name}{i}", START + i, right(truth))
        log.tell(f"fine{i}", START + i + 60, truth)
        log.tell(f"late{i}", START + i + 1_800, 1 - truth)
        log.tell(f"odd{i}", START + i + 60, 7.0)
    found = log.measure()
    assert [(o.joined, o.late, o.out_of_range) for o in found.counts] == [(ROWS, ROWS, ROWS)]
    (whole,) = found.whole
    assert (whole.quality.value, whole.quality.rows) == (1.0, ROWS)


def test_an_answer_belongs_to_who_answered(log: Log) -> None:
    """Version 1 was to answer, and never did."""
    for i in range(3 * ROWS):
        truth, name = float(i // 3 % 2), f"p{i}"
        answered, output = (("2", right(truth)), ("2", right(truth)), ("", 0.5))[i % 3]
        log.predict(name, START + i, output, answered=answered)
        log.tell(name, START + i + 60, truth)
    found = log.measure()
    assert [(one.answerer, one.quality.value) for one in found.whole] == [
        ("a rule or a constant", 0.5), ("version 2", 1.0),
    ]  # fmt: skip


def test_spans_add_up_to_the_whole(log: Log) -> None:
    rng = np.random.default_rng(2)
    for i in range(1_200):
        truth = float(i % 3 == 0)
        log.predict(f"p{i}", START + 36.0 * i, float(rng.random()), answered=str(1 + i % 2))
        log.tell(f"p{i}", START + 36.0 * i + 5, truth)
    found = log.measure()
    assert {one.version: one.quality.rows for one in found.whole} == {"1": 600, "2": 600}
    assert [one.quality.rows for one in found.spans] == [50] * 24
    assert sorted({one.start for one in found.spans}) == [START + HOUR * i for i in range(12)]


def test_rows_of_one_unit_are_no_evidence_of_their_own(tmp_path: Path) -> None:
    """The same rows, of many units, of few, of next to none, and of nobody knows which."""
    found = {}
    for name, units in (("many", 600), ("few", 30), ("too few", 3), ("unknown", 0)):
        rng, log = np.random.default_rng(3), Log(tmp_path / name.replace(" ", "-"))
        truths = (rng.random(30) < 0.5).repeat(20).astype(float)
        shared = rng.normal(size=30).repeat(20)
        for i in range(600):
            truth = float(truths[i])
            output = float(1 / (1 + np.exp(-(truth + shared[i] + rng.normal()))))
            unit = f"u{i * units // 600}" if units else ""
            log.predict(f"p{i}", START + i, output, unit=unit)
            log.tell(f"p{i}", START + i + 60, truth)
        (found[name],) = log.measure().whole
    width = {name: one.quality.upper - one.quality.lower for name, one in found.items()}
    assert found["too few"].short_of == "2 more units"
    assert [found[name].independent for name in ("many", "few", "unknown")] == [
        "units", "units", "rows",
    ]  # fmt: skip
    assert width["few"] > 1.05 * width["unknown"]
    assert width["many"] == pytest.approx(width["unknown"])
    assert found["few"].quality.value == found["unknown"].quality.value
    assert 0.0 <= found["few"].quality.lower < found["few"].quality.upper <= 1.0
