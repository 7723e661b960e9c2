"""Histograms of ages: exact where they are judged, and the same however they were cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.freshness import (
    CLOCK_DIFFERENCE_S,
    LONGEST_AGE_S,
    AgeHistogram,
    age_axis,
    merge_ages,
)

AGES = st.lists(st.floats(-1e5, 1e8) | st.none(), max_size=60)
H = 3_600.0


def counted(ages: list[float | None], *limits: float) -> AgeHistogram:
    axis = age_axis("seen#age", limits)
    codes = axis.codes(np.array(ages, np.float64))
    return AgeHistogram(axis.edges, np.bincount(codes, minlength=axis.bins))


@given(AGES, st.floats(1.0, 1e7))
def test_what_is_older_than_a_limit_of_the_file_is_counted_exactly(
    ages: list[float | None], limit: float
) -> None:
    held = counted(ages, limit)
    known = [a for a in ages if a is not None]
    assert held.older_than(limit) == sum(a > limit for a in known)
    assert held.future == sum(a <= -CLOCK_DIFFERENCE_S for a in known)
    assert (held.known, held.unknown) == (len(known), len(ages) - len(known))


@given(AGES, AGES, st.floats(1.0, 1e7), st.floats(1.0, 1e7))
def test_histograms_of_two_limits_add_up_on_what_both_have(
    first: list[float | None], second: list[float | None], one: float, two: float
) -> None:
    total = merge_ages([counted(first, one), counted(second, two)])
    plain = counted([*first, *second])
    assert (total.known, total.unknown, total.future) == (plain.known, plain.unknown, plain.future)
    if one == two:
        assert total.counts.tolist() == counted([*first, *second], one).counts.tolist()
    else:
        assert set(total.edges) >= set(plain.edges)
    known = [a for a in [*first, *second] if a is not None]
    assert total.older_than(2 * H) <= sum(a > 2 * H for a in known)


def test_quantiles_are_within_the_width_of_a_bin() -> None:
    ages = np.random.default_rng(1).lognormal(9.0, 1.0, 5_000)
    held = counted(ages.tolist())
    for share in (0.1, 0.5, 0.9):
        found, true = held.quantile(share), float(np.quantile(ages, share))
        assert found is not None
        assert abs(found / true - 1.0) < 0.05
    oldest = held.quantile(1.0)
    assert oldest is not None
    assert ages.max() <= oldest <= 1.1 * ages.max()


def test_there_is_no_quantile_of_nothing_and_none_beyond_the_last_edge() -> None:
    assert counted([]).quantile(0.5) is None
    assert counted([None, -1e4]).quantile(0.5) is None
    assert counted([0.2, -5.0]).quantile(1.0) == 0.0
    assert counted([1e9]).quantile(0.5) == LONGEST_AGE_S
    assert merge_ages([]).known == 0


def test_the_edges_grow_and_are_the_same_on_every_machine() -> None:
    edges = age_axis("a").edges
    assert list(edges) == sorted(set(edges))
    assert edges[:3] == (-60.0, 1.0, 1.091)
    assert edges[-1] == 2.0**25
