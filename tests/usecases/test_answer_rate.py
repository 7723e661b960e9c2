"""Rates that are too high: a tenant that sends garbage, and the model's own errors."""

from __future__ import annotations

import pytest
from usecases.house import MODEL, START, House
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
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_a_tenant_is_told_on_and_nobody_else_notices(house: House) -> None:
    play(house, [QUIET] * 3 + [GARBAGE] * 3)
    incident = only(house, "tenant:UA")
    assert incident.title == "tenant UA: refused 66.7%, 5.0% allowed, n=90"
    assert incident.severity == "medium"
    assert incident.evidence["tenants"] == [{"tenant": "UA"}]
    assert [i.cause for i in house.incidents()] == ["tenant:UA"]
    assert set(outcomes(house, "tenant AA")) == {"P"}
    assert set(outcomes(house, "errors")) == {"P"}
    assert house.live.standing_in is None
    (decision,) = house.decisions("notify")
    assert replay_decision(decision).same


def test_it_closes_when_the_tenant_is_well_again(house: House) -> None:
    play(house, [QUIET] * 3 + [GARBAGE] * 3 + [QUIET] * 3)
    incident = only(house, "tenant:UA")
    assert incident.closed_at == house.clock.now()
    assert house.timeline(incident)[-1] == "tenant UA is back within the allowance"
    (decision,) = house.decisions("close")
    assert replay_decision(decision).same
    play(house, [GARBAGE] * 3, first=9)
    assert len(house.incidents()) == 2
    assert len(house.queued(NOTIFY)) == 2


def test_its_samples_are_its_own(house: House) -> None:
    refused = [
        Refused(f"r{t}{i}", START + 181.0, MODEL, t, house.layout.id, "CON-102", "x", "{}")
        for t in ("AA", "UA")
        for i in range(3)
    ]
    entries = [LogEntry("m/w0", i, event) for i, event in enumerate(refused)]
    house.log.append("m/w0", 10, entries, {})
    play(house, [QUIET] * 3 + [GARBAGE] * 3)
    samples = only(house, "tenant:UA").evidence["samples"]
    assert [row["tenant"] for row in samples] == ["UA"] * 3


# The model's own errors


def test_errors_roll_back_to_the_version_before(house: House) -> None:
    house.put("1", previous="2")
    play(house, [QUIET] * 3 + [FAILING] * 3)
    live = house.live
    assert (live.champion, live.previous) == ("2", None)
    incident = only(house, f"errors:{MODEL}")
    assert "rolled back from version 1 to version 2" in house.timeline(incident)
    with house.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].champion == "2"
    assert len(house.decisions("rollback")) == 1
    assert replay_decision(house.decisions("rollback")[0]).same


def test_without_a_version_before_it_only_tells(house: House) -> None:
    play(house, [QUIET] * 3 + [FAILING] * 3)
    assert house.live.champion == "1"
    incident = only(house, f"errors:{MODEL}")
    assert "no earlier version to roll back to" in house.timeline(incident)
    assert len(house.decisions("notify")) == 1


def test_a_canarys_errors_are_its_gates(house: House) -> None:
    house.put("1", challenger="2", share=0.1, rollout="r", rollout_started=START)
    for i in range(6):
        house.traffic(i)
        house.traffic(i, rows=20, failed=20, arm="challenger", version="2")
        house.judge()
    assert house.incidents() == []
    assert house.live.champion == "1"


def test_a_rollout_under_way_is_named_as_the_reason(house: House) -> None:
    house.put("1", previous="2", challenger="2", share=0.1, rollout="r", rollout_started=START)
    play(house, [QUIET] * 3 + [FAILING] * 3)
    said = house.timeline(only(house, f"errors:{MODEL}"))
    assert not any("no earlier version" in line for line in said)
