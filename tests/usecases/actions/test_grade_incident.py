"""Closing asks what an incident was, and what is said of it counts for its monitors."""

from __future__ import annotations

import pytest
from usecases.actions.test_incidents import refuse
from usecases.harness import MODEL, Harness

from windvane.ports.control_store import Incident
from windvane.usecases.actions import About, BadAnswer
from windvane.usecases.measure_alerts import AlertReport, measure_alerts


def held(harness: Harness, incident: str) -> Incident:
    return next(i for i in harness.incidents() if i.id == incident)


def report(harness: Harness) -> AlertReport:
    with harness.store.read() as tx:
        return measure_alerts(tx, harness.clock.now())


def test_closing_takes_the_grade_and_what_the_runbook_lacks(learnt: Harness) -> None:
    incident = refuse(learnt)
    assert incident.monitors == ("refusals",)
    answers = {"grade": "true", "runbook_change": " name the tenant's owner "}
    decided = learnt.act("close", About.INCIDENT, incident=incident.id, answers=answers)
    closed = held(learnt, incident.id)
    assert (closed.grade, closed.graded_by, closed.graded_at) == (
        "true",
        "user:ana",
        learnt.clock.at,
    )
    assert closed.runbook_change == "name the tenant's owner"
    assert closed.closed_at == learnt.clock.at
    assert decided.facts["grade"] == "true"
    assert learnt.timeline(closed)[-2:] == [
        "graded true by user:ana; its runbook should say: name the tenant's owner",
        "closed by hand: seen",
    ]
    (one,) = report(learnt).monitors
    assert (one.monitor, one.alerts, one.true) == ("refusals", 1, 1)


def test_what_closed_by_itself_is_graded_later_and_the_last_word_counts(
    learnt: Harness,
) -> None:
    incident = refuse(learnt)
    for index in range(13, 40):
        learnt.traffic(index)
        learnt.judge()
    closed = held(learnt, incident.id)
    assert (closed.closed_at is not None, closed.grade, closed.monitors) == (
        True,
        "",
        ("refusals",),
    )
    assert report(learnt).ungraded == 1
    learnt.act("grade", About.INCIDENT, incident=incident.id, answers={"grade": "true"})
    learnt.act(
        "grade", About.INCIDENT, incident=incident.id, by="user:bo",
        answers={"grade": "false", "runbook_change": "none"},
    )  # fmt: skip
    after = held(learnt, incident.id)
    assert (after.grade, after.graded_by, after.closed_at) == ("false", "user:bo", closed.closed_at)
    assert learnt.timeline(after)[-1] == "graded false by user:bo; its runbook is right"
    found = report(learnt)
    assert (found.ungraded, found.monitors[0].false, found.monitors[0].graded) == (0, 1, 1)
    assert [(name, one.false) for name, one in found.rules] == [(MODEL, 1)]


@pytest.mark.parametrize(
    ("name", "answers", "says"),
    [
        ("grade", {}, "grade is missing"),
        ("grade", {"grade": "maybe"}, "grade is 'maybe'"),
        ("close", {"grade": "TRUE"}, "grade is 'TRUE'"),
        ("close", {"runbook_change": "x" * 501}, "501 characters, 500 are the most"),
        ("close", {"colour": "red"}, "'colour' is not asked for"),
    ],
)
def test_another_answer_changes_nothing(
    learnt: Harness,
    name: str,
    answers: dict[str, str],
    says: str,
) -> None:
    incident = refuse(learnt)
    with pytest.raises(BadAnswer, match=says):
        learnt.act(name, About.INCIDENT, incident=incident.id, answers=answers)
    assert held(learnt, incident.id) == incident


def test_who_was_first_on_it_counts(learnt: Harness) -> None:
    incident = refuse(learnt)
    began = learnt.clock.at
    learnt.clock.at += 30.0
    learnt.act("acknowledge", About.INCIDENT, incident=incident.id)
    learnt.clock.at += 600.0
    learnt.act("acknowledge", About.INCIDENT, incident=incident.id, by="user:bo")
    after = held(learnt, incident.id)
    assert (after.acknowledged_at, after.first_acknowledged_at) == (began + 630.0, began + 30.0)
    times = report(learnt).times[0]
    assert times.acknowledge.median_s == began + 30.0 - incident.opened_at


def test_something_done_by_itself_is_remembered(learnt: Harness) -> None:
    for index in range(12, 18):
        learnt.traffic(index, nulls=0.9)
        learnt.judge()
    feed = next(i for i in learnt.incidents() if i.kind == "feed")
    assert feed.acted
    assert not refuse(learnt, 18).acted
    learnt.act("accept", About.INCIDENT, incident=feed.id, answers={"grade": "harmless"})
    after = held(learnt, feed.id)
    assert (after.grade, after.closed_at) == ("harmless", learnt.clock.at)
