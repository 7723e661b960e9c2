"""A tenant that sends garbage: told on by itself, and nobody else is touched."""

from __future__ import annotations

import pytest
from usecases.harness import FILE, MODEL, START, Harness
from usecases.timeline import GARBAGE, QUIET, only, outcomes, play, verdicts

from windvane.ports.event_log import LogEntry
from windvane.ports.events import Refused
from windvane.usecases.publish_routing import NOTIFY
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_a_tenant_is_told_on_and_nobody_else_notices(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [GARBAGE] * 3)
    incident = only(harness, "tenant:UA")
    assert incident.title == (
        "tenant UA: refused 66.7%, 5.0% allowed, n=90, since 2023-11-15 00:03 UTC"
    )
    assert incident.severity == "medium"
    assert incident.evidence["tenants"] == [{"tenant": "UA"}]
    assert [i.cause for i in harness.incidents()] == ["tenant:UA"]
    assert {v.subject for v in verdicts(harness, "refusals")} == {"UA"}
    assert set(outcomes(harness, "errors")) == {"P"}
    assert harness.live.standing_in is None
    (decision,) = harness.decisions("notify")
    assert replay_decision(decision).same


def test_it_closes_when_the_tenant_is_well_again(harness: Harness) -> None:
    play(harness, [QUIET] * 3 + [GARBAGE] * 3 + [QUIET] * 2)
    assert only(harness, "tenant:UA").closed_at is None  # two windows are no evidence yet
    play(harness, [QUIET] * 4, first=8)
    incident = only(harness, "tenant:UA")
    assert incident.closed_at is not None
    assert harness.timeline(incident)[-1] == "tenant UA is back within the allowance"
    (decision,) = harness.decisions("close")
    assert replay_decision(decision).same
    play(harness, [GARBAGE] * 3, first=12)
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
