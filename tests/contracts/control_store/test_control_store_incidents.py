"""Incidents over a long time."""

from __future__ import annotations

from dataclasses import replace

from contracts.control_store.test_control_store_actions import INCIDENT

from windvane.adapters.sql import SqlControlStore
from windvane.ports.incidents import IncidentSummary


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
