"""Whose change it is, by tables of tenants that differ."""

from __future__ import annotations

import numpy as np
import pytest
from core.drift.streams import Fault, Floats, Rows, layout_of, nulls, plus

from windvane.core.drift import (
    Cell,
    DriftPolicy,
    Kind,
    Part,
    Reference,
    axis_index,
    blame,
    has_healed,
    is_mix,
)

LAYOUT = layout_of(2)
POLICY = DriftPolicy(1e5)
SIZES = {"a": 600, "b": 300, "c": 100, "d": 60}
NOTHING = Cell.empty(LAYOUT, 0.0).forecast
LEVEL = {"a": 0.0, "b": 1.0, "c": -1.0, "d": 0.5}


def part(tenant: str, fault: Fault | None = None, rows: int | None = None) -> Part:
    """A tenant of its own level, with the rows of one window, spoilt or not."""
    past = Rows(LAYOUT, seed=ord(tenant), rows=20_000)
    own = Reference.of(axis_index(LAYOUT), past.window(0, plus(LEVEL[tenant])))
    now = Rows(LAYOUT, seed=7 + ord(tenant), rows=SIZES[tenant] if rows is None else rows)

    def shape(values: Floats, rng: np.random.Generator) -> Floats:
        moved = values + LEVEL[tenant]
        return moved if fault is None else fault(moved, rng)

    return Part(tenant, now.window(0, shape), own, Cell.empty(LAYOUT, 0.0))


def whose(faults: dict[str, Fault], sounding: set[str], kind: Kind) -> tuple[str, ...]:
    parts = [part(t, faults.get(t)) for t in SIZES]
    streams = [(name, kind) for name in LAYOUT.names]
    return blame(LAYOUT, parts, streams, POLICY, frozenset(sounding), NOTHING, 0.0)


@pytest.mark.parametrize(
    ("faults", "sounding", "kind", "expected"),
    [
        ({"c": nulls(0.9)}, {"c"}, Kind.NULLS, ("c",)),
        ({"c": nulls(0.9)}, set[str](), Kind.NULLS, ("c",)),  # seen in everyone's rows first
        ({"b": plus(1.5)}, {"b"}, Kind.VALUES, ("b",)),
        (dict.fromkeys(SIZES, nulls(0.9)), {"a", "b"}, Kind.NULLS, ()),
        (dict.fromkeys("abc", plus(1.5)), {"a"}, Kind.VALUES, ()),
        ({}, {"a", "b", "c"}, Kind.VALUES, ()),  # three of four are everyone
    ],
)
def test_whose_change_it_is(
    faults: dict[str, Fault], sounding: set[str], kind: Kind, expected: tuple[str, ...]
) -> None:
    assert whose(faults, sounding, kind) == expected


def test_a_healthy_tenant_that_is_far_by_chance_is_not_blamed_with_another() -> None:
    """In many windows somebody is: what one tenant's alarm explains needs nobody else."""
    odd = {"c": nulls(1.0), "d": nulls(0.12)}
    assert whose(odd, {"c"}, Kind.NULLS) == ("c",)


def test_another_mix_of_tenants_that_send_as_ever_is_a_mix() -> None:
    streams = [(name, Kind.VALUES) for name in LAYOUT.names]
    rows = {"a": 100, "b": 900, "c": 400, "d": 60}
    assert is_mix(LAYOUT, [part(t, rows=n) for t, n in rows.items()], streams, POLICY, NOTHING, 0.0)
    spoilt = [part(t, plus(1.5), rows=n) for t, n in rows.items()]
    assert not is_mix(LAYOUT, spoilt, streams, POLICY, NOTHING, 0.0)
    assert not is_mix(LAYOUT, [], streams, POLICY, NOTHING, 0.0)


@pytest.mark.parametrize(
    ("fault", "healed"),
    [
        (None, True),
        (plus(1.2), False),  # a fifth of what it was, and more than matters
        (nulls(1.0), False),  # there is nothing left that could have healed
        (nulls(0.3), False),
    ],
)
def test_who_has_healed_of_a_change_shows_hardly_more_than_matters(
    fault: Fault | None, healed: bool
) -> None:
    changes = {(name, Kind.VALUES): 5.0 for name in LAYOUT.names}
    rest = [part(t, fault, rows=2_000) for t in "ab"]
    assert has_healed(LAYOUT, rest, changes, POLICY, NOTHING, 0.0) is healed


def test_too_few_rows_tell_of_no_healing() -> None:
    changes = {(name, Kind.NULLS): 0.9 for name in LAYOUT.names}
    assert not has_healed(LAYOUT, [part("a", rows=7)], changes, POLICY, NOTHING, 0.0)
    assert not has_healed(LAYOUT, [], changes, POLICY, NOTHING, 0.0)
