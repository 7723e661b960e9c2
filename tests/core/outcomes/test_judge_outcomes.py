"""Is the metric on the wrong side of its floor, beyond its sampling error?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from windvane.core.outcomes import OutcomePolicy, judge_outcomes
from windvane.core.task import Quality, TaskSpec, make_task
from windvane.core.verdict import Outcome

AUC = Quality("auc", 0.5, 0.45, 0.55, 1_000)
MAE = Quality("mae", 4.0, 3.5, 4.5, 1_000, larger_is_better=False)


@pytest.mark.parametrize(
    ("facts", "floor", "outcome", "code"),
    [
        (AUC, 0.5, Outcome.PASS, "OUT-400"),
        (AUC, 0.55, Outcome.PASS, "OUT-400"),  # at its bound
        (AUC, 0.551, Outcome.FAIL, "OUT-401"),
        (MAE, 4.0, Outcome.PASS, "OUT-400"),
        (MAE, 3.5, Outcome.PASS, "OUT-400"),
        (MAE, 3.49, Outcome.FAIL, "OUT-401"),
        (replace(AUC, rows=49), 0.9, Outcome.HOLD, "OUT-402"),
        (replace(AUC, missing="3 more of the rarer label"), 0.9, Outcome.HOLD, "OUT-402"),
    ],
)
def test_table(facts: Quality, floor: float, outcome: Outcome, code: str) -> None:
    verdict = judge_outcomes(facts, OutcomePolicy(floor), 0.0)
    assert (verdict.outcome, verdict.code) == (outcome, code)
    assert (verdict.missing != "") == (outcome is Outcome.HOLD)


def test_it_says_both_sides() -> None:
    assert judge_outcomes(AUC, OutcomePolicy(0.62), 0.0).sentence == (
        "AUC 0.500 (0.450 to 0.550), floor 0.620, n=1,000"
    )
    assert judge_outcomes(MAE, OutcomePolicy(3.0), 0.0).sentence == (
        "MAE 4.000 (3.500 to 4.500), ceiling 3.000, n=1,000"
    )
    few = judge_outcomes(replace(AUC, rows=3), OutcomePolicy(0.62), 0.0)
    assert few.missing == "47 outcomes"


def test_a_model_at_the_floor_is_seldom_blamed() -> None:
    """300 windows of 100 + 100 scores with true AUC .5 and floor .5: alpha is 1%, so 3 expected;
    over 10 has probability below .1%."""
    rng = np.random.default_rng(5)
    task, policy = make_task(TaskSpec()), OutcomePolicy(0.5)
    labels = np.repeat([1.0, 0.0], 100)
    failed = sum(
        judge_outcomes(
            task.quality([rng.integers(0, 10, 200) / 10.0], labels, policy.alpha), policy, 0.0
        ).failed
        for _ in range(300)
    )
    assert failed <= 10


def test_a_model_that_lost_its_skill_is_blamed() -> None:
    rng = np.random.default_rng(6)
    labels = (rng.random(4_000) < 0.2).astype(float)
    quality = make_task(TaskSpec()).quality([rng.random(4_000)], labels, 0.01)
    assert judge_outcomes(quality, OutcomePolicy(0.62), 0.0).failed
