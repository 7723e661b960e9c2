"""Rates that are too high: a tenant that sends garbage, and the model's own errors."""

from __future__ import annotations

import pytest
from usecases.harness import FILE, MODEL, START, Harness
from usecases.timeline import (
    FAILING,
    GARBAGE,
    QUIET,
    only,
    outcomes,
    play,
)

from windvane.ports.event_log import LogEntry
from windvane.ports.events import Refused
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_a_tenant_is_told_on_and_nobody_else_notices(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [GARBAGE] * 3)
    incident = only(harness, "tenant:UA")
    assert incident.title == "tenant UA: refused 66.7%, 5.0% allowed, n=90"
    assert incident.severity == "medium"
    assert incident.evidence["tenants"] == [{"tenant": "UA"}]
    assert [i.cause for i in harness.incidents()] == ["tenant:UA"]
    assert set(outcomes(harness, "tenant AA")) == {"P"}
    assert set(outcomes(harness, "errors")) == {"P"}
    assert harness.live.standing_in is None
    (decision,) = harness.decisions("notify")
    assert replay_decision(decision).same


def test_it_closes_when_the_tenant_is_well_again(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [GARBAGE] * 3 + [QUIET] * 3)
    incident = only(harness, "tenant:UA")
    assert incident.closed_at == harness.clock.now()
    assert harness.timeline(incident)[-1] == "tenant UA is back within the allowance"
    (decision,) = harness.decisions("close")
    assert replay_decision(decision).same
    play(harness, [GARBAGE] * 3, first=9)
    assert len(harness.incidents()) == 2
    assert len(harness.queued(NOTIFY)) == 2


def test_its_samples_are_its_own(harness: Harness) -> None:
    contract = read_model_file(FILE).contract
    refused = [
        Refused(f"r{t}{i}", START + 181.0, MODEL, t, contract.id, "CON-102", "x", "{}")
        for t in ("AA", "UA")
        for i in range(3)
    ]
    entries = [LogEntry("m/w0", i, event) for i, event in enumerate(refused)]
    harness.log.append("m/w0", 10, entries, {})
    play(harness, [QUIET] * 3 + [GARBAGE] * 3)
    samples = only(harness, "tenant:UA").evidence["samples"]
    assert [row["tenant"] for row in samples] == ["UA"] * 3


# The model's own errors


def test_errors_roll_back_to_the_version_before(harness: Harness) -> None:
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    live = harness.live
    assert (live.champion, live.previous) == ("2", None)
    incident = only(harness, f"errors:{MODEL}")
    assert "rolled back from version 1 to version 2" in harness.timeline(incident)
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].champion == "2"
    assert len(harness.decisions("rollback")) == 1
    assert replay_decision(harness.decisions("rollback")[0]).same


def test_without_a_version_before_it_only_tells(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    assert harness.live.champion == "1"
    incident = only(harness, f"errors:{MODEL}")
    assert "no earlier version to roll back to" in harness.timeline(incident)
    assert len(harness.decisions("notify")) == 1


def test_a_canarys_errors_are_its_gates(harness: Harness) -> None:
    harness.put("1", challenger="2", share=0.1, rollout="r", rollout_started=START)
    for i in range(6):
        harness.traffic(i)
        harness.traffic(i, rows=20, failed=20, arm="challenger", version="2")
        harness.judge()
    assert harness.incidents() == []
    assert harness.live.champion == "1"


def test_a_rollout_under_way_is_named_as_the_reason(harness: Harness) -> None:
    harness.put("1", previous="2", challenger="2", share=0.1, rollout="r", rollout_started=START)
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    message = harness.timeline(only(harness, f"errors:{MODEL}"))
    assert not any("no earlier version" in line for line in message)
