"""What was confirmed is what is done, and a request that is repeated is done once."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, Harness

from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.actions.base import ChangedMeanwhile
from windvane.usecases.actions.roll_back import CannotRollBack

ROLL_BACK = action_named("roll-back", About.MODEL)


def test_a_champion_is_not_taken_back_by_who_confirmed_a_canary(harness: Harness) -> None:
    """The gate took it back in the same second."""
    harness.put("2", previous="1", challenger="3", share=0.1, rollout="r")
    asked = Asked(MODEL, "user:ana", "slow")
    with harness.store.read() as tx:
        seen = ROLL_BACK.prospect(tx, asked)
    asked = Asked(MODEL, "user:ana", "slow", confirmed=seen)
    perform(harness.store, harness.clock, ROLL_BACK, asked)
    assert (harness.live.champion, harness.live.challenger) == ("2", None)
    with pytest.raises(ChangedMeanwhile):
        perform(harness.store, harness.clock, ROLL_BACK, asked)
    assert harness.live.champion == "2"
    assert len(harness.decisions("rollback")) == 1


def test_a_request_that_is_repeated_is_done_once(harness: Harness) -> None:
    harness.put("2", previous="1", challenger="3", share=0.1, rollout="r")
    asked = Asked(MODEL, "user:ana", "slow", once="7f")
    first = perform(harness.store, harness.clock, ROLL_BACK, asked)
    assert perform(harness.store, harness.clock, ROLL_BACK, asked).id == first.id
    assert harness.live.champion == "2"
    other = Asked(MODEL, "user:ben", "slow", once="7f")
    assert perform(harness.store, harness.clock, ROLL_BACK, other).id != first.id
    assert harness.live.champion == "1", "another person's request is another"


def test_a_rollback_may_name_the_version_that_is_to_go(harness: Harness) -> None:
    harness.put("2", previous="1")
    with pytest.raises(CannotRollBack, match="version 2 would go, version 3 was meant"):
        perform(harness.store, harness.clock, ROLL_BACK, Asked(MODEL, "a", "", version="3"))
    assert harness.live.champion == "2"
    perform(harness.store, harness.clock, ROLL_BACK, Asked(MODEL, "a", "", version="2"))
    assert harness.live.champion == "1"
