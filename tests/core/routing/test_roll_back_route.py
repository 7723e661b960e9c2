"""A route without its challenger, or with the version before: by the route alone."""

from __future__ import annotations

from dataclasses import replace

from windvane.core.routing import ModelRoute, VersionEntry, roll_back_route
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract

ONE, TWO, THREE = (
    VersionEntry(v, f"a/{v}", v * 8, features=taken)
    for v, taken in (("1", ("x",)), ("2", ()), ("3", ()))
)
CONTRACT = Contract(
    (FeatureSpec("x", "v", FeatureType.NUMBER), FeatureSpec("y", "v", FeatureType.NUMBER))
)
ROUTE = ModelRoute(
    "delay", CONTRACT, "late", 0.5, (TWO, THREE, ONE), champion="2", chain=("3", "1"), previous=ONE
)


def test_the_version_before_takes_the_place_of_the_champion() -> None:
    done = roll_back_route(replace(ROUTE, standing_in="3"))
    assert done is not None
    assert (done.gone, done.after) == ("2", ONE)
    made = done.route
    assert (made.champion, made.previous, made.standing_in) == ("1", None, None)
    assert (made.versions, made.chain) == ((ONE, THREE), ("3",))
    assert made.contract == ROUTE.contract, "clients notice nothing"
    assert roll_back_route(made) is None


def test_the_challenger_goes_first_and_the_version_before_is_kept() -> None:
    done = roll_back_route(
        replace(ROUTE, champion="1", challenger="2", challenger_share=0.5, previous=THREE,
                rollout="r#1", chain=())
    )  # fmt: skip
    assert done is not None
    assert (done.gone, done.after) == ("2", ONE)
    made = done.route
    assert (made.champion, made.challenger, made.challenger_share) == ("1", None, 0.0)
    assert (made.versions, made.rollout, made.previous) == ((ONE,), "", THREE)


def test_who_stands_in_for_the_champion_goes_on_when_the_challenger_goes() -> None:
    done = roll_back_route(
        replace(ROUTE, champion="1", challenger="2", challenger_share=0.5, standing_in="3",
                chain=())
    )  # fmt: skip
    assert done is not None
    assert done.route.standing_in == "3"
    assert done.route.versions == (ONE, THREE)


def test_without_either_there_is_nothing_to_return_to() -> None:
    assert roll_back_route(replace(ROUTE, previous=None)) is None
    assert roll_back_route(replace(ROUTE, champion="9", challenger="2")) is None
