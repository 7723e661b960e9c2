"""Category axes are bounded: the most frequent names, and a rest by hash."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

NAMES = st.lists(st.none() | st.text(max_size=3), max_size=80)


@given(NAMES, st.integers(1, 10), st.lists(st.text(max_size=2), max_size=5))
def test_the_most_frequent_have_bins_of_their_own(
    values: list[str | None], most: int, known: list[str]
) -> None:
    axis = CategoryAxis.fit("x", values, known, most=most)
    counts = Counter(v for v in values if v is not None)
    names = {*counts, *known}
    assert len(axis.categories) == min(most, len(names))
    assert list(axis.categories) == sorted(axis.categories)
    assert axis.rest == (1 if len(names) <= most else 16)
    assert len(axis.labels()) == axis.bins == len(axis.categories) + 1 + axis.rest
    kept = [counts[name] for name in axis.categories]
    left = [counts[name] for name in counts if name not in axis.categories]
    assert not left or not kept or min(kept) >= max(left)


@given(NAMES, st.integers(1, 10))
def test_every_value_falls_into_one_bin_wherever_it_is_counted(
    values: list[str | None], most: int
) -> None:
    axis = CategoryAxis.fit("x", values, most=most)
    codes = axis.codes(values).tolist()
    assert codes == [axis.codes([value])[0] for value in values]
    for value, code in zip(values, codes, strict=True):
        if value is None:
            assert code == 0
        elif value in axis.categories:
            assert code == 1 + axis.categories.index(value)
        else:
            assert len(axis.categories) < code < axis.bins


def test_twelve_thousand_names_make_a_small_axis_that_still_sees_a_shift() -> None:
    values = [f"name {i}" for i in range(12_000)]
    axis = CategoryAxis.fit("x", values)
    assert axis.bins == 217
    rest = np.bincount(axis.codes(values), minlength=axis.bins)[201:]
    assert rest.sum() == 11_800
    assert rest.min() > 600  # 737 each, four sigma are 107
    narrow = np.bincount(axis.codes(values[300:340] * 295), minlength=axis.bins)[201:]
    apart = np.abs(narrow / narrow.sum() - rest / rest.sum()).sum() / 2
    assert apart > 0.2


def test_the_hash_is_pinned() -> None:
    """Stored counts rest on it, on every machine."""
    axis = CategoryAxis("x", ("a",), 16)
    assert axis.codes(["b", "é", ""]).tolist() == [7, 17, 6]


PAST = Layout(
    (
        NumericAxis("x", (0.0, 1.0)),
        CategoryAxis("c", ("a", "b")),
        NumericAxis("output", (0.5,)),
    )
)
COUNTS = st.lists(st.integers(0, 1_000), min_size=PAST.size, max_size=PAST.size).map(
    lambda held: np.array(held, np.int64)
)
LATER = Layout(
    (
        CategoryAxis("c", ("a", "b")),
        NumericAxis("new", (0.0,)),
        NumericAxis("x", (0.0, 1.0)),
        NumericAxis("output", (0.25, 0.75)),
    )
)


@given(COUNTS, COUNTS)
def test_the_past_of_a_feature_outlives_every_other(
    one: np.ndarray[tuple[int], np.dtype[np.int64]],
    other: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    """Axes that are the same keep their counts, and projecting adds up."""
    found = PAST.project(one, LATER)
    assert found.shape == (LATER.size,)
    for name in ("x", "c"):
        assert LATER.part(found, name).tolist() == PAST.part(one, name).tolist()
    for name in ("new", "output"):
        assert LATER.part(found, name).sum() == 0
    both = PAST.project(one, LATER) + PAST.project(other, LATER)
    assert both.tolist() == PAST.project(one + other, LATER).tolist()
    assert PAST.project(one, PAST).tolist() == one.tolist()
    back = LATER.project(found, PAST)
    assert PAST.part(back, "x").tolist() == PAST.part(one, "x").tolist()


def test_an_axis_with_other_bins_is_another() -> None:
    """Of the same name, and of the same number of bins."""
    other = Layout((NumericAxis("x", (0.0, 2.0)), CategoryAxis("c", ("a", "z"))))
    assert PAST.project(np.ones(PAST.size, np.int64), other).sum() == 0
