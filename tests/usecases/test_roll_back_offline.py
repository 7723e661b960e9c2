"""A rollback without the control database: at once for the gateways, then on record, once."""

from __future__ import annotations

import os
from typing import Any

import pytest
from usecases.harness import MODEL, Harness

from windvane.adapters.files import FilePendingRollbacks, FileRoutingFeed
from windvane.core.routing import ModelRoute
from windvane.ports.artifacts import ManifestMismatch
from windvane.ports.control_store import UnknownName
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.actions.roll_back import CannotRollBack
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import publish_latest, routing_effects
from windvane.usecases.revoke_key import revoke_key
from windvane.usecases.roll_back_offline import record_pending, roll_back_offline

ASKED = Asked(MODEL, "cli:ana", "it answers nonsense")


class Files:
    """Those of every version are as they were registered, but for ``gone``."""

    def __init__(self, gone: str = "") -> None:
        self._gone = gone

    def open(self, artifact: str, manifest: str) -> Any:
        if artifact == self._gone:
            raise ManifestMismatch(f"{artifact} is gone")


@pytest.fixture
def pending(harness: Harness) -> FilePendingRollbacks:
    return FilePendingRollbacks(harness.folder / "pending")


def live(harness: Harness, **given: Any) -> None:
    """Versions 1 and 2 are registered, and this is live and published."""
    for version in ("1", "2"):
        harness.add_version(version)
    harness.put(**given)
    harness.add_keys()
    with harness.store.begin() as tx:
        routing_effects(tx)
    publish_latest(harness.store, harness.feed)


def route(harness: Harness) -> ModelRoute:
    table = harness.feed.latest()
    assert table is not None
    return table.models[MODEL]


def roll_back(harness: Harness, pending: FilePendingRollbacks) -> str:
    return roll_back_offline(harness.feed, pending, Files(), harness.clock, ASKED)


def record(harness: Harness, pending: FilePendingRollbacks) -> int:
    return record_pending(harness.store, harness.clock, harness.feed, pending)


