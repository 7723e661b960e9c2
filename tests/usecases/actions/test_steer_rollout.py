"""A rollout's course by hand: pause, resume, skip with a reason, and a share of one's own."""

from __future__ import annotations

import pytest
from usecases.harness import MODEL, START, Harness
from usecases.rolling import SOAK_S, advance, meet

from windvane.core.verdict import Outcome
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.actions.steer_rollout import CannotSteer
from windvane.usecases.publish_routing import ALIAS
from windvane.usecases.read_rollout import read_rollout


@pytest.fixture
def rolling(harness: Harness) -> Harness:
    """Version 2 has 10% since ``START``."""
    deploy_version(harness.store, harness.clock, MODEL, "2")
    return harness


def test_a_paused_rollout_stays_until_it_is_resumed(rolling: Harness) -> None:
    decision = rolling.act("pause", reason="a holiday")
    assert (decision.action, decision.verdict.code) == ("pause", "ROL-118")
    assert rolling.live.paused == "user:ana"
    meet(rolling, 800)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ROL-308")
    assert "user:ana" in verdict.sentence
    with pytest.raises(CannotSteer, match="paused already"):
        rolling.act("pause")
    rolling.act("resume")
    assert advance(rolling).outcome is Outcome.PASS  # type: ignore[union-attr]
    assert rolling.live.share == 0.5
    with pytest.raises(CannotSteer, match="not paused"):
        rolling.act("resume")


def test_what_is_worse_goes_back_though_it_is_paused(rolling: Harness) -> None:
    rolling.act("pause")
    meet(rolling, 200, failed=120)
    assert advance(rolling).failed  # type: ignore[union-attr]
    assert (rolling.live.challenger, rolling.live.paused) == (None, "")


def test_a_stage_is_skipped_with_a_reason_only(rolling: Harness) -> None:
    with pytest.raises(CannotSteer, match="takes a reason"):
        rolling.act("skip", reason=" ")
    decision = rolling.act("skip", reason="tested by hand")
    assert decision.verdict.sentence == "version 2 went on to 50%, skipping what 10% waited for"
    live = rolling.live
    assert (live.share, live.step, live.stage_started) == (0.5, 1, START)
    with rolling.store.read() as tx:
        record = tx.rollout(live.rollout)
    assert record is not None
    assert [stage.share for stage in record.stages] == [0.1, 0.5]
    rolling.act("skip", reason="again")
    assert (rolling.live.champion, rolling.live.previous, rolling.live.challenger) == (
        "2", "1", None,
    )  # fmt: skip
    assert rolling.queued(ALIAS) == [{"model": MODEL, "alias": "champion", "version": "2"}]
    with rolling.store.read() as tx:
        (record,) = tx.rollouts(MODEL, 2)
    assert record.end == "promoted by hand"
    with pytest.raises(CannotSteer, match="no rollout of delay is under way"):
        rolling.act("skip", reason="once more")


def test_a_share_by_hand_is_a_stage_of_its_own(rolling: Harness) -> None:
    meet(rolling, 800)
    rolling.act("share", answers={"share": "3%"})
    live = rolling.live
    assert (live.share, live.step) == (0.03, 1)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ROL-301"), "no evidence of its own"
    meet(rolling, 800, first=2_000)
    assert advance(rolling).outcome is Outcome.PASS  # type: ignore[union-attr]
    assert rolling.live.share == 0.1, "the next larger step of the file"


@pytest.mark.parametrize("given", ["", "0%", "100%", "ten", "10%"])
def test_a_share_that_cannot_be_is_refused(rolling: Harness, given: str) -> None:
    before = rolling.live
    with pytest.raises(Exception, match=r"share|has 10% already"):
        rolling.act("share", answers={"share": given})
    assert rolling.live == before


def test_its_status_is_what_the_gate_says(rolling: Harness) -> None:
    meet(rolling, 90, failed=1)
    rolling.clock.at += SOAK_S
    found = read_rollout(rolling.store, rolling.log, rolling.clock, MODEL)
    assert found is not None
    judged = advance(rolling, [])
    assert found.verdict == judged
    assert (found.share, found.next_share, found.paused) == (0.1, 0.5, "")
    assert found.stages[0].challenger.units == 90
    said = {one.title: one.verdict for one in found.guards}
    assert {"Errors", "Limit of errors", "Slow answers", "Loss against outcomes"} <= said.keys()
    assert "units more" in said["Errors"].missing
    rolling.act("abort")
    assert read_rollout(rolling.store, rolling.log, rolling.clock, MODEL) is None
