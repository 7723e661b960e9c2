"""Rolling back and aborting by hand: once, and on record."""

from __future__ import annotations

from dataclasses import replace

import pytest
from usecases.harness import MODEL, Harness

from windvane.ports.control_store import UnknownName
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.actions.roll_back import CannotAbort, CannotRollBack
from windvane.usecases.publish_routing import ALIAS, PUBLISH


def test_the_champion_gives_way_to_the_one_before(harness: Harness) -> None:
    harness.put("2", previous="1")
    before = len(harness.queued(PUBLISH))
    decision = harness.act("roll-back", reason="slow")
    live = harness.live
    assert (live.champion, live.previous, live.rolled_back) == ("1", None, ("2",))
    assert [d.id for d in harness.decisions("rollback")] == [decision.id]
    assert (decision.actor, decision.reason) == ("user:ana", "slow")
    assert decision.verdict.code == "ROL-110"
    assert len(harness.queued(PUBLISH)) == before + 1
    assert harness.queued(ALIAS) == [{"model": MODEL, "alias": "champion", "version": "1"}]
    with pytest.raises(CannotRollBack, match="no version before 1"):
        harness.act("roll-back")


def test_a_rollout_ends_and_the_champion_stays(harness: Harness) -> None:
    harness.put("1", challenger="2", share=0.25, step=1, rollout="r")
    harness.act("roll-back")
    live = harness.live
    assert (live.champion, live.challenger, live.share, live.rollout) == ("1", None, 0.0, "")
    assert live.rolled_back == ("2",)
    assert harness.queued(ALIAS) == []


def test_a_file_that_cannot_be_read_keeps_no_version_up(harness: Harness) -> None:
    """An earlier release may have taken a key that this one does not."""
    deploy_version(harness.store, harness.clock, MODEL, "2")
    rollout = harness.live.rollout
    with harness.store.begin() as tx:
        tx.put_model(replace(tx.model(MODEL), text="model: delay\nno_such_key: 1\n"))
    harness.act("roll-back")
    assert harness.live.challenger is None
    with harness.store.read() as tx:
        record = tx.rollout(rollout)
    assert record is not None
    assert record.end == "rolled back by hand"


def test_what_is_not_live_cannot_be_rolled_back(harness: Harness) -> None:
    with pytest.raises(UnknownName):
        harness.act("roll-back", model="none")


def test_an_aborted_version_is_not_remembered_as_bad(harness: Harness) -> None:
    harness.put("1", challenger="2", share=0.25, step=1, rollout="r")
    decision = harness.act("abort", reason="a holiday")
    live = harness.live
    assert (live.champion, live.challenger, live.share, live.rolled_back) == ("1", None, 0.0, ())
    assert decision.facts == {"version": "2", "share": 0.25, "after": "1"}
    assert decision.verdict.sentence == (
        "the rollout of version 2 was aborted at 25%: version 1 answers everyone"
    )
    deploy_version(harness.store, harness.clock, MODEL, "2")
    assert harness.live.challenger == "2"


@pytest.mark.parametrize(
    ("live", "said"),
    [({"champion": "1"}, "version 1 answers everyone"), (None, "nothing is live")],
)
def test_without_a_rollout_there_is_nothing_to_abort(
    harness: Harness, live: dict[str, str] | None, said: str
) -> None:
    if live is not None:
        harness.put(**live)
    else:
        with harness.store.begin() as tx:
            tx.drop_deployment(MODEL)
    with pytest.raises(CannotAbort, match=f"no rollout of delay is under way: {said}"):
        harness.act("abort")
    assert harness.decisions("abort") == []
