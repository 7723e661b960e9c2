"""A rollback without the control database: at once for the gateways, then on record, once."""

from __future__ import annotations

from typing import Any

import pytest
from usecases.harness import MODEL, Harness

from windvane.adapters.files import FilePendingRollbacks
from windvane.core.routing import ModelRoute
from windvane.ports.artifacts import ManifestMismatch
from windvane.ports.control_store import UnknownName
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.actions.roll_back import CannotRollBack
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
    before = harness.feed.last_seq() or 0
    said = roll_back(harness, pending)
    assert said == (
        "version 2 was taken out of this machine's routing table: version 1 answers everyone here"
    )
    assert harness.feed.last_seq() == before + 1
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
    assert route(harness).champion == "1"
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


def test_what_changed_meanwhile_reaches_the_gateways(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    """A key that was withdrawn under the number that the gateways gave themselves is gone."""
    live(harness, champion="2", previous="1")
    roll_back(harness, pending)
    table = harness.feed.latest()
    assert table is not None
    key = table.keys[0].id
    revoke_key(harness.store, harness.clock, key)
    with harness.store.read() as tx:
        assert tx.routing_seq() == table.seq, "both have the same number"
    assert record(harness, pending) == 1
    table = harness.feed.latest()
    assert table is not None
    assert key not in {held.id for held in table.keys}


def test_what_is_not_live_any_more_is_left_alone(
    harness: Harness, pending: FilePendingRollbacks, caplog: pytest.LogCaptureFixture
) -> None:
    live(harness, champion="2", previous="1")
    roll_back(harness, pending)
    perform(harness.store, harness.clock, action_named("roll-back", About.MODEL), ASKED)
    assert record(harness, pending) == 0
    assert "is not live there" in caplog.text
    assert pending.waiting() == []
    assert [d.action for d in harness.decisions()].count("rollback") == 1
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
    assert [d.action for d in harness.decisions()].count("rollback") == 1


def test_what_cannot_be_done_changes_nothing(
    harness: Harness, pending: FilePendingRollbacks
) -> None:
    live(harness, champion="2", previous="1")
    before = harness.feed.last_seq()
    other = Asked("dela", "cli:ana", "")
    with pytest.raises(UnknownName, match="has no model 'dela'") as unknown:
        roll_back_offline(harness.feed, pending, Files(), harness.clock, other)
    assert "delay" in unknown.value.advice
    with pytest.raises(ManifestMismatch):
        roll_back_offline(harness.feed, pending, Files("artifacts/1"), harness.clock, ASKED)
    roll_back(harness, pending)
    with pytest.raises(CannotRollBack, match="names no version of delay before 1"):
        roll_back(harness, pending)
    assert harness.feed.last_seq() == (before or 0) + 1
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
    assert "bad.json cannot be read" in caplog.text
