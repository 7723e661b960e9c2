"""Bounds that count evidence by the unit, in simulations of rows of one unit that are alike."""

from __future__ import annotations

import math

import numpy as np
import scipy.special
from numpy.typing import NDArray

from windvane.core.statistics import LEAST_BLOCKS, reach_over_units
from windvane.core.task import TaskSpec, make_task

TASK = make_task(TaskSpec())
AREA = float(scipy.special.ndtr(1 / math.sqrt(2)))


def alike(
    rng: np.random.Generator, units: int, rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Scores and labels of ``rows`` rows of each unit, the same for all of a unit's."""
    truth = rng.random(units) < 0.3
    score = scipy.special.ndtr(rng.normal(size=units) + truth)
    return score.repeat(rows), truth.repeat(rows).astype(float), np.arange(units).repeat(rows)


def test_the_bounds_of_an_auc_hold_where_rows_of_a_unit_are_alike() -> None:
    rng, told, clustered, independent = np.random.default_rng(5), 300, 0, 0
    for _ in range(told):
        scores, labels, units = alike(rng, 100, 20)
        found = TASK.quality([scores], labels, 0.025)
        wide = found.widened(reach_over_units(TASK.parts([scores], labels), units, 0.025))
        clustered += wide.lower <= AREA <= wide.upper
        independent += found.lower <= AREA <= found.upper
    assert clustered / told >= 0.92
    assert independent / told < 0.75, "and they do not without"


def test_units_of_one_row_each_are_rows() -> None:
    scores, labels, units = alike(np.random.default_rng(6), 2_000, 1)
    found = TASK.quality([scores], labels, 0.025)
    reach = reach_over_units(TASK.parts([scores], labels), units, 0.025)
    assert reach < 1.1 * (found.upper - found.lower) / 2


def test_few_units_tell_nothing() -> None:
    scores, labels, units = alike(np.random.default_rng(7), LEAST_BLOCKS - 1, 500)
    assert math.isinf(reach_over_units(TASK.parts([scores], labels), units, 0.025))
