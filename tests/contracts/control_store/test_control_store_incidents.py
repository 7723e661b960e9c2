"""Incidents over a long time, and what is to be done after them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contracts.control_store.test_control_store_actions import INCIDENT

from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import UnknownName
from windvane.ports.incidents import ActionItem, IncidentSummary
from windvane.ports.retention import AgedRows


def test_summaries_are_newest_first_and_lack_the_evidence(store: SqlControlStore) -> None:
    graded = replace(
        INCIDENT, evidence={"samples": [{"é": 1}] * 50}, monitors=("slo", "errors"), acted=True,
        acknowledged_by="user:ana", acknowledged_at=3.0, first_acknowledged_at=2.0,
        grade="harmless", graded_by="user:bo", graded_at=4.0, runbook_change="say 'é' first",
    )  # fmt: skip
    with store.begin() as tx:
        tx.put_incident(graded)
        tx.put_incident(replace(INCIDENT, id="j", opened_at=2.0, closed_at=5.0))
        tx.put_incident(replace(INCIDENT, id="k", opened_at=3.0, model="seats"))
    with store.read() as tx:
        found = tx.incident_summaries(1.0, 10)
        assert [one.id for one in found] == ["k", "j", "i"]
        assert [one.id for one in tx.incident_summaries(2.0, 10)] == ["k", "j"]
        assert [one.id for one in tx.incident_summaries(0.0, 1, "delay")] == ["j"]
        assert found[2] == IncidentSummary(
            "i", "delay", "c", "feed", "high", "t", 1.0, 1.0, None, "o", ("slo", "errors"), True,
            "user:ana", 3.0, 2.0, "harmless", "user:bo", 4.0, "say 'é' first",
        )  # fmt: skip
        assert tx.incident("i") == graded


def item(name: str, due: float, **given: str) -> ActionItem:
    whole = ActionItem(name, "delay", "i", "é 'x'", "ana", due, "a test", "open", "user:ana", 1.0)
    return replace(whole, **given)  # type: ignore[arg-type]


def test_action_items_are_listed_as_they_are_due(store: SqlControlStore) -> None:
    a, b = item("a", 30.0), item("b", 10.0, state="done")
    c = item("c", 20.0, model="seats", incident="k")
    with store.begin() as tx:
        for one in (a, b, c):
            tx.put_action_item(one)
    with store.read() as tx:
        assert tx.action_items(10) == [b, c, a]
        assert tx.action_items(1) == [b]
        assert tx.action_items(10, model="delay", state="open") == [a]
        assert tx.action_items(10, incident="k") == [c]
        assert tx.action_item("a") == a
        with pytest.raises(UnknownName, match="no action item 'none'"):
            tx.action_item("none")
    done = replace(a, state="verified", changed_by="user:bo", changed_at=2.0)
    with store.begin() as tx:
        tx.put_action_item(done)
        assert tx.action_item("a") == done
        assert tx.action_items(10, state="open") == [c]


def test_an_old_incident_stays_while_something_is_to_be_done(store: SqlControlStore) -> None:
    with store.begin() as tx:
        for name in ("i", "k"):
            tx.put_incident(replace(INCIDENT, id=name, closed_at=5.0))
        tx.put_action_item(item("a", 1.0))
        tx.put_action_item(item("b", 1.0, state="verified"))
        tx.put_action_item(item("c", 1.0, incident="k", state="done"))
        assert tx.drop_aged(AgedRows.INCIDENTS, "delay", 10.0, 100) == 1
    with store.read() as tx:
        assert [one.id for one in tx.incidents("delay", 10)] == ["i"]
        assert [one.id for one in tx.action_items(10)] == ["a", "b"]
