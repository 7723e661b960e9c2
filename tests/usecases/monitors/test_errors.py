"""A model that fails to answer: rolled back where there is a version before it."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, START, Harness
from usecases.timeline import FAILING, QUIET, only, play

from windvane.usecases.publish_routing import ALIAS
from windvane.usecases.replay_decision import replay_decision

pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def test_errors_roll_back_to_the_version_before(harness: Harness) -> None:
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    live = harness.live
    assert (live.champion, live.previous) == ("2", None)
    incident = only(harness, f"errors:{MODEL}")
    assert harness.timeline(incident)[1] == (
        "rolled back from version 1 to version 2 "
        "(AUC 0.700 instead of 0.700 when they were accepted)"
    )
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


def test_a_stand_in_does_not_answer_for_another_champion(harness: Harness) -> None:
    """The one that stood in and failed went on answering, and another was barred for it."""
    harness.put("1", previous="2", standing_in="2", broken_views=("weather",))
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    assert (harness.live.champion, harness.live.standing_in) == ("2", None)


def test_the_registrys_alias_follows_whoever_rolls_back(harness: Harness) -> None:
    harness.put("1", previous="2")
    play(harness, [QUIET] * 3 + [FAILING] * 3)
    alias = {"model": MODEL, "alias": "champion", "version": "2"}
    assert harness.queued(ALIAS) == [alias]
