"""Putting a version live: the first at once, later ones as a canary, one at a time."""

from __future__ import annotations

import msgspec
import pytest
from usecases.harness import FILE, MODEL, START, Harness

from windvane.core.execution import Environment, Offer, RuntimeName, choose_runtime
from windvane.ports.control_store import Deployment, UnknownName
from windvane.ports.trial import TrialOrder
from windvane.usecases.actions import About, ServingChecks
from windvane.usecases.actions.deploy import CannotDeploy, CannotServe, deploy_version
from windvane.usecases.publish_routing import PUBLISH


@pytest.fixture
def ready(empty_harness: Harness) -> Harness:
    """Two versions, none live."""
    empty_harness.apply()
    empty_harness.add_version("1")
    empty_harness.add_version("2", ["plan"])
    return empty_harness


def test_the_first_answers_everyone(ready: Harness) -> None:
    live = deploy_version(ready.store, ready.clock, MODEL, "1")
    assert live == Deployment(MODEL, "1", changed_at=START) == ready.live
    (decision,) = ready.decisions("deploy")
    assert decision.verdict.sentence == "version 1 is the first: it answers everyone"
    assert decision.facts == {"version": "1", "before": None}
    with ready.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].champion == "1"
    assert ready.queued(PUBLISH)[-1]["seq"] == table.seq


def test_a_later_one_begins_as_a_canary(harness: Harness) -> None:
    harness.clock.at = START + 600.0
    live = deploy_version(harness.store, harness.clock, MODEL, "2")
    assert (live.champion, live.challenger, live.share, live.step) == ("1", "2", 0.1, 0)
    assert live.rollout_started == live.stage_started == START + 600.0
    assert live == harness.live
    message = harness.decisions("deploy")[0].verdict.sentence
    assert message == (
        "version 2 begins at 10% beside version 1; nobody asked anything in the last day, and "
        "without traffic nothing moves it on"
    )
    with harness.store.read() as tx:
        table = tx.routing()
    assert table is not None
    route = table.models[MODEL]
    assert (route.challenger, route.challenger_share) == ("2", 0.1)
    assert route.rollout == f"{live.rollout}#0"


@pytest.mark.parametrize(("windows", "slow"), [(2, True), (400, False)])
def test_who_has_little_traffic_is_told_how_long_it_takes(
    harness: Harness, windows: int, slow: bool
) -> None:
    """A handful of units never shows that a version is good: better to know it now."""
    for i in range(windows):
        harness.traffic(i)
    harness.clock.at = START + 60.0 * windows
    deploy_version(harness.store, harness.clock, MODEL, "2")
    message = harness.decisions("deploy")[0].verdict.sentence
    assert ("its first stage takes" in message) == slow, message
    if slow:
        assert "d " in message
        assert f"windvane rollout share {MODEL} 50%" in message


def test_what_is_live_cannot_be_deployed(harness: Harness) -> None:
    with pytest.raises(CannotDeploy, match="version 1 of delay is already live"):
        deploy_version(harness.store, harness.clock, MODEL, "1")
    deploy_version(harness.store, harness.clock, MODEL, "2")
    with pytest.raises(CannotDeploy, match="version 2 of delay is already live"):
        deploy_version(harness.store, harness.clock, MODEL, "2")


def test_one_rollout_at_a_time(harness: Harness) -> None:
    harness.add_version("3")
    deploy_version(harness.store, harness.clock, MODEL, "2")
    before = harness.live
    with pytest.raises(CannotDeploy, match="version 2 is at 10% of delay") as raised:
        deploy_version(harness.store, harness.clock, MODEL, "3")
    assert "one rollout at a time" in raised.value.advice
    assert harness.live == before


@pytest.mark.parametrize(("model", "version"), [(MODEL, "9"), ("delya", "1")])
def test_an_unknown_name_changes_nothing(harness: Harness, model: str, version: str) -> None:
    before = len(harness.decisions())
    with pytest.raises(UnknownName) as raised:
        deploy_version(harness.store, harness.clock, model, version)
    assert raised.value.advice
    assert len(harness.decisions()) == before


def test_a_failed_deploy_keeps_the_broken_feeds(harness: Harness) -> None:
    """Deploying while a stand-in answers leaves it standing in."""
    harness.put("1", standing_in="2", broken_views=("weather",))
    harness.add_version("3", ["plan"])
    live = deploy_version(harness.store, harness.clock, MODEL, "3")
    assert (live.standing_in, live.broken_views, live.challenger) == ("2", ("weather",), "3")


def test_a_version_that_was_rolled_back_may_be_tried_again(harness: Harness) -> None:
    harness.put("1", rolled_back=("2", "3"))
    live = deploy_version(harness.store, harness.clock, MODEL, "2")
    assert (live.challenger, live.rolled_back) == ("2", ("3",))
    said = next(d for d in harness.decisions() if d.action == "deploy").verdict.sentence
    assert "beside version 1; it was rolled back before" in said


def test_a_second_rollout_of_a_version_is_another_rollout(harness: Harness) -> None:
    first = deploy_version(harness.store, harness.clock, MODEL, "2")
    harness.put("1")
    harness.clock.at += 0.4
    second = deploy_version(harness.store, harness.clock, MODEL, "2")
    assert second.rollout != first.rollout


