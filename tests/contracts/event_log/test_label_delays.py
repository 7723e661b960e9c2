"""How long labels took is told by tenant and cohort, with the predictions that have none yet."""

from __future__ import annotations

from contracts.event_log.rows import DAY, NARROW, append, outcome, predicted

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.event_log import LabelDelays
from windvane.ports.events import OutcomeSeen

HOUR = 3_600.0
EDGES = (60.0, HOUR)


def told(log: DeltaEventLog, seen_until: float = DAY + 99 * HOUR) -> list[LabelDelays]:
    return log.label_delays("delay", DAY, 24 * HOUR, 2, seen_until, EDGES)


def test_nothing_is_told_where_nothing_was_predicted(log: DeltaEventLog) -> None:
    assert told(log) == []
    append(log, [predicted("before", DAY - 1), predicted("after", DAY + 48 * HOUR)])
    assert told(log) == []


def test_predictions_without_a_label_count(log: DeltaEventLog) -> None:
    append(log, [predicted("a", rows=2), predicted("b", DAY + 25 * HOUR)])
    assert told(log) == [LabelDelays("AA", 0, 2, (0, 0, 0)), LabelDelays("AA", 1, 1, (0, 0, 0))]


def test_each_row_is_in_the_bin_of_its_first_label(log: DeltaEventLog) -> None:
    append(
        log,
        [
            *(predicted(name, DAY + 1) for name in "abcd"),
            predicted("late", DAY + 24 * HOUR),
            predicted("u", DAY + 2, tenant="UA", request_id="order"),
            outcome("a", 1.0, DAY + 61),  # at an edge
            outcome("b", 1.0, DAY + 62),
            OutcomeSeen("revised", DAY + 9 * HOUR, "delay", "AA", NARROW.id, "b", 0, 0.0),
            outcome("c", 7.0, DAY + 5 * HOUR),  # no label that the task can have; it came
            outcome("order", 1.0, DAY + 3, tenant="UA"),
            outcome("order", 1.0, DAY + 3),  # another tenant's
        ],
    )
    assert told(log) == [
        LabelDelays("AA", 0, 4, (1, 1, 1)),
        LabelDelays("AA", 1, 1, (0, 0, 0)),
        LabelDelays("UA", 0, 1, (1, 0, 0)),
    ]
    assert told(log, DAY + 62) == [
        LabelDelays("AA", 0, 4, (1, 0, 0)),
        LabelDelays("AA", 1, 1, (0, 0, 0)),
        LabelDelays("UA", 0, 1, (1, 0, 0)),
    ]


def test_an_id_that_stands_for_several_predictions_labels_none(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("p1", request_id="order"),
            predicted("p2", DAY + 40 * HOUR, request_id="order"),
            outcome("order", 1.0, DAY + 41 * HOUR),
        ],
    )
    assert [one.labelled for one in told(log)] == [(0, 0, 0), (0, 0, 0)]


def test_a_clock_that_is_behind_makes_no_delay(log: DeltaEventLog) -> None:
    append(log, [predicted("a", DAY + 10), outcome("a", 1.0, DAY + 5)])
    assert told(log) == [LabelDelays("AA", 0, 1, (1, 0, 0))]
