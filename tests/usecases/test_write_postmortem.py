"""What is on record of an incident becomes its postmortem, with what is to be done after it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from usecases.harness import MODEL, WINDOW_S, Harness

from windvane.core.alerting.postmortem import Postmortem
from windvane.ports.control_store import Incident
from windvane.usecases.actions import About, BadAnswer
from windvane.usecases.actions.action_items import CannotChangeItem
from windvane.usecases.write_postmortem import write_postmortem

ITEM = {"what": "check ids", "owner": "ana", "due": "2023-11-20", "acceptance": "a test fails"}


@pytest.fixture
def broken(harness: Harness) -> Harness:
    harness.put("1")
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    for index in range(12, 18):
        harness.traffic(index, nulls=0.9)
        harness.judge()
    return harness


def feed(harness: Harness) -> Incident:
    return next(i for i in harness.incidents() if i.kind == "feed")


def of(harness: Harness, incident: str) -> Postmortem:
    with harness.store.read() as tx:
        return write_postmortem(tx, incident, harness.clock.now())


def test_it_has_what_is_on_record(broken: Harness) -> None:
    held = feed(broken)
    broken.act("acknowledge", About.INCIDENT, incident=held.id)
    found = of(broken, held.id)
    assert (found.since, found.opened_at) == (held.since, held.opened_at)
    assert found.acknowledged_at == broken.clock.at
    assert found.closed_at is None
    assert any("nulls" in line and "->" in line for line in found.evidence)
    assert [line for _, line in found.timeline][-1].startswith("user:ana is on it")
    assert {line.split(",")[0] for _, line in found.changes} >= {"apply"}
    with broken.store.read() as tx:
        kept = tx.sketches(MODEL, held.since, found.impact.until)
        rows = sum(sketch.total("rows") for _, sketch in kept)
    assert sum(t.counts.rows for t in found.impact.tenants) == rows > 0
    assert found.impact.feature == "temp", "what is missing is what happened"
    assert all(t.counts.nulls > t.counts.looked_at / 2 for t in found.impact.tenants)
    assert all(t.usual.looked_at > 0 == t.usual.nulls for t in found.impact.tenants)
    assert found.impact.until - found.impact.since >= 5 * WINDOW_S


def test_values_of_requests_are_not_in_it(broken: Harness) -> None:
    with broken.store.begin() as tx:
        held = tx.incident(feed(broken).id)
        sample = {"tenant": "AA", "features": {"temp": "a secret"}, "sample": "a secret"}
        tx.put_incident(replace(held, evidence={**held.evidence, "samples": [sample]}))
    assert "a secret" not in str(of(broken, held.id))


def test_an_item_is_added_done_verified_and_opened_again(broken: Harness) -> None:
    held = feed(broken)
    broken.act("add-action-item", About.INCIDENT, incident=held.id, answers=ITEM)
    (line,) = of(broken, held.id).items
    assert (line.what, line.owner, line.state, line.overdue) == ("check ids", "ana", "open", False)
    assert line.day == "2023-11-20"
    assert line.due == dt.datetime(2023, 11, 21, tzinfo=dt.UTC).timestamp()
    broken.clock.at = line.due - 1.0
    assert not of(broken, held.id).items[0].overdue
    broken.clock.at = line.due
    assert of(broken, held.id).items[0].overdue
    for state in ("done", "verified", "open"):
        given = {"item": line.id, "state": state}
        broken.act("set-action-item", About.INCIDENT, incident=held.id, answers=given)
        found = of(broken, held.id)
        assert found.items[0].state == state
        assert found.items[0].overdue is (state == "open")
        assert found.timeline[-1][1] == f"action item {line.id} is {state}: check ids"
    with pytest.raises(CannotChangeItem, match="is open already"):
        broken.act("set-action-item", About.INCIDENT, incident=held.id, answers=given)


def test_what_is_no_item_is_refused(broken: Harness) -> None:
    held = feed(broken)
    for wrong in ({"due": "tomorrow"}, {"due": "2023-02-30"}, {"what": " "}, {"owner": "x" * 129}):
        with pytest.raises(BadAnswer, match=next(iter(wrong))):
            broken.act(
                "add-action-item", About.INCIDENT, incident=held.id, answers={**ITEM, **wrong}
            )
    assert of(broken, held.id).items == ()


def test_an_item_of_another_incident_is_not_changed(broken: Harness) -> None:
    """Who may change the one may not for that change the other, which may be another team's."""
    held = feed(broken)
    broken.act("add-action-item", About.INCIDENT, incident=held.id, answers=ITEM)
    item = of(broken, held.id).items[0].id
    broken.traffic(18, nulls=0.9, refused={"AA": 90})
    broken.judge()
    other = next(i for i in broken.incidents() if i.id != held.id)
    with pytest.raises(CannotChangeItem, match=f"is of incident {held.id}"):
        broken.act(
            "set-action-item", About.INCIDENT, incident=other.id,
            answers={"item": item, "state": "done"},
        )  # fmt: skip


def test_an_incident_has_a_bound_of_items(broken: Harness) -> None:
    held = feed(broken)
    for _ in range(100):
        broken.act("add-action-item", About.INCIDENT, incident=held.id, answers=ITEM)
    with pytest.raises(CannotChangeItem, match="has 100 action items"):
        broken.act("add-action-item", About.INCIDENT, incident=held.id, answers=ITEM)