def test_a_single_step_of_everyone_promotes_at_once(harness: Harness) -> None:
    harness.clock.at += 1
    harness.apply(FILE.replace("steps: [10%, 50%, 100%]", "steps: [100%]"))
    live = deploy_version(harness.store, harness.clock, MODEL, "2")
    assert (live.champion, live.challenger, live.previous) == ("2", None, "1")


def test_a_version_that_nobody_trusts_is_refused_before_anything_changes(harness: Harness) -> None:
    choice = choose_runtime([Offer(RuntimeName.SKLEARN, runs_code=True)])
    harness.add_version("3", lineage={"runtime": msgspec.to_builtins(choice)})
    before, decisions = harness.live, len(harness.decisions())
    with pytest.raises(CannotServe, match="loaded by sklearn, and nobody trusts") as raised:
        deploy_version(harness.store, harness.clock, MODEL, "3")
    assert f"`windvane trust {MODEL} 3`" in raised.value.advice
    assert (harness.live, len(harness.decisions())) == (before, decisions)
    harness.act("trust", About.VERSION, version="3")
    assert deploy_version(harness.store, harness.clock, MODEL, "3").challenger == "3"


def test_a_version_whose_library_is_not_installed_is_refused(harness: Harness) -> None:
    choice = choose_runtime([Offer(RuntimeName.XGBOOST, runs_code=False)])
    harness.add_version("3", lineage={"runtime": msgspec.to_builtins(choice)})
    before = harness.live

    def missing_package(runtime: RuntimeName) -> str:
        return "windvane[xgboost]" if runtime is RuntimeName.XGBOOST else ""

    checks = ServingChecks(missing_package=missing_package)
    with pytest.raises(CannotServe, match="served by xgboost, which is not installed") as raised:
        deploy_version(harness.store, harness.clock, MODEL, "3", checks=checks)
    assert "pip install 'windvane[xgboost]'" in raised.value.advice
    assert harness.live == before
    live = deploy_version(harness.store, harness.clock, MODEL, "2", checks=checks)
    assert live.challenger == "2"


def test_a_later_one_that_is_served_elsewhere_is_watched_at_once(harness: Harness) -> None:
    """Nothing is routed to it, so there is nothing that a canary could compare."""
    choice = choose_runtime([Offer(RuntimeName.ELSEWHERE, runs_code=False)])
    harness.add_version("3", lineage={"runtime": msgspec.to_builtins(choice)})
    live = deploy_version(harness.store, harness.clock, MODEL, "3")
    assert (live.champion, live.challenger, live.previous) == ("3", None, "1")
    message = harness.decisions("deploy")[0].verdict.sentence
    assert message == "version 3 is the one that is watched from now on"


def test_a_version_whose_environment_is_damaged_is_refused(harness: Harness) -> None:
    choice = choose_runtime([Offer(RuntimeName.SKLEARN, runs_code=False)])
    own = Environment("e" * 64, ("tariff==1.0",), "3.11", "linux", ())
    lineage = {
        "runtime": msgspec.to_builtins(choice), "environment": msgspec.to_builtins(own),
    }  # fmt: skip
    harness.add_version("3", lineage=lineage)
    before = harness.live
    checks = ServingChecks(damage=lambda _: "damaged: a.py was changed")
    with pytest.raises(CannotServe, match="whose environment is damaged") as raised:
        deploy_version(harness.store, harness.clock, MODEL, "3", checks=checks)
    assert f"windvane environments --rebuild {MODEL}:3" in raised.value.advice
    assert harness.live == before

    def absent(_: RuntimeName) -> str:
        return "windvane[sklearn]"  # which it does not need: it has its own

    assert deploy_version(
        harness.store, harness.clock, MODEL, "3", checks=ServingChecks(missing_package=absent)
    ).challenger == "3"  # fmt: skip


def test_a_version_that_does_not_answer_its_trial_is_refused(harness: Harness) -> None:
    """It is tried last, by the files that a gateway would load."""
    before, decisions, tried = harness.live, len(harness.decisions()), list[TrialOrder]()

    def trial(order: TrialOrder) -> str:
        tried.append(order)
        return "CannotLoad: the graph is cut off"

    checks = ServingChecks(trial=trial)
    with pytest.raises(CannotServe, match="answer nobody: CannotLoad: the graph is cut") as raised:
        deploy_version(harness.store, harness.clock, MODEL, "2", checks=checks)
    assert "--force" in raised.value.advice
    with harness.store.read() as tx:
        record = tx.version(MODEL, "2")
    assert [(o.artifact, o.manifest, o.trusted) for o in tried] == [
        (record.artifact, record.manifest, False)
    ]
    assert (harness.live, len(harness.decisions())) == (before, decisions)
    with pytest.raises(CannotDeploy, match="already live"):
        deploy_version(harness.store, harness.clock, MODEL, "1", checks=checks)
    assert len(tried) == 1, "what is live is not tried again"
    assert deploy_version(harness.store, harness.clock, MODEL, "2").challenger == "2"
