"""Few executions find the rows at fault."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.inference.bisecting import Bisection

WHOLE = RuntimeError("the whole")


def search(rows: int, bad: AbstractSet[int], **bounds: Any) -> tuple[list[Any], int]:
    """What is known at the end, and how many executions it took."""
    found = Bisection(rows, WHOLE, **bounds)
    executions = 0
    while (piece := found.next()) is not None:
        executions += 1
        low, high = piece
        assert 0 <= low < high <= rows
        if bad.isdisjoint(range(low, high)):
            found.note(piece, [(float(i),) for i in range(low, high)])
        else:
            found.note(piece, RuntimeError(f"{low} to {high}"))
    assert len(found.outputs) == rows
    return found.outputs, executions


@pytest.mark.parametrize("at", [0, 1, 499, 500, 613, 999])
def test_one_bad_row_of_a_thousand_takes_about_twenty_executions(at: int) -> None:
    outputs, executions = search(1_000, {at})
    assert executions <= 20
    assert [i for i, output in enumerate(outputs) if isinstance(output, Exception)] == [at]


def test_many_bad_rows_are_bounded_and_share_the_fate_of_their_piece() -> None:
    outputs, executions = search(1_000, set(range(0, 1_000, 3)))
    assert executions == 64
    assert all(isinstance(outputs[i], Exception) for i in range(0, 1_000, 3))
    assert isinstance(outputs[998], Exception), "not looked at any more"
    assert outputs[1] == (1.0,)


def test_a_single_row_is_not_tried_again() -> None:
    outputs, executions = search(1, {0})
    assert (outputs, executions) == ([WHOLE], 0)


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=6), st.integers(0, 80))
def test_no_bad_row_has_outputs_and_each_good_one_its_own(
    rows: int, bad: set[int], most: int
) -> None:
    outputs, executions = search(rows, bad, most=most)
    assert executions <= most
    for i, output in enumerate(outputs):
        assert isinstance(output, Exception) or (output == (float(i),) and i not in bad)
    enough = 2 * len(bad) * 8 + 2
    if most >= enough:  # 8 halvings of 200 rows
        failed = {i for i, output in enumerate(outputs) if isinstance(output, Exception)}
        assert failed == ({i for i in bad if i < rows} if rows > 1 else {0})
