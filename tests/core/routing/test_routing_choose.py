"""Who meets which version: sticky, salted by the model, never moved back as the share grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.routing import Arm, ModelRoute, bucket, choose
from windvane.core.task import Contract

ROUTE = ModelRoute(
    "delay", Contract(()), "late", 0.5, (), champion="1", challenger="2", challenger_share=0.25
)
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
    units = sorted((f"u{i}" for i in range(50)), key=lambda u: bucket("delay", u))
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
def test_a_units_place_is_fixed(model: str, unit: str) -> None:
    place = bucket(model, unit)
    assert 0.0 <= place < 1.0
    assert bucket(model, unit) == place
    route = replace(ROUTE, model=model)
    assert choose(route, unit) == choose(replace(route, versions=(), chain=("9",)), unit)


@given(st.text(max_size=20), st.lists(SHARES, min_size=2, max_size=6))
def test_a_growing_share_never_moves_a_unit_back(unit: str, shares: list[float]) -> None:
    arms = [choose(replace(ROUTE, challenger_share=s), unit)[1] for s in sorted(shares)]
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


def test_models_shuffle_units_anew() -> None:
    """Else the same tenth of all users would meet every canary."""
    units = [f"user-{i}" for i in range(4_000)]
    one = np.array([bucket("delay", u) for u in units])
    two = np.array([bucket("churn", u) for u in units])
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.06
    both = ((one < 0.1) & (two < 0.1)).sum()
    assert both < 80


def test_a_models_name_cannot_run_into_a_units() -> None:
    assert bucket("ab", "c") != bucket("a", "bc")
