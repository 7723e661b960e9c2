"""A rollout as a state machine: on by evidence, back by evidence, else as it is; each step once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from usecases.harness import FILE, MODEL, START, Harness
from usecases.rolling import SOAK_S, Maker, advance, good, losses, meet, routing_of

from windvane.core.alerting import Cause
from windvane.core.rollout import ArmCounts, ArmLosses
from windvane.core.task import Contract, TaskSpec
from windvane.core.verdict import Outcome
from windvane.ports.control_store import Deployment, Tx
from windvane.ports.event_log import ScoredRows
from windvane.ports.leases import LeaseLost
from windvane.ports.rollouts import LeftOut
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.advance_rollout import (
    ArmScores,
    advance_rollout,
    compared_losses,
    count_losses,
    gate_facts,
)
from windvane.usecases.monitors.whose_shift import FEED
from windvane.usecases.open_incident import open_incident
from windvane.usecases.publish_routing import ALIAS, NOTIFY
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.replay_decision import replay_decision
from windvane.usecases.rollout_policy import gate_policy


@pytest.fixture
def rolling(harness: Harness) -> Harness:
    """Version 2 has 10% since ``START``."""
    deploy_version(harness.store, harness.clock, MODEL, "2")
    return harness


# The way on


def test_nothing_is_rolling_out(harness: Harness) -> None:
    before = harness.live
    assert advance(harness, []) is None
    assert harness.live == before
    assert (
        advance_rollout(harness.store, harness.log, harness.clock, "other", harness.shards, [])
        is None
    )


def test_without_evidence_it_holds_and_says_what_is_missing(rolling: Harness) -> None:
    before, decided = rolling.live, len(rolling.decisions())
    rolling.clock.at += SOAK_S
    verdict = advance(rolling, [])
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ROL-301")
    assert "units more" in verdict.missing
    assert rolling.live == before
    assert len(rolling.decisions()) == decided
    with rolling.store.read() as tx:
        (row,) = tx.verdicts(MODEL, "rollout", 0.0, 10)
    assert (row.outcome, row.sentence) == ("hold", verdict.sentence)
    assert (row.detail["missing"], row.detail["step"]) == (verdict.missing, 0)
    errors = row.detail["guards"][0]
    assert (errors["title"], errors["verdict"]["code"]) == ("Errors", "ROL-301")
    assert errors["log_evidence"] == pytest.approx(0.0, abs=1e-9)
    assert errors["log_level"] == pytest.approx(np.log(1.0 / 0.03))


def test_a_good_challenger_goes_on_step_by_step(rolling: Harness) -> None:
    rollout = rolling.live.rollout
    meet(rolling, 800, failed=2)
    assert advance(rolling).code == "ROL-304"  # type: ignore[union-attr]
    rolling.clock.at += SOAK_S
    assert advance(rolling).outcome is Outcome.PASS  # type: ignore[union-attr]
    live = rolling.live
    assert (live.champion, live.challenger, live.share, live.step) == ("1", "2", 0.5, 1)
    assert (live.rollout, live.rollout_started) == (rollout, START)
    assert live.stage_started == START + SOAK_S
    assert routing_of(rolling) == ("1", "2", 0.5, f"{rollout}#1")

    assert advance(rolling).code == "ROL-304"  # type: ignore[union-attr]
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ROL-301"), "no evidence of its own"
    meet(rolling, 800, first=1_000)
    assert advance(rolling).outcome is Outcome.PASS  # type: ignore[union-attr]
    live = rolling.live
    assert (live.champion, live.previous, live.challenger, live.share) == ("2", "1", None, 0.0)
    assert (live.rollout, live.step) == ("", 0)
    assert routing_of(rolling) == ("2", None, 0.0, "")
    assert rolling.queued(ALIAS) == [{"model": MODEL, "alias": "champion", "version": "2"}]
    assert [d.action for d in rolling.decisions()[:2]] == ["promote", "advance"]
    assert rolling.incidents() == []
    assert advance(rolling, []) is None


def test_a_decision_names_the_rollout_and_its_step(rolling: Harness) -> None:
    rollout = rolling.live.rollout
    meet(rolling, 400)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    decision = rolling.decisions("advance")[0]
    assert decision.id == f"{rollout}/step-0"
    assert (decision.judge, decision.subject) == ("rollout.gate", "version 2")
    assert decision.verdict == verdict
    assert decision.at == rolling.clock.now()
    (stage,) = decision.facts["stages"]
    assert (stage["challenger"]["units"], stage["stage"]["share"]) == (400, 0.1)
    assert replay_decision(decision).same


# The way back


@pytest.mark.parametrize("what", ["failed", "slow"])
def test_a_bad_challenger_goes_at_once(rolling: Harness, what: str) -> None:
    rolling.clock.at += 30.0
    meet(rolling, 200, **{what: 120})
    verdict = advance(rolling)
    assert verdict is not None
    assert verdict.failed
    live = rolling.live
    assert (live.champion, live.challenger, live.share, live.rollout) == ("1", None, 0.0, "")
    assert routing_of(rolling) == ("1", None, 0.0, "")
    decision = rolling.decisions("rollback")[0]
    assert replay_decision(decision).same
    (incident,) = rolling.incidents()
    assert incident.title == f"version 2 was rolled back: {verdict.sentence}"
    assert (incident.cause, incident.severity) == ("canary:version 2", "medium")
    assert incident.runbook == "runbooks/canary-rolled-back.md"
    assert incident.owner == "ops #ops-ml"
    assert rolling.timeline(incident) == [
        incident.title, "rolled back to version 1; the canary had 10%",
    ]  # fmt: skip
    (told,) = rolling.queued(NOTIFY)
    assert verdict.sentence in told["body"]
    assert advance(rolling, []) is None


def test_worse_outcomes_roll_back_too(rolling: Harness) -> None:
    meet(rolling, 400)
    rollout = rolling.live.rollout
    worse = [losses(rollout, "challenger", 4_000, 0.25), losses(rollout, "champion", 40_000)]
    verdict = advance(rolling, worse)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "ROL-305")
    assert rolling.live.challenger is None


def test_the_evidence_shows_both_arms(rolling: Harness) -> None:
    rolling.traffic(0)
    rolling.traffic(0, rows=20, arm="challenger", version="2", failed=20)
    meet(rolling, 200, failed=120)
    advance(rolling)
    (incident,) = rolling.incidents()
    (histogram,) = incident.evidence["histograms"]
    assert histogram["feature"] == "output"
    assert (sum(histogram["before"]), sum(histogram["after"])) == (60, 20)


def test_a_version_that_came_back_is_a_new_rollout(rolling: Harness) -> None:
    meet(rolling, 200, failed=120)
    advance(rolling)
    rolling.clock.at += 60.0
    deploy_version(rolling.store, rolling.clock, MODEL, "2")
    meet(rolling, 400)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    assert verdict is not None
    assert verdict.outcome is Outcome.PASS
    assert rolling.live.step == 1


def test_a_second_rollback_tells_again(rolling: Harness) -> None:
    """To deploy the version again closes the first one's incident: what follows is news."""
    for _ in range(2):
        meet(rolling, 200, failed=120)
        advance(rolling)
        rolling.clock.at += 60.0
        if rolling.live.challenger is None and len(rolling.decisions("deploy")) < 2:
            deploy_version(rolling.store, rolling.clock, MODEL, "2")
    assert len(rolling.decisions("rollback")) == 2
    assert sorted(i.closed_at is None for i in rolling.incidents()) == [False, True]
    assert len(rolling.queued(NOTIFY)) == 2


