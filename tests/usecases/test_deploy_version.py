"""Putting a version live: the first at once, later ones as a canary, one at a time."""

from __future__ import annotations

import pytest
from usecases.house import FILE, MODEL, START, House

from windvane.ports.control_store import Deployment, UnknownName
from windvane.usecases.deploy_version import CannotDeploy, deploy_version
from windvane.usecases.publish_routing import PUBLISH


@pytest.fixture
def ready(empty_house: House) -> House:
    """Two versions, none live."""
    empty_house.apply()
    empty_house.add_version("1")
    empty_house.add_version("2", ["plan"])
    return empty_house


def test_the_first_answers_everyone(ready: House) -> None:
    live = deploy_version(ready.store, ready.clock, MODEL, "1")
    assert live == Deployment(MODEL, "1", changed_at=START) == ready.live
    (decision,) = ready.decisions("deploy")
    assert decision.verdict.sentence == "version 1 is the first: it answers everyone"
    assert decision.facts == {"version": "1", "before": None}
    with ready.store.read() as tx:
        table = tx.routing()
    assert table is not None
    assert table.models[MODEL].champion == "1"
    assert ready.queued(PUBLISH)[-1] == {"seq": table.seq}


def test_a_later_one_begins_as_a_canary(house: House) -> None:
    house.clock.at = START + 600.0
    live = deploy_version(house.store, house.clock, MODEL, "2")
    assert (live.champion, live.challenger, live.share, live.step) == ("1", "2", 0.1, 0)
    assert live.rollout_started == live.stage_started == START + 600.0
    assert live == house.live
    said = house.decisions("deploy")[0].verdict.sentence
    assert said == "version 2 begins at 10% beside version 1"
    with house.store.read() as tx:
        table = tx.routing()
    assert table is not None
    route = table.models[MODEL]
    assert (route.challenger, route.challenger_share) == ("2", 0.1)
    assert route.rollout == f"{live.rollout}#0"


def test_what_is_live_cannot_be_deployed(house: House) -> None:
    with pytest.raises(CannotDeploy, match="version 1 of delay is already live"):
        deploy_version(house.store, house.clock, MODEL, "1")
    deploy_version(house.store, house.clock, MODEL, "2")
    with pytest.raises(CannotDeploy, match="version 2 of delay is already live"):
        deploy_version(house.store, house.clock, MODEL, "2")


def test_one_rollout_at_a_time(house: House) -> None:
    house.add_version("3")
    deploy_version(house.store, house.clock, MODEL, "2")
    before = house.live
    with pytest.raises(CannotDeploy, match="version 2 is at 10% of delay") as raised:
        deploy_version(house.store, house.clock, MODEL, "3")
    assert "one rollout at a time" in raised.value.advice
    assert house.live == before


@pytest.mark.parametrize(("model", "version"), [(MODEL, "9"), ("delya", "1")])
def test_an_unknown_name_changes_nothing(house: House, model: str, version: str) -> None:
    before = len(house.decisions())
    with pytest.raises(UnknownName) as raised:
        deploy_version(house.store, house.clock, model, version)
    assert raised.value.advice
    assert len(house.decisions()) == before


def test_a_failed_deploy_keeps_the_broken_feeds(house: House) -> None:
    """Deploying while a stand-in answers leaves it standing in."""
    house.put("1", standing_in="2", broken_views=("weather",))
    house.add_version("3", ["plan"])
    live = deploy_version(house.store, house.clock, MODEL, "3")
    assert (live.standing_in, live.broken_views, live.challenger) == ("2", ("weather",), "3")


def test_a_version_that_was_rolled_back_may_be_tried_again(house: House) -> None:
    house.put("1", rolled_back=("2", "3"))
    live = deploy_version(house.store, house.clock, MODEL, "2")
    assert (live.challenger, live.rolled_back) == ("2", ("3",))


def test_a_second_rollout_of_a_version_is_another_rollout(house: House) -> None:
    first = deploy_version(house.store, house.clock, MODEL, "2")
    house.put("1")
    house.clock.at += 0.4
    second = deploy_version(house.store, house.clock, MODEL, "2")
    assert second.rollout != first.rollout


def test_a_single_step_of_everyone_promotes_at_once(house: House) -> None:
    house.clock.at += 1
    house.apply(FILE.replace("steps: [10%, 50%, 100%]", "steps: [100%]"))
    live = deploy_version(house.store, house.clock, MODEL, "2")
    assert (live.champion, live.challenger, live.previous) == ("2", None, "1")
