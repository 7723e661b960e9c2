"""What the truth says is counted by units, and tenants with few of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from windvane.core.outcomes import Shift
from windvane.core.sketch import CategoryAxis, Layout
from windvane.core.task import Task, TaskSpec, make_task
from windvane.ports.event_log import ScoredRows
from windvane.usecases.answer_cells import AnswerCell, answer_rows, segment_cells, tenant_cells

BINARY, REGRESSION = make_task(TaskSpec()), make_task(TaskSpec("regression"))


def rows(
    said: Sequence[float], labels: Sequence[float], units: Sequence[int], tenants: Sequence[str]
) -> ScoredRows:
    return ScoredRows(
        "1", "1", "champion", "", np.arange(float(len(said))), np.array(units, np.uint64),
        np.array(tenants), [np.array(said)], np.array(labels),
    )  # fmt: skip


def answer_cells(
    task: Task, found: Sequence[ScoredRows], scale: float, least_units: int
) -> Mapping[str, AnswerCell]:
    held = answer_rows(task, found, scale)
    return {} if held is None else tenant_cells(held, least_units)


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


CARRIER = Layout((CategoryAxis("carrier", ("dl", "mq")),))


def of_carriers(found: ScoredRows, carriers: Sequence[str | None]) -> ScoredRows:
    return replace(found, features={"carrier": np.array(carriers, np.object_)})


def test_a_unit_counts_once_in_each_segment_that_it_has_rows_in() -> None:
    said, labels = [0.5, 0.5, 0.1, 0.2, 0.3], [1.0, 0.0, 1.0, 0.0, 0.0]
    found = of_carriers(
        rows(said, labels, [7, 7, 7, 8, 9], ["AA"] * 5), ["dl", "dl", "mq", "mq", "new"]
    )
    held = answer_rows(BINARY, [found], 1.0, CARRIER, ("carrier",))
    assert held is not None
    cells = segment_cells(held, "carrier", 1)
    assert {key: cell.units for key, cell in cells.items()} == {
        "segment/carrier=dl": 1, "segment/carrier=mq": 2, "segment/carrier=other": 1,
    }  # fmt: skip
    assert cells["segment/carrier=dl"].values[Shift.RATE].mean == 0.5
    assert sorted(cells["segment/carrier=mq"].values[Shift.RATE].values.tolist()) == [0.0, 1.0]
    assert set(segment_cells(held, "carrier", 2)) == {"segment/carrier=mq"}, "too few are none"


def test_what_a_cell_moved_by_can_be_taken_off() -> None:
    found = of_carriers(
        rows([0.5] * 4, [1.0, 1.0, 0.0, 0.0], [1, 2, 3, 4], ["AA", "UA", "AA", "UA"]),
        ["mq", "mq", "dl", None],
    )
    held = answer_rows(BINARY, [found], 1.0, CARRIER, ("carrier",))
    assert held is not None
    of_segment = held.without({"segment/carrier=mq": {Shift.RATE: 0.75}})
    of_tenant = held.without({"tenant/UA": {Shift.RATE: -0.5}})
    rate = of_segment.values[Shift.RATE]
    assert rate.values.tolist() == [0.25, 0.25, 0.0, 0.0]
    assert (rate.low, rate.high) == (-0.75, 1.0), "the bounds hold for what is left"
    assert of_tenant.values[Shift.RATE].values.tolist() == [1.0, 1.5, 0.0, 0.5]
    assert of_tenant.values[Shift.RATE].high == 1.5
    assert of_tenant.values[Shift.BIAS] is held.values[Shift.BIAS]