def test_a_promotion_closes_the_incident_of_an_earlier_rollback(rolling: Harness) -> None:
    meet(rolling, 200, failed=120)
    advance(rolling)
    rolling.clock.at += 60.0
    deploy_version(rolling.store, rolling.clock, MODEL, "2")
    for _ in range(2):
        meet(rolling, 800)
        rolling.clock.at += SOAK_S
        advance(rolling)
    assert rolling.live.champion == "2"
    (incident,) = rolling.incidents()
    assert incident.closed_at is not None


# What stops it


def broken_source(rolling: Harness, *, closed: bool) -> None:
    """Weather breaks now; ``closed``: and is well a minute later."""
    file = read_model_file(FILE)
    with rolling.store.begin([MODEL]) as tx:
        open_incident(
            tx, file, Cause(FEED, "weather"), title="weather broke", now=rolling.clock.at,
            since=rolling.clock.at, evidence={}, decision="d", done=[],
        )  # fmt: skip
    if closed:
        (incident,) = rolling.incidents()
        with rolling.store.begin([MODEL]) as tx:
            tx.put_incident(replace(incident, closed_at=rolling.clock.at + 60.0, members=()))


def test_what_failed_while_a_source_was_broken_is_nobodys_evidence(rolling: Harness) -> None:
    rolling.clock.at += 60.0
    broken_source(rolling, closed=True)
    meet(rolling, 200, failed=120)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ROL-301"), "nothing counts yet"
    meet(rolling, 200, failed=120, first=500)
    verdict = advance(rolling)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "ROL-301")


