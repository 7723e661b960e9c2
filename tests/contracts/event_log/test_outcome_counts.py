"""Outcomes that say nothing about a prediction are told apart, by tenant."""

from __future__ import annotations

import pytest
from contracts.event_log.rows import DAY, NARROW, X, append, entries, outcome, predicted
from event_rows import predicted_event
from hypothesis import given, settings
from hypothesis import strategies as st

from windvane.adapters.delta import DeltaEventLog
from windvane.core.task import Contract, TaskSpec
from windvane.ports.event_log import OutcomeCounts
from windvane.ports.events import OutcomeSeen, Refused

HOUR = 3_600.0


def told(
    log: DeltaEventLog, within: float | None = HOUR, end: float = DAY + 99 * HOUR
) -> dict[str, OutcomeCounts]:
    found = log.outcome_counts("delay", NARROW, DAY, end, within)
    return {one.tenant: one for one in found}


def test_nothing_is_told_of_an_empty_log(log: DeltaEventLog) -> None:
    assert told(log) == {}
    append(log, [predicted("a")])
    assert told(log) == {}


def test_each_state_is_counted_by_tenant(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("a"),
            predicted("b"),
            predicted("c", rows=2),
            predicted("twice-1", request_id="order"),
            predicted("twice-2", request_id="order"),
            predicted("named", request_id="mine", tenant="UA"),
            outcome("a", 1.0, DAY + HOUR),
            outcome("b", 1.0, DAY + HOUR + 1),
            outcome("c", 3.0, DAY + 1),
            OutcomeSeen("c/1", DAY + 1, "delay", "AA", NARROW.id, "c", 1, 0.0),
            OutcomeSeen("c/2", DAY + 1, "delay", "AA", NARROW.id, "c", 2, 0.0),
            outcome("order", 1.0, DAY + 1),
            outcome("nobody", 1.0, DAY + 1),
            outcome("mine", 0.0, DAY + 1, tenant="UA"),
            outcome("a", 1.0, DAY + 1, tenant="UA"),  # another tenant's prediction
        ],
    )
    assert told(log) == {
        "AA": OutcomeCounts("AA", joined=2, unknown=2, ambiguous=1, late=1, out_of_range=1),
        "UA": OutcomeCounts("UA", joined=1, unknown=1),
    }
    assert told(log, None)["AA"].late == 0


def test_outcomes_before_any_prediction_are_unknown(log: DeltaEventLog) -> None:
    append(log, [outcome("a", 1.0)])
    assert told(log) == {"AA": OutcomeCounts("AA", unknown=1)}


def test_a_revision_is_the_same_outcome(log: DeltaEventLog) -> None:
    """It was there in time, whenever it is corrected; and what it says last is what counts."""
    append(
        log,
        [
            predicted("a"),
            OutcomeSeen("1", DAY + 1, "delay", "AA", NARROW.id, "a", 0, 7.0),
            OutcomeSeen("2", DAY + 9 * HOUR, "delay", "AA", NARROW.id, "a", 0, 1.0),
        ],
    )
    assert told(log)["AA"] == OutcomeCounts("AA", joined=1, revised=1)
    assert told(log, end=DAY + HOUR)["AA"] == OutcomeCounts("AA", out_of_range=1)
    assert log.counts("delay")["outcomes"] == 2, "the history stays"
    (found,) = log.scored("delay", NARROW, DAY, DAY + 1)
    assert found.labels.tolist() == [1.0]


def test_the_same_value_again_is_no_revision(log: DeltaEventLog) -> None:
    events = [OutcomeSeen(f"{i}", DAY + i, "delay", "AA", NARROW.id, "a", 0, 1.0) for i in (0, 1)]
    append(log, [predicted("a"), *events])
    assert told(log)["AA"] == OutcomeCounts("AA", joined=1)


def test_what_was_in_time_is_not_late_where_the_first_value_is_from_before(
    log: DeltaEventLog,
) -> None:
    append(
        log,
        [
            predicted("a"),
            OutcomeSeen("1", DAY + 1, "delay", "AA", NARROW.id, "a", 0, 0.0),
            OutcomeSeen("2", DAY + 9 * HOUR, "delay", "AA", NARROW.id, "a", 0, 1.0),
        ],
    )
    (found,) = log.outcome_counts("delay", NARROW, DAY + 5 * HOUR, DAY + 10 * HOUR, HOUR)
    assert found == OutcomeCounts("AA", joined=1, revised=1)
    assert log.outcome_counts("delay", NARROW, DAY + 2 * HOUR, DAY + 3 * HOUR, HOUR) == []


def test_only_joined_outcomes_are_scored_whatever_the_span(log: DeltaEventLog) -> None:
    """Another use of a client's id lies outside of the span, by hours or by days."""
    append(
        log,
        [
            predicted("p1", request_id="order-1", output=0.1),
            predicted("p2", DAY + 2 * HOUR, request_id="order-1", output=0.2),
            predicted("p3", request_id="order-2", output=0.3),
            predicted("p4", DAY + 99 * HOUR, request_id="order-2", output=0.4),
            predicted("p5", request_id="order-3", output=0.5),
            predicted("p6", request_id="p7", output=0.6),
            predicted("p7", DAY + 2 * HOUR, output=0.7),
            predicted("late", output=0.8),
            predicted("never", output=0.9),
            predicted("revised", output=1.0),
            outcome("order-1", 1.0),
            outcome("order-2", 1.0),
            outcome("order-3", 1.0, DAY + 1),
            outcome("p7", 1.0, DAY + 2 * HOUR),  # its own name, and nobody else's
            outcome("late", 1.0, DAY + 2 * HOUR),
            outcome("never", 7.0, DAY + 1),
            OutcomeSeen("1", DAY + 1, "delay", "AA", NARROW.id, "revised", 0, 0.0),
            OutcomeSeen("2", DAY + 9 * HOUR, "delay", "AA", NARROW.id, "revised", 0, 1.0),
        ],
    )
    counted = told(log, end=DAY + 999 * HOUR)["AA"]
    assert counted == OutcomeCounts("AA", joined=3, ambiguous=2, late=1, out_of_range=1, revised=1)
    assert _outputs(log, DAY, DAY + HOUR) == [0.5, 1.0]
    assert _outputs(log, DAY + HOUR, DAY + 3 * HOUR) == [0.7]
    assert _outputs(log, DAY, DAY + 999 * HOUR) == [0.5, 0.7, 1.0]
    assert _outputs(log, DAY, DAY + HOUR, within=None) == [0.5, 0.8, 1.0]


