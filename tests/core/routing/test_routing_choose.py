"""Who meets which version: sticky, salted by the rollout, never moved back as the share grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.routing import Arm, ModelRoute, bucket, choose, salt_of
from windvane.core.task import Contract

ROLLOUT = "delay/2/9"
ROUTE = ModelRoute(
    "delay", Contract(()), "late", 0.5, (), champion="1", challenger="2", challenger_share=0.25,
    rollout=f"{ROLLOUT}#0",
)  # fmt: skip
SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("challenger", "share", "standing_in", "low_unit", "high_unit"),
    [
        (None, 0.0, None, ("1", Arm.CHAMPION), ("1", Arm.CHAMPION)),
        (None, 1.0, None, ("1", Arm.CHAMPION), ("1", Arm.CHAMPION)),
        ("2", 0.0, None, ("1", Arm.CHAMPION), ("1", Arm.CHAMPION)),
        ("2", 0.5, None, ("2", Arm.CHALLENGER), ("1", Arm.CHAMPION)),
        ("2", 1.0, None, ("2", Arm.CHALLENGER), ("2", Arm.CHALLENGER)),
        (None, 0.0, "0", ("0", Arm.FALLBACK), ("0", Arm.FALLBACK)),
        ("2", 0.5, "0", ("2", Arm.CHALLENGER), ("0", Arm.FALLBACK)),
    ],
)
def test_table(
    challenger: str | None,
    share: float,
    standing_in: str | None,
    low_unit: tuple[str, Arm],
    high_unit: tuple[str, Arm],
) -> None:
    units = sorted((f"u{i}" for i in range(50)), key=lambda u: bucket(ROLLOUT, u))
    route = replace(ROUTE, challenger=challenger, challenger_share=share, standing_in=standing_in)
    assert choose(route, units[0]) == low_unit
    assert choose(route, units[-1]) == high_unit


def test_a_tenant_has_its_own_stand_in_and_else_everyones() -> None:
    route = replace(ROUTE, challenger=None, standing_in="0", stand_ins=(("acme", "7"),))
    assert choose(route.for_tenant("acme"), "u") == ("7", Arm.FALLBACK)
    assert choose(route.for_tenant("globex"), "u") == ("0", Arm.FALLBACK)
    well = replace(route, standing_in=None)
    assert choose(well.for_tenant("acme"), "u") == ("7", Arm.FALLBACK)
    assert choose(well.for_tenant("globex"), "u") == ("1", Arm.CHAMPION)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_units_place_is_fixed(salt: str, unit: str) -> None:
    place = bucket(salt, unit)
    assert 0.0 <= place < 1.0
    assert bucket(salt, unit) == place
    route = replace(ROUTE, rollout=f"{salt}#2")
    assert choose(route, unit) == choose(replace(route, model="another"), unit)
    assert choose(route, unit) == choose(replace(route, versions=(), chain=("9",)), unit)


@given(st.text(max_size=20), st.lists(SHARES, min_size=2, max_size=6))
def test_a_growing_share_never_moves_a_unit_back(unit: str, shares: list[float]) -> None:
    """Each is a step, which the name of the rollout is followed by."""
    arms = [
        choose(replace(ROUTE, challenger_share=s, rollout=f"{ROLLOUT}#{step}"), unit)[1]
        for step, s in enumerate(sorted(shares))
    ]
    first = arms.index(Arm.CHALLENGER) if Arm.CHALLENGER in arms else len(arms)
    assert all(arm is Arm.CHAMPION for arm in arms[:first])
    assert all(arm is Arm.CHALLENGER for arm in arms[first:])


def test_places_are_pinned() -> None:
    """A change of the hash would move every unit of every running rollout."""
    assert bucket("delay", "passenger-1") == 0.9309669649055385
    assert bucket("", "") == 0.5818916442384907


def test_places_are_uniform() -> None:
    """20,000 units in 20 bins: chi-square with 19 degrees of freedom is under 43.8 at p=.001."""
    places = [bucket("delay", f"user-{i}") for i in range(20_000)]
    found = np.histogram(places, bins=20, range=(0, 1))[0]
    assert (((found - 1_000) ** 2) / 1_000).sum() < 43.8


@given(st.text(max_size=20), st.integers(0, 10**6))
def test_the_salt_of_a_rollout_is_the_same_in_every_step(name: str, step: int) -> None:
    assert salt_of(f"{name}#{step}") == name


def test_where_nothing_rolls_out_there_is_no_salt() -> None:
    assert salt_of("") == ""


@pytest.mark.parametrize(
    ("one", "two"),
    [("delay/2/9", "delay/3/9"), ("delay/2/9", "delay/2/10"), ("delay/2/9", "churn/2/9")],
)
def test_each_rollout_draws_units_anew(one: str, two: str) -> None:
    """Else the same tenth of all users would meet every canary, of every model and version."""
    units = [f"user-{i}" for i in range(4_000)]
    first, second = (np.array([bucket(name, u) for u in units]) for name in (one, two))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
    drawn = [
        {
            u
            for u in units
            if choose(replace(ROUTE, challenger_share=0.1, rollout=f"{name}#0"), u)[0] == "2"
        }
        for name in (one, two)
    ]
    assert all(300 < len(mine) < 500 for mine in drawn)
    assert len(drawn[0] & drawn[1]) < 80


def test_a_salt_cannot_run_into_a_unit() -> None:
    assert bucket("ab", "c") != bucket("a", "bc")
