"""Fingerprints: of equal values the same, of others hardly ever."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.signature import FINGERPRINTS, fingerprints

NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=30)
NAMES = st.lists(st.none() | st.text(max_size=5), min_size=1, max_size=30)


def numbers(*values: float | None) -> np.ndarray:
    return np.array(values, np.float64)


@given(NUMBERS, NAMES, st.integers(0, 30))
def test_they_are_the_same_however_rows_are_cut(
    given_numbers: list[float], names: list[str | None], cut: int
) -> None:
    rows = min(len(given_numbers), len(names))
    columns: list[Any] = [numbers(*given_numbers[:rows]), names[:rows]]
    whole = fingerprints(columns, rows)
    cut = min(cut, rows)
    parts = [
        fingerprints([c[:cut] for c in columns], cut),
        fingerprints([c[cut:] for c in columns], rows - cut),
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    known = whole[~np.isnan(whole)]
    assert ((known >= 0) & (known < FINGERPRINTS) & (known == np.floor(known))).all()


def test_they_are_the_same_on_every_machine() -> None:
    columns: list[Any] = [numbers(1.5, -0.0, None), ["dl", "", None], [b"\x00", b"a", None]]
    assert fingerprints(columns, 3).tolist()[:2] == [242.0, 99.0]
    assert fingerprints([[[1.0, 2.0], [2.0, 1.5]]], 2).tolist() == [29.0, 174.0]


def test_a_row_without_any_value_has_none_and_one_without_some_has_one() -> None:
    found = fingerprints([numbers(None, None, 3.0), [None, "a", None]], 3)
    assert np.isnan(found).tolist() == [True, False, False]


def test_minus_nought_is_nought_and_values_that_change_places_are_another_row() -> None:
    assert fingerprints([numbers(0.0)], 1) == fingerprints([numbers(-0.0)], 1)
    pairs = [(1.0, 2.0), (2.0, 1.0)]
    first, second = fingerprints([numbers(*(p[i] for p in pairs)) for i in (0, 1)], 2)
    assert first != second


def test_different_rows_spread_over_all() -> None:
    rng = np.random.default_rng(1)
    for columns in (
        [np.round(rng.normal(60.0, 10.0, 20_000), 1), np.arange(20_000.0) % 977],
        [[f"name {i}" for i in range(20_000)]],
        [np.arange(20_000.0)],
    ):
        shares = np.bincount(fingerprints(columns, 20_000).astype(int), minlength=FINGERPRINTS)
        assert shares.min() > 30
        assert shares.max() < 140