def _outputs(
    log: DeltaEventLog, start: float, end: float, within: float | None = HOUR
) -> list[float]:
    found = log.scored("delay", NARROW, start, end, within)
    return sorted(value for one in found for value in one.outputs[0].tolist())


def test_scored_rows_say_when_of_which_unit_and_who_answered(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("a", DAY + 3, unit="u1", routed="1", answered="2", flags=["failed"]),
            predicted("b", DAY + 4, unit="u1", routed="1", answered="2", flags=["failed"]),
            predicted("c", DAY + 5, unit="u1", tenant="UA", routed="1", answered=""),
            predicted("d", DAY + 6, unit="", routed="1", answered=""),
            *(outcome(name, 1.0) for name in "abd"),
            outcome("c", 1.0, tenant="UA"),
        ],
    )
    found = {one.answered: one for one in log.scored("delay", NARROW, DAY, DAY + 9)}
    assert {one.routed for one in found.values()} == {"1"}
    assert sorted(found["2"].times.tolist()) == [DAY + 3, DAY + 4]
    (unit,) = set(found["2"].units.tolist())
    others = dict(zip(found[""].times.tolist(), found[""].units.tolist(), strict=True))
    assert others[DAY + 6] == 0, "nobody knows of which unit"
    assert len({unit, others[DAY + 5], 0}) == 3, "a unit is one tenant's"
    tenants = dict(zip(found[""].times.tolist(), found[""].tenants.tolist(), strict=True))
    assert tenants == {DAY + 5: "UA", DAY + 6: "AA"}


def test_requests_that_the_gateway_refused_are_told_beside(log: DeltaEventLog) -> None:
    codes = {"AA": "CON-111", "UA": "CON-112", "DL": "CON-101"}
    append(log, [Refused(t, DAY, "delay", t, NARROW.id, code, "", "") for t, code in codes.items()])
    assert told(log) == {t: OutcomeCounts(t, refused=1) for t in ("AA", "UA")}


def test_only_what_was_received_in_the_span_counts(log: DeltaEventLog) -> None:
    append(log, [predicted("a"), predicted("b"), outcome("a", 1.0, DAY - 1), outcome("b", 1.0)])
    assert told(log)["AA"] == OutcomeCounts("AA", joined=1)


def test_a_label_that_the_task_has_no_more(log: DeltaEventLog) -> None:
    three = Contract((X,), TaskSpec("multiclass", classes=("p", "q", "r")))
    two = Contract((X,), TaskSpec("multiclass", classes=("p", "q")))
    event = predicted_event(
        "a", DAY, "delay", "AA", three.id, values=[1.0], outputs=[[0.2, 0.3, 0.5]]
    )
    truth = OutcomeSeen("1", DAY, "delay", "AA", three.id, "a", 0, 2.0)
    log.append("m/w0", 20, entries([event, truth]), {three.id: three})
    for contract, expected in (
        (three, OutcomeCounts("AA", joined=1)),
        (two, OutcomeCounts("AA", out_of_range=1)),
    ):
        assert log.outcome_counts("delay", contract, DAY, DAY + 1, None) == [expected]


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([0.0, 1.0]), st.sampled_from(["w0", "w1"])),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_the_latest_by_time_and_then_by_position_counts(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, float, str]]
) -> None:
    log = DeltaEventLog(str(tmp_path_factory.mktemp("log")))
    append(log, [predicted("a")], spool="p")
    for i, (ts, value, spool) in enumerate(sent):
        event = OutcomeSeen(f"e{i}", DAY + ts, "delay", "AA", NARROW.id, "a", 0, value)
        append(log, [event], spool=spool, first=10 * i)
    latest = max(range(len(sent)), key=lambda i: (sent[i][0], i))
    (found,) = log.scored("delay", NARROW, DAY, DAY + 1)
    assert found.labels.tolist() == [sent[latest][1]]


def test_scored_rows_of_labels_that_came_in_a_span(log: DeltaEventLog) -> None:
    """By the first label of a prediction, whenever that was made: a later one revises it."""
    append(
        log,
        [
            *(predicted(name, DAY + i) for i, name in enumerate("abc")),
            outcome("a", 1.0, ts=DAY + 10),
            outcome("b", 0.0, ts=DAY + 20),
            outcome("b", 1.0, ts=DAY + 30),
            outcome("c", 1.0, ts=DAY + 30),
        ],
    )
    found = [
        log.scored("delay", NARROW, DAY, DAY + 9, labelled=(DAY + first, DAY + first + 10))
        for first in (0, 10, 20, 30, 40)
    ]
    assert [[t - DAY for one in part for t in one.times] for part in found] == [
        [], [0.0], [1.0], [2.0], [],
    ]  # fmt: skip
    assert found[2][0].labels.tolist() == [1.0]