def test_while_a_source_is_broken_nothing_moves_on_and_what_is_worse_goes(rolling: Harness) -> None:
    """Both arms run on the same rows: which of them fails is no less evidence for that."""
    broken_source(rolling, closed=False)
    rolling.put(**{**_fields(rolling.live), "broken_views": ("weather",)})
    meet(rolling, 800)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "ROL-306")
    meet(rolling, 200, failed=200, first=1_000)
    verdict = advance(rolling)
    assert verdict is not None
    assert verdict.failed


def _fields(live: Deployment) -> dict[str, Any]:
    names = ("champion", "challenger", "share", "step", "rollout", "rollout_started",
             "stage_started", "broken_views")  # fmt: skip
    return {name: getattr(live, name) for name in names}


@pytest.mark.parametrize("failed", [0, 120])
def test_a_deposed_steward_changes_nothing(rolling: Harness, failed: int) -> None:
    meet(rolling, 400, failed=failed)
    rolling.clock.at += SOAK_S
    before, decided = rolling.live, len(rolling.decisions())
    rolling.depose()
    with pytest.raises(LeaseLost):
        advance(rolling)
    assert rolling.live == before
    assert len(rolling.decisions()) == decided
    assert rolling.incidents() == []
    assert rolling.queued(NOTIFY) == []


def test_a_deposed_steward_does_not_even_remember_a_hold(rolling: Harness) -> None:
    rolling.depose()
    with pytest.raises(LeaseLost):
        advance(rolling, [])
    with rolling.store.read() as tx:
        assert tx.verdicts(MODEL, "rollout", 0.0, 10) == []


class Crash(Exception):
    pass


class CrashingStore:
    """The real store; the transaction fails at the ``n``-th call of one of its methods."""

    def __init__(self, harness: Harness, calls: int) -> None:
        self._store, self._left = harness.store, calls
        self.crashed = False

    @contextmanager
    def begin(self, models: Any = None) -> Iterator[Any]:
        with self._store.begin(models) as tx:
            yield CrashingTx(tx, self)

    def read(self) -> AbstractContextManager[Tx]:
        return self._store.read()

    def burn(self) -> None:
        if self._left == 0:
            self.crashed = True
            raise Crash
        self._left -= 1


class CrashingTx:
    def __init__(self, tx: Tx, store: CrashingStore) -> None:
        self._tx, self._store = tx, store

    def __getattr__(self, name: str) -> Any:
        self._store.burn()
        return getattr(self._tx, name)


@pytest.mark.parametrize("failed", [0, 120], ids=["advance", "rollback"])
def test_a_crash_at_any_call_acts_once(harness_of: Maker, failed: int) -> None:
    """All or nothing, and the next try does all of it."""
    calls = 0
    while True:
        with harness_of() as harness:
            deploy_version(harness.store, harness.clock, MODEL, "2")
            meet(harness, 400, failed=failed)
            harness.clock.at += SOAK_S
            before = harness.live
            store = CrashingStore(harness, calls)
            scored = good(before.rollout)
            try:
                advance_rollout(store, harness.log, harness.clock, MODEL, harness.shards, scored)  # type: ignore[arg-type]
            except Crash:
                assert harness.live == before
                assert harness.queued(NOTIFY) == []
                advance(harness, scored)
            assert harness.live != before
            assert len(harness.decisions("rollback" if failed else "advance")) == 1
            assert len(harness.queued(NOTIFY)) == (1 if failed else 0)
            assert len(harness.incidents()) == (1 if failed else 0)
            if not store.crashed:
                break
        calls += 1
    assert calls > 5


