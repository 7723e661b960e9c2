"""Rolling back by hand: to the version before, or out of a rollout; once, and on record."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness

from windvane.ports.control_store import UnknownName
from windvane.usecases.publish_routing import ALIAS, PUBLISH
from windvane.usecases.roll_back_version import CannotRollBack, roll_back_version


def test_the_champion_gives_way_to_the_one_before(harness: Harness) -> None:
    harness.put("2", previous="1")
    before = len(harness.queued(PUBLISH))
    live = roll_back_version(harness.store, harness.clock, MODEL, by="user:ana", reason="slow")
    assert (live.champion, live.previous, live.rolled_back) == ("1", None, ("2",))
    assert harness.live == live
    (decision,) = harness.decisions("rollback")
    assert (decision.actor, decision.reason) == ("user:ana", "slow")
    assert decision.verdict.code == "ROL-110"
    assert len(harness.queued(PUBLISH)) == before + 1
    assert harness.queued(ALIAS) == [{"model": MODEL, "alias": "champion", "version": "1"}]
    with pytest.raises(CannotRollBack, match="no version before 1"):
        roll_back_version(harness.store, harness.clock, MODEL, by="t", reason="again")


def test_a_rollout_ends_and_the_champion_stays(harness: Harness) -> None:
    harness.put("1", challenger="2", share=0.25, step=1, rollout="r")
    live = roll_back_version(harness.store, harness.clock, MODEL, by="t", reason="slow")
    assert (live.champion, live.challenger, live.share, live.rollout) == ("1", None, 0.0, "")
    assert live.rolled_back == ("2",)
    assert harness.queued(ALIAS) == []


def test_what_is_not_live_cannot_be_rolled_back(harness: Harness) -> None:
    with pytest.raises(UnknownName):
        roll_back_version(harness.store, harness.clock, "none", by="t", reason="r")
