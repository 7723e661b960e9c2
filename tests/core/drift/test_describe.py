"""From what to what a feature changed, in words."""

from __future__ import annotations

import numpy as np
import pytest

from windvane.core.drift import change_sentence, describe_change
from windvane.core.sketch import CategoryAxis, Layout, NumericAxis

PAST = np.array([0.0] * 60 + [1.0] * 20 + [2.0] * 20)
FITTED = Layout((NumericAxis.fit("x", PAST),))
STORED = Layout((NumericAxis("x", (0.0, 1.0, 2.0)),))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (PAST, "x: median 0 to 0 (middle half 0 to 1)"),
        ([-999.0] * 5 + [0.0] * 75 + [1.0] * 20,
         "x: median 0 to 0 (middle half 0 to 0), rows under 0 from 0% to 5%"),
        ([0.0] * 60 + [1.0] * 20 + [9.0] * 20,
         "x: median 0 to 0 (middle half 0 to 1), rows over 2 from 0% to 20%"),
        ([2.0] * 90 + [-999.0] * 10, "x: median 0 to 2 (middle half 2 to 2)"),
        ([50.0] * 100, "x: median 0 to over 2 (middle half over 2)"),
        ([9e307] * 60 + [1.0] * 40, "x: median 0 to over 2 (middle half 1 to over 2)"),
        ([-999.0] * 60 + [1.0] * 40, "x: median 0 to under 0 (middle half under 0 to 1)"),
    ],
)  # fmt: skip
def test_where_the_median_stays_the_tails_are_told(values: list[float], said: str) -> None:
    before, after = FITTED.count({"x": PAST})[0], FITTED.count({"x": values})[0]
    assert change_sentence(describe_change(FITTED, "x", before, after)) == said


def test_what_a_quartile_beyond_training_stands_for_is_said_in_a_field() -> None:
    before, after = FITTED.count({"x": [9.0] * 4})[0], FITTED.count({"x": [-9.0, 1.0, 9.0]})[0]
    change = describe_change(FITTED, "x", before, after)
    assert change["quartiles"] == [[2.0, 2.0, 2.0], [0.0, 1.0, 2.0]]
    assert change["quartiles_beyond"] == [["over", "over", "over"], ["under", "", "over"]]
    assert change_sentence(change) == "x: median over 2 to 1 (middle half under 0 to over 2)"
    of_old = {name: what for name, what in change.items() if name != "quartiles_beyond"}
    assert change_sentence(of_old) == "x: median 2 to 1 (middle half 0 to 2)"


def test_of_a_layout_without_a_bin_below_the_minimum_nothing_is_made_up() -> None:
    before, after = STORED.count({"x": PAST})[0], STORED.count({"x": [-999.0] * 9 + [9.0]})[0]
    change = describe_change(STORED, "x", before, after)
    assert change["beyond"] == [("over 2", 0.0, 0.1)]
    assert change["quartiles"][1] == [0.0, 0.0, 0.0]
    assert change["quartiles_beyond"][1] == ["", "", ""]


def test_names_that_moved_most_are_told() -> None:
    layout = Layout((CategoryAxis("c", ("a", "b")),))
    before = layout.count({"c": ["a"] * 50 + ["b"] * 50})[0]
    after = layout.count({"c": ["a"] * 50 + ["z"] * 50})[0]
    said = change_sentence(describe_change(layout, "c", before, after))
    assert said == "c: b 50% to 0%, unseen 0% to 50%"
