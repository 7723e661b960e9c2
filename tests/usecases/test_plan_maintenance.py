"""In planned maintenance all is judged, nobody is paged, and what still lives is told after."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.harness import MODEL, Harness
from usecases.test_notify_people import Desk, fail, refuse

from windvane.ports.control_store import Silence, UnknownName
from windvane.usecases.actions import About
from windvane.usecases.actions.silence import CannotSilence
from windvane.usecases.plan_maintenance import (
    BadMaintenance,
    cancel_maintenance,
    find_maintenance,
    plan_maintenance,
)

DAY = 86_400.0


@pytest.fixture
def desk(harness: Harness) -> Desk:
    return Desk(harness)


def plan(harness: Harness, begins: float = 0.0, lasts: float = 3_600.0, **of: Any) -> Silence:
    wall = harness.clock.wall_at
    given = {"by": "user:ana", "reason": "the warehouse moves", **of}
    return plan_maintenance(
        harness.store, harness.clock, begins=wall + begins, until=wall + begins + lasts, **given
    )


def planned(harness: Harness, model: str = "") -> list[Silence]:
    with harness.store.read() as tx:
        return find_maintenance(tx, harness.clock.wall_at, model)


@pytest.mark.parametrize("model", ["", MODEL])
def test_nobody_is_paged_meanwhile_and_what_still_lives_is_told_after(
    desk: Desk, model: str
) -> None:
    plan(desk.harness, model=model)
    fail(desk.harness)
    desk.after(0.0)
    assert desk.pager.titles == []
    assert desk.incident.maintenance == "the warehouse moves"
    assert any(line.startswith("in planned maintenance until ") for line in desk.timeline)
    desk.after(3_000.0)
    assert desk.pager.titles == []
    desk.after(601.0)
    assert desk.pager.titles == [f"[high] {MODEL}"]
    assert desk.timeline.count(next(x for x in desk.timeline if "planned" in x)) == 1
    assert planned(desk.harness) == [], "it has expired"


def test_what_is_over_by_its_end_is_told_to_nobody(desk: Desk) -> None:
    plan(desk.harness)
    fail(desk.harness)
    desk.after(0.0)
    desk.harness.act("close", About.INCIDENT, incident=desk.incident.id)
    desk.after(3_700.0)
    assert desk.pager.titles == []
    assert desk.incident.maintenance, "it stays on record"


def test_it_begins_when_it_was_declared_to(desk: Desk) -> None:
    plan(desk.harness, begins=600.0)
    fail(desk.harness)
    desk.after(0.0)
    assert desk.pager.titles == [f"[high] {MODEL}"], "it lies ahead still"
    assert desk.incident.maintenance == ""
    desk.after(601.0)
    assert desk.second.titles == [], "no further channel is paged in it"


def test_one_tenants_is_of_its_own_incidents(desk: Desk) -> None:
    plan(desk.harness, tenant="UA")
    refuse(desk.harness)
    desk.after(0.0)
    assert desk.mail.titles == [], "the refusals are of UA"
    other = Desk(desk.harness)
    cancel_maintenance(desk.harness.store, desk.harness.clock, planned(desk.harness)[0].id, by="x")
    plan(desk.harness, tenant="AA")
    other.after(61.0)
    assert other.mail.titles == [f"[medium] {MODEL}"]


def test_one_that_is_cancelled_is_noticed_within_a_minute(desk: Desk) -> None:
    one = plan(desk.harness)
    fail(desk.harness)
    desk.after(0.0)
    cancel_maintenance(desk.harness.store, desk.harness.clock, one.id, by="user:ana")
    desk.after(61.0)
    assert desk.pager.titles == [f"[high] {MODEL}"]
    with pytest.raises(UnknownName, match="no planned maintenance"):
        cancel_maintenance(desk.harness.store, desk.harness.clock, one.id, by="user:ana")
    actions = [d.action for d in desk.harness.decisions() if "maintenance" in d.action]
    assert actions == ["cancel_maintenance", "plan_maintenance"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lasts": 7 * DAY + 1.0}, "7d are the most"),
        ({"lasts": 0.0}, "until is not after from"),
        ({"lasts": -5.0}, "until is not after from"),
        ({"begins": -100.0, "lasts": 50.0}, "which is over"),
        ({"begins": 400 * DAY}, "a year ahead is the most"),
        ({"begins": float("nan")}, "until is not after from"),
        ({"reason": " "}, "reason is missing"),
        ({"reason": "x" * 501}, "501 characters"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    harness: Harness, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadMaintenance, match=said):
        plan(harness, **given)
    assert planned(harness) == []


def test_an_unknown_model_is_refused(harness: Harness) -> None:
    with pytest.raises(UnknownName):
        plan(harness, model="none")


def test_it_is_bounded(harness: Harness) -> None:
    for i in range(200):
        plan(harness, begins=float(i))
    with pytest.raises(BadMaintenance, match="200 may be"):
        plan(harness)


def test_lifting_silences_lifts_no_maintenance(harness: Harness) -> None:
    plan(harness, model=MODEL)
    with pytest.raises(CannotSilence, match="nothing"):
        harness.act("lift-silence", About.MODEL)
    assert len(planned(harness, MODEL)) == 1
