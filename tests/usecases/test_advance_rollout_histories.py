"""Any history of deploys, traffic, time and turns keeps a rollout sound."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from usecases.harness import MODEL
from usecases.rolling import SOAK_S, Maker, advance, good, meet, routing_of

from windvane.core.verdict import Outcome
from windvane.ports.leases import LeaseLost
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.leases import give_up, hold_shards
from windvane.usecases.replay_decision import replay_decision


class Rollouts(RuleBasedStateMachine):
    """Deploys, traffic, time and turns in any order; a steward that may be deposed."""

    reached: ClassVar[set[str]] = set()

    def __init__(self, make: Maker) -> None:
        super().__init__()
        self._make = make

    @initialize()
    def open(self) -> None:
        self._context = self._make()
        self.harness = self._context.__enter__()
        for version in ("3", "4"):
            self.harness.add_version(version)
        self.champions = ["1"]
        self.units = 0

    def teardown(self) -> None:
        if hasattr(self, "_context"):
            Rollouts.reached |= {d.action for d in self.harness.decisions()}
            self._context.__exit__(None, None, None)

    @precondition(lambda self: not self.harness.live.challenger)
    @rule(version=st.sampled_from(["1", "2", "3", "4"]))
    def deploy(self, version: str) -> None:
        if version != self.harness.live.champion:
            self.harness.clock.at += 1.0
            deploy_version(self.harness.store, self.harness.clock, MODEL, version)

    @precondition(lambda self: self.harness.live.challenger)
    @rule(
        units=st.sampled_from([0, 5, 300]),
        bad=st.sampled_from([0.0, 0.01, 0.5]),
        seconds=st.sampled_from([1.0, SOAK_S]),
        outcomes=st.sampled_from([True, True, False]),
    )
    def some_time_and_a_turn(self, units: int, bad: float, seconds: float, outcomes: bool) -> None:
        meet(self.harness, units, failed=int(units * bad), first=self.units)
        self.units += units
        self.harness.clock.at += seconds
        self.turn(outcomes)

    @precondition(lambda self: self.harness.live.challenger)
    @rule()
    def a_good_stage(self) -> None:
        self.some_time_and_a_turn(300, 0.0, SOAK_S, True)

    def turn(self, outcomes: bool) -> None:
        before = self.harness.live
        scored = good(before.rollout) if outcomes else []
        verdict = advance(self.harness, scored)
        live = self.harness.live
        assert verdict is not None
        if verdict.failed:
            assert live.champion == before.champion
            assert live.challenger is None
        elif verdict.outcome is Outcome.PASS:
            assert self.harness.clock.now() - before.stage_started >= SOAK_S
            assert live.step == before.step + 1 or live.champion == before.challenger
        else:
            assert live == before
        if live.champion != before.champion:
            assert live.previous == before.champion
            self.champions.append(live.champion)
        if verdict.outcome is Outcome.PASS:
            soaking = advance(self.harness, scored)  # a second turn at once must not act
            assert soaking is None or soaking.code == "ROL-304"

    @rule()
    def another_leads_for_a_while(self) -> None:
        before = self.harness.live
        self.harness.depose()
        if before.challenger:
            with pytest.raises(LeaseLost):
                advance(self.harness)
        assert self.harness.live == before
        give_up(self.harness.store, "two", hold_shards(self.harness.store, "two", 1e6))
        self.harness.shards = self.harness.lead("one")

    @invariant()
    def the_deployment_is_sound(self) -> None:
        live = self.harness.live
        if live.challenger:
            assert live.challenger != live.champion
            assert live.share == (0.1, 0.5)[live.step]
            assert live.rollout
        else:
            assert (live.share, live.step, live.rollout) == (0.0, 0, "")

    @invariant()
    def every_change_is_a_decision(self) -> None:
        promoted = [d for d in reversed(self.harness.decisions()) if d.action == "promote"]
        assert [d.subject for d in promoted] == [f"version {v}" for v in self.champions[1:]]
        rollbacks = self.harness.decisions("rollback")
        told = [line for i in self.harness.incidents() for line in self.harness.timeline(i)]
        assert sum(line.startswith("rolled back to version") for line in told) == len(rollbacks)
        assert all(replay_decision(d).same for d in rollbacks)

    @invariant()
    def the_newest_table_follows_it(self) -> None:
        live = self.harness.live
        if self.harness.decisions("deploy"):
            champion, challenger, share, rollout = routing_of(self.harness)
            assert (champion, challenger) == (live.champion, live.challenger)
            assert share == live.share
            assert rollout == (f"{live.rollout}#{live.step}" if live.challenger else "")


def test_any_history_keeps_the_rollout_sound(harness_of: Maker) -> None:
    run_state_machine_as_test(
        lambda: Rollouts(harness_of),
        settings=settings(max_examples=12, stateful_step_count=16, phases=[Phase.generate]),
    )
    assert {"deploy", "advance", "promote", "rollback"} <= Rollouts.reached
