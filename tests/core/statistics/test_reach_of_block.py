"""How far one block may be from what blocks have in the long run, by how earlier ones differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from windvane.core.outcomes import OutcomeFacts, OutcomePolicy, judge_outcomes
from windvane.core.statistics import LEAST_EARLIER, reach_of_block
from windvane.core.task import Quality


def test_the_bound_is_missed_as_often_as_was_asked_for() -> None:
    """20,000 blocks after five others, of one law."""
    rng, runs = np.random.default_rng(1), 20_000
    blocks = rng.normal(0.7, 0.02, (runs, 6))
    reach = np.array([reach_of_block(one[:5], 0.05) for one in blocks])
    assert float(np.mean(blocks[:, 5] + reach < 0.7)) == pytest.approx(0.05, abs=0.006)


def test_few_blocks_do_not_say_how_much_they_differ() -> None:
    assert math.isinf(reach_of_block(np.zeros(LEAST_EARLIER - 1), 0.01))


@pytest.mark.parametrize(
    ("value", "holdout", "code"),
    [(0.70, None, "OUT-400"), (0.50, None, "OUT-401"), (0.62, 0.75, "OUT-404")],
)
def test_the_newest_block_alone_may_fail(value: float, holdout: float | None, code: str) -> None:
    span = Quality("auc", 0.72, 0.71, 0.73, 4_000)
    newest = Quality("auc", value, value - 0.03, value + 0.03, 600)
    facts = OutcomeFacts("1", span, holdout, newest, 100.0)
    found = judge_outcomes(facts, OutcomePolicy(0.6), 0.0)
    assert found.code == code
    assert found.sentence.startswith("the newest block alone has ") == found.failed