def test_a_deployment_that_changed_meanwhile_is_left(
    rolling: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person aborts between the steward's reading and its writing."""
    meet(rolling, 400)
    rolling.clock.at += SOAK_S

    class Meanwhile:
        def read(self) -> Any:
            return rolling.store.read()

        def begin(self, models: Any = None) -> Any:
            rolling.put("1")
            return rolling.store.begin(models)

    found = advance_rollout(
        Meanwhile(), rolling.log, rolling.clock, MODEL, rolling.shards,  # type: ignore[arg-type]
        good(rolling.live.rollout),
    )  # fmt: skip
    assert found is None
    assert rolling.live.challenger is None
    assert rolling.decisions("advance") == []


def test_a_model_without_outcomes_can_be_rolled_out(rolling: Harness) -> None:
    rolling.clock.at += 1
    rolling.apply(
        FILE.replace("predicts: {kind: binary, outcome: late}", "predicts: {kind: binary}").replace(
            "  outcomes: {floor: 0.6}\n", ""
        )
    )
    meet(rolling, 4_000)
    rolling.clock.at += SOAK_S
    verdict = advance(rolling, [])
    assert verdict is not None
    assert verdict.outcome is Outcome.PASS


# Facts


def test_facts_are_of_each_stage_as_it_was(rolling: Harness) -> None:
    """Whatever the file's steps are by now, and however the unit fares later."""
    meet(rolling, 800, failed=2)
    meet(rolling, 900, failed=3, arm="champion")
    rolling.clock.at += SOAK_S
    assert advance(rolling).outcome is Outcome.PASS  # type: ignore[union-attr]
    meet(rolling, 50, failed=1)  # the same units again
    rolling.apply(FILE.replace("steps: [10%, 50%, 100%]", "steps: [1%, 2%, 100%]"))
    with rolling.store.read() as tx:
        facts = gate_facts(tx, read_model_file(FILE), rolling.live, good(rolling.live.rollout))
    one, two = facts.stages
    assert (one.stage.share, one.stage.started) == (0.1, START)
    assert (two.stage.share, two.stage.started) == (0.5, START + SOAK_S)
    assert (one.challenger, one.champion) == (ArmCounts(800, 2), ArmCounts(900, 3))
    assert two.challenger == ArmCounts(50, 1), "its first request of the stage"
    assert facts.counts("failed") == [(2, 3, 0.1)], "it had failed before"
    assert (facts.slices, facts.next_share) == (1, 1.0)
    assert (facts.challenger.units, facts.champion.units) == (20_000, 200_000)


def test_a_smaller_step_is_no_next_one(rolling: Harness) -> None:
    meet(rolling, 400)
    rolling.clock.at += SOAK_S
    rolling.apply(FILE.replace("steps: [10%, 50%, 100%]", "steps: [5%, 8%, 30%, 100%]"))
    assert advance(rolling).outcome is Outcome.PASS  # type: ignore[union-attr]
    assert (rolling.live.share, rolling.live.step) == (0.3, 1)


def test_the_record_keeps_how_it_ended(rolling: Harness) -> None:
    rollout = rolling.live.rollout
    for _ in range(2):
        meet(rolling, 800)
        rolling.clock.at += SOAK_S
        advance(rolling)
    with rolling.store.read() as tx:
        (record,) = tx.rollouts(MODEL, 10)
    assert (record.id, record.challenger, record.champion) == (rollout, "2", "1")
    assert [stage.share for stage in record.stages] == [0.1, 0.5]
    assert (record.end, record.ended) == ("promoted", rolling.clock.at)


def test_the_policy_is_the_files() -> None:
    policy = gate_policy(read_model_file(FILE))
    assert (policy.alpha, policy.soak_s) == (0.05, SOAK_S)
    assert (policy.max_error_rate, policy.advance_error_rate) == (0.1, 0.01)
    assert (policy.max_ratio, policy.loss_of_gain) == (2.0, 0.25)


def test_the_challenger_of_now_is_judged_not_the_one_before(rolling: Harness) -> None:
    """Units of an earlier rollout are another rollout's evidence."""
    meet(rolling, 200, failed=120)
    rolling.put(**{**_fields(replace(rolling.live, rollout="delay/2/another")), "champion": "1"})
    verdict = advance(rolling, [])
    assert verdict is not None
    assert verdict.outcome is Outcome.HOLD


def scored(
    version: str, arm: str, outputs: Sequence[float], labels: Sequence[float] | None = None,
    units: Sequence[int] | None = None,
) -> ScoredRows:  # fmt: skip
    rows = len(outputs)
    return ScoredRows(
        version, version, arm, "r#0", times=np.zeros(rows),
        units=np.array(units or [0] * rows, np.uint64), tenants=np.array(["AA"] * rows),
        outputs=[np.array(outputs)], labels=np.array(labels or [0.0] * rows),
    )  # fmt: skip


class ScoredLog:
    """A log that has these rows scored."""

    def __init__(self, *rows: ScoredRows) -> None:
        self._rows = rows

    def scored(self, *_window: Any) -> Sequence[ScoredRows]:
        return self._rows


@pytest.mark.parametrize("least", [1e-300, 1e-100, 1.0])
def test_losses_stay_numbers_where_the_champion_has_next_to_none(least: float) -> None:
    """A loss is a share of the champion's usual one, which may be tiny."""
    log: Any = ScoredLog(
        scored("1", "champion", [least, least]),
        scored("2", "challenger", [1e100, -1e100]),
    )
    contract = Contract((), TaskSpec("regression"))
    champion, challenger = count_losses(log, contract, MODEL, 0.0, 1.0)
    assert champion.losses.loss == 2.0
    assert challenger.losses.loss == 2.0 * challenger.most


def test_a_units_losses_are_one_value() -> None:
    """Twenty rows that are alike are no more evidence than one."""
    log: Any = ScoredLog(
        scored("1", "champion", [0.5, 0.1], [1.0, 0.0], [1, 2]),
        scored("2", "challenger", [0.5] * 20 + [0.1], [1.0] * 20 + [0.0], [3] * 20 + [4]),
    )
    champion, challenger = count_losses(log, Contract((), TaskSpec("binary")), MODEL, 0.0, 1.0)
    assert (champion.losses.units, challenger.losses.units) == (2, 2)
    assert challenger.losses.loss == pytest.approx(champion.losses.loss) == pytest.approx(0.26)
    assert challenger.losses.loss_squares == pytest.approx(0.25**2 + 0.01**2)


def test_rows_without_a_unit_are_one_each() -> None:
    log: Any = ScoredLog(scored("1", "champion", [0.5, 0.5, 0.5]))
    (champion,) = count_losses(log, Contract((), TaskSpec("binary")), MODEL, 0.0, 1.0)
    assert champion.losses.units == 3


def test_one_outcome_out_of_all_bounds_holds_nobodys_gate() -> None:
    """What a label of 1e308 costs is bounded: the other units still say how the versions are."""
    fine = [1.0, 2.0, 3.0] * 200
    log: Any = ScoredLog(
        scored("1", "champion", [x + 0.1 for x in fine], fine),
        scored("2", "challenger", [x + 0.1 for x in fine], [1e308, *fine[1:]]),
    )
    champion, challenger = count_losses(log, Contract((), TaskSpec("regression")), MODEL, 0.0, 1.0)
    assert challenger.losses.loss - champion.losses.loss < challenger.most
    assert np.isfinite(challenger.losses.loss_squares)


def arm(name: str, step: int, units: int, mean: float) -> ArmScores:
    return ArmScores(
        name, "r", step, ArmLosses(units, mean * units, mean * units, 0.3 * units), 1.0
    )


def test_losses_are_compared_within_stages() -> None:
    """The base rate rises as the share does: each arm's own mean is of other hours."""
    scored = [
        arm("champion", 0, 9_500, 0.05), arm("challenger", 0, 500, 0.05),
        arm("champion", 1, 5_000, 0.4), arm("challenger", 1, 5_000, 0.4),
    ]  # fmt: skip
    mine, others = compared_losses(scored)
    assert mine.loss / mine.units == pytest.approx(others.loss / others.units)
    assert mine.units == 5_500
    assert 5_000 < others.units < 6_100
    assert mine.loss_squares >= mine.loss**2 / mine.units


def test_losses_of_one_arm_only_are_counted_and_compared_with_nothing() -> None:
    mine, others = compared_losses([arm("challenger", 0, 12, 0.2)])
    assert (mine.units, others.units) == (12, 0)


def test_a_champion_that_is_mostly_right_to_the_digit_has_a_usual_loss() -> None:
    """Counts that it gets right: its median loss is none, and the challenger is far off."""
    log: Any = ScoredLog(
        scored("1", "champion", [2.0, 3.0, 4.0, 5.0], [2.0, 3.0, 4.0, 6.0]),
        scored("2", "challenger", [50.0] * 4, [2.0, 3.0, 4.0, 6.0]),
    )
    champion, challenger = count_losses(log, Contract((), TaskSpec("regression")), MODEL, 0.0, 1.0)
    assert champion.losses.loss == pytest.approx(4.0)
    assert challenger.losses.loss == 4 * challenger.most


def test_rows_of_left_out_spans_have_no_loss() -> None:
    log: Any = ScoredLog(scored("1", "champion", [0.5, 0.5, 0.5], None, [1, 2, 3]))
    contract = Contract((), TaskSpec("binary"))
    assert count_losses(log, contract, MODEL, 0.0, 1.0, [LeftOut(-1.0, 1.0)]) == []
    (kept,) = count_losses(log, contract, MODEL, 0.0, 1.0, [LeftOut(-1.0, 1.0, "UA")])
    assert kept.losses.units == 3
