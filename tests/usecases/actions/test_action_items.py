"""The day that an action item is due on lies ahead, and not beyond what anybody plans."""

from __future__ import annotations

import datetime as dt

import pytest
from usecases.actions.test_incidents import refuse
from usecases.harness import Harness

from windvane.usecases.actions import About
from windvane.usecases.actions.base import BadAnswer


def add(harness: Harness, day: str) -> None:
    answers = {"what": "ask", "owner": "ana", "due": day, "acceptance": "it fails"}
    incident = (harness.incidents() or [refuse(harness)])[0]
    harness.act("add-action-item", About.INCIDENT, incident=incident.id, answers=answers)


def day(harness: Harness, days: float) -> str:
    return dt.datetime.fromtimestamp(harness.clock.at + days * 86_400.0, dt.UTC).date().isoformat()


@pytest.mark.parametrize("days", [-1, -4_000, 3_655])
def test_a_day_that_is_over_or_far_away_is_refused(learnt: Harness, days: int) -> None:
    refuse(learnt)
    with pytest.raises(BadAnswer) as raised:
        add(learnt, day(learnt, days))
    assert raised.value.advice == "today or later, and at most 10 years ahead"


def test_the_last_day_of_the_calendar_is_refused(learnt: Harness) -> None:
    refuse(learnt)
    with pytest.raises(BadAnswer, match="due is 9999-12-31"):
        add(learnt, "9999-12-31")


@pytest.mark.parametrize("days", [0, 1, 3_652])
def test_today_and_ten_years_ahead_are_taken(learnt: Harness, days: int) -> None:
    refuse(learnt)
    add(learnt, day(learnt, days))
    with learnt.store.read() as tx:
        assert len(tx.action_items(10)) == 1
