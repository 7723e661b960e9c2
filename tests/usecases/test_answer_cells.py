"""What the truth says is counted by units, and tenants with few of them together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from windvane.core.outcomes import Shift
from windvane.core.task import TaskSpec, make_task
from windvane.ports.event_log import ScoredRows
from windvane.usecases.answer_cells import answer_cells

BINARY, REGRESSION = make_task(TaskSpec()), make_task(TaskSpec("regression"))


def rows(
    said: Sequence[float], labels: Sequence[float], units: Sequence[int], tenants: Sequence[str]
) -> ScoredRows:
    return ScoredRows(
        "1", "1", "champion", "", np.arange(float(len(said))), np.array(units, np.uint64),
        np.array(tenants), [np.array(said)], np.array(labels),
    )  # fmt: skip


def test_a_unit_counts_once_and_a_row_without_one_is_its_own() -> None:
    found = rows([0.5, 0.5, 0.5, 0.1, 0.1, 0.3], [1, 1, 1, 0, 0, 1], [7, 7, 7, 8, 0, 0], ["AA"] * 6)
    (cell,) = answer_cells(BINARY, [found], 1.0, 1).values()
    assert cell.units == 4
    assert sorted(cell.values[Shift.BIAS].values.tolist()) == [-0.1, -0.1, 0.5, 0.7]
    assert cell.values[Shift.RATE].mean == 0.5
    assert cell.said == pytest.approx(0.25)


def test_tenants_with_few_units_are_one_cell() -> None:
    tenants = ["AA"] * 30 + ["UA"] * 5 + ["DL"] * 4
    found = rows([0.5] * 39, [1.0] * 39, list(range(1, 40)), tenants)
    cells = answer_cells(BINARY, [found], 1.0, 20)
    assert {key: cell.units for key, cell in cells.items()} == {"tenant/AA": 30, "others": 9}


def test_what_answers_expect_of_their_loss_is_taken_off() -> None:
    """A calibrated .5 costs .25 a row, and is no worse than a calibrated .1."""
    found = rows([0.5, 0.1], [1.0, 1.0], [1, 2], ["AA", "AA"])
    (cell,) = answer_cells(BINARY, [found], 1.0, 1).values()
    assert cell.values[Shift.LOSS].values.tolist() == pytest.approx([0.0, 0.72])


def test_losses_with_a_unit_are_told_in_those_of_the_holdout() -> None:
    found = rows([10.0, 10.0, 10.0], [14.0, 6.0, 1e9], [1, 2, 3], ["AA"] * 3)
    (cell,) = answer_cells(REGRESSION, [found], 2.0, 1).values()
    assert cell.values[Shift.LOSS].values.tolist() == [2.0, 2.0, 20.0]
    assert cell.values[Shift.BIAS].values.tolist() == [2.0, -2.0, 20.0]
    assert Shift.RATE not in cell.values


def test_classes_have_a_loss_that_their_probabilities_expect() -> None:
    task = make_task(TaskSpec("multiclass", classes=("a", "b", "c")))
    rng = np.random.default_rng(3)
    said = rng.dirichlet([2.0, 1.0, 1.0], 20_000)
    labels = (rng.random((20_000, 1)) > np.cumsum(said, axis=1)).sum(axis=1).astype(float)
    assert abs(float(task.excess_losses([said], labels).mean())) < 0.005
    assert float(task.losses([said], labels).mean()) > 0.2