def test_the_version_before_answers_at_once_and_is_on_record_later(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    live(harness, champion="2", previous="1")
    before = harness.feed.last_seq()
    said = roll_back(harness, pending)
    assert said == (
        "version 2 was taken out of this machine's routing table: version 1 answers everyone here"
    )
    assert harness.feed.last_seq() == before, "numbers are the store's to give"
    assert (route(harness).champion, route(harness).previous) == ("1", None)
    assert [entry.version for entry in route(harness).versions] == ["1"]
    with harness.store.read() as tx:
        held = tx.deployment(MODEL)
    assert held is not None
    assert held.champion == "2", "the database knows nothing of it"

    assert record(harness, pending) == 1
    assert pending.waiting() == []
    with harness.store.read() as tx:
        held = tx.deployment(MODEL)
        last = next(d for d in tx.decisions(MODEL, 5) if d.action == "rollback")
        newest = tx.routing()
    assert held is not None
    assert (held.champion, held.rolled_back) == ("1", ("2",))
    assert last.actor == "cli:ana"
    assert last.reason.startswith("it answers nonsense (done without the control database at ")
    assert newest is not None
    assert harness.feed.last_seq() == newest.seq
    assert harness.feed.latest() == newest
    assert record(harness, pending) == 0


def test_a_canary_is_taken_back(harness: Harness, pending: FilePendingRollbacks) -> None:
    live(harness, champion="1", challenger="2", share=0.05)
    roll_back(harness, pending)
    assert (route(harness).champion, route(harness).challenger) == ("1", None)
    assert route(harness).challenger_share == 0.0
    assert record(harness, pending) == 1
    with harness.store.read() as tx:
        held = tx.deployment(MODEL)
    assert held is not None
    assert (held.champion, held.challenger, held.rolled_back) == ("1", None, ("2",))


def test_what_is_published_meanwhile_holds_and_brings_nothing_back(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    """Before a steward has turned somebody withdraws a key, and issues another."""
    live(harness, champion="2", previous="1")
    roll_back(harness, pending)
    table = harness.feed.latest()
    assert table is not None
    key = table.keys[0].id
    revoke_key(harness.store, harness.clock, key)
    publish_latest(harness.store, FileRoutingFeed(harness.folder / "routing.json"))
    issue_keys(harness.store, harness.clock, ["new"], "new")
    publish_latest(harness.store, harness.feed)
    table = harness.feed.latest()
    assert table is not None
    assert key not in {held.id for held in table.keys}
    assert "new" in {held.tenant for held in table.keys}
    assert route(harness).champion == "1", "what was taken out stays out"
    assert record(harness, pending) == 1
    assert route(harness).champion == "1"


def test_two_in_one_outage_are_both_recorded_in_their_order(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    harness.add_version("3")
    live(harness, champion="2", previous="1", challenger="3", share=0.1, rollout="r")
    roll_back(harness, pending)
    harness.clock.at += 1.0
    roll_back(harness, pending)
    assert (route(harness).champion, route(harness).challenger) == ("1", None)
    assert record(harness, pending) == 2
    with harness.store.read() as tx:
        held = tx.deployment(MODEL)
    assert held is not None
    assert (held.champion, held.challenger, held.rolled_back) == ("1", None, ("2", "3"))
    assert route(harness).champion == "1"
    assert len(harness.decisions("rollback")) == 2


def test_a_version_that_was_deployed_since_stays(
    harness: Harness, pending: FilePendingRollbacks, caplog: pytest.LogCaptureFixture
) -> None:
    live(harness, champion="1", challenger="2", share=0.05, rollout="r")
    roll_back(harness, pending)
    harness.clock.at += 60.0
    perform(harness.store, harness.clock, action_named("abort", About.MODEL), ASKED)
    deploy_version(harness.store, harness.clock, MODEL, "2")
    publish_latest(harness.store, harness.feed)
    assert route(harness).challenger is None, "until it is known"
    assert record(harness, pending) == 0
    assert "was deployed since" in caplog.text
    assert route(harness).challenger == "2"
    with harness.store.read() as tx:
        assert harness.feed.latest() == tx.routing()


@pytest.mark.parametrize("step", ["add", "amend"])
def test_one_that_fails_will_not_happen_later(
    harness: Harness, pending: FilePendingRollbacks, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    live(harness, champion="2", previous="1")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync" if step == "add" else "noop", full, raising=False)
    if step == "amend":
        monkeypatch.setattr(harness.feed, "amend", full)
    with pytest.raises(CannotRollBack, match="No space left"):
        roll_back(harness, pending)
    assert pending.waiting() == []
    assert list((harness.folder / "pending").glob("*.new")) == []
    assert route(harness).champion == "2"


def test_what_is_not_live_any_more_is_left_alone(
    harness: Harness, pending: FilePendingRollbacks, caplog: pytest.LogCaptureFixture
) -> None:
    live(harness, champion="2", previous="1")
    roll_back(harness, pending)
    perform(harness.store, harness.clock, action_named("roll-back", About.MODEL), ASKED)
    assert record(harness, pending) == 0
    assert "is not live there" in caplog.text
    assert pending.waiting() == []
    assert len(harness.decisions("rollback")) == 1
    assert route(harness).champion == "1"


def test_a_death_between_the_record_and_the_file_rolls_back_once(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    live(harness, champion="2", previous="1")
    roll_back(harness, pending)
    (held,) = pending.waiting()
    assert record(harness, pending) == 1
    pending.add(held)  # it was recorded, and its file not removed
    assert record(harness, pending) == 0
    assert len(harness.decisions("rollback")) == 1


def test_what_cannot_be_done_changes_nothing(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    live(harness, champion="2", previous="1")
    other = Asked("dela", "cli:ana", "")
    with pytest.raises(UnknownName, match="has no model 'dela'") as unknown:
        roll_back_offline(harness.feed, pending, Files(), harness.clock, other)
    assert "delay" in unknown.value.advice
    with pytest.raises(ManifestMismatch):
        roll_back_offline(harness.feed, pending, Files("artifacts/1"), harness.clock, ASKED)
    roll_back(harness, pending)
    with pytest.raises(CannotRollBack, match="names no version of delay before 1"):
        roll_back(harness, pending)
    (harness.folder / "routing.json").write_text("{")
    with pytest.raises(CannotRollBack, match="cannot be read"):
        roll_back(harness, pending)


def test_a_pending_file_that_cannot_be_read_stops_no_other(
    harness: Harness, pending: FilePendingRollbacks, caplog: pytest.LogCaptureFixture
) -> None:
    live(harness, champion="2", previous="1")
    roll_back(harness, pending)
    (harness.folder / "pending" / "bad.json").write_text("{")
    assert record(harness, pending) == 1
    assert record(harness, pending) == 0
    assert caplog.text.count("bad.json is set aside") == 1
    assert list(pending.set_aside()) == ["bad.bad"]
