"""May a candidate be registered? As a table, and as often as it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from windvane.core.acceptance import (
    AcceptancePolicy,
    CandidateFacts,
    ParityReport,
    compare_outputs,
    judge_candidate,
    over_time,
    paired_loss,
)
from windvane.core.task import Quality, TaskSpec, make_task
from windvane.core.verdict import Outcome

PARITY = ParityReport(rows=500, max_difference=1e-7, probes=900, probe_max_difference=2e-7, moved=0)
AUC = Quality("auc", 0.65, 0.6, 0.7, 1_000)
MAE = Quality("mae", 4.0, 3.5, 4.5, 1_000, larger_is_better=False)
WORSE = Quality("loss", 0.02, 0.0, 0.04, 1_000, larger_is_better=False)
GOOD = CandidateFacts(rows=1_000, duplicate_rows=0, quality=AUC, naive=0.5, parity=PARITY)
POLICY = AcceptancePolicy(min_rows=1_000, floor=0.6, parity_tolerance=1e-5)


@pytest.mark.parametrize(
    ("change", "outcome", "code"),
    [
        ({}, Outcome.PASS, "ACC-501"),  # at every limit
        ({"rows": 999}, Outcome.FAIL, "ACC-501"),
        ({"quality": replace(AUC, lower=0.599)}, Outcome.FAIL, "ACC-502"),
        ({"quality": replace(AUC, value=0.9, lower=0.59)}, Outcome.FAIL, "ACC-502"),
        ({"quality": replace(AUC, lower=float("nan"))}, Outcome.FAIL, "ACC-502"),
        ({"quality": replace(AUC, missing="4 more of the rarer label")}, Outcome.FAIL, "ACC-502"),
        ({"parity": replace(PARITY, moved=1)}, Outcome.FAIL, "ACC-503"),
        # Of outputs beyond one the tolerance is relative, so the rows that moved decide.
        ({"parity": replace(PARITY, max_difference=2e-5)}, Outcome.PASS, "ACC-501"),
        ({"parity": None}, Outcome.PASS, "ACC-501"),  # served as it came
        ({"against_champion": WORSE}, Outcome.PASS, "ACC-501"),  # not beyond its error
        ({"against_champion": replace(WORSE, lower=0.01)}, Outcome.FAIL, "ACC-504"),
        ({"against_champion": replace(WORSE, lower=1e-6)}, Outcome.PASS, "ACC-501"),  # rounding
        ({"against_champion": replace(WORSE, lower=1.0, missing="rows")}, Outcome.PASS, "ACC-501"),
        ({"rows": 1, "quality": replace(AUC, lower=0.1)}, Outcome.FAIL, "ACC-501"),
    ],
)
def test_table(change: dict[str, Any], outcome: Outcome, code: str) -> None:
    verdict = judge_candidate(replace(GOOD, **change), POLICY, 0.0)
    assert (verdict.outcome, verdict.code) == (outcome, code)


@pytest.mark.parametrize(
    ("floor", "naive", "outcome"),
    [
        (5.0, float("nan"), Outcome.PASS), (4.4, 9.0, Outcome.FAIL), (None, 4.5, Outcome.PASS),
        (None, 4.4, Outcome.FAIL), (None, None, Outcome.PASS),
    ],
)  # fmt: skip
def test_a_metric_of_which_less_is_better(
    floor: float | None, naive: float | None, outcome: Outcome
) -> None:
    """Without a floor it is the best constant's; where that is nothing, nothing is judged."""
    facts = replace(GOOD, quality=MAE, naive=naive)
    assert judge_candidate(facts, replace(POLICY, floor=floor), 0.0).outcome is outcome


def test_it_says_both_sides() -> None:
    message = judge_candidate(replace(GOOD, rows=999), POLICY, 0.0).sentence
    assert message == "999 training rows, 1,000 needed"
    bad = replace(GOOD, parity=replace(PARITY, moved=3, probe_max_difference=0.24))
    assert judge_candidate(bad, POLICY, 0.0).sentence == (
        "what is served differs from the trained model by 1e-07 on 500 rows and by 0.24 on 900 "
        "probes around splits, 1e-05 allowed"
    )
    low = replace(GOOD, quality=replace(AUC, lower=0.55))
    assert judge_candidate(low, POLICY, 0.0).sentence == (
        "holdout AUC 0.650 (0.550 to 0.700, n=1,000), needed is 0.600"
    )
    few = replace(GOOD, quality=replace(AUC, missing="4 more of the rarer label"))
    assert judge_candidate(few, replace(POLICY, floor=None), 0.0).sentence == (
        "holdout AUC 0.650 (0.600 to 0.700, n=1,000), the best constant has 0.500; missing: 4 more "
        "of the rarer label"
    )
    worse = replace(GOOD, against_champion=replace(WORSE, lower=0.01))
    assert "a row costs +0.02 (+0.01 to +0.04) more than with the champion, n=1,000" in (
        judge_candidate(worse, POLICY, 0.0).sentence
    )


@pytest.mark.parametrize(
    ("spec", "rows", "share"),
    [
        (TaskSpec(), 40, 0.5), (TaskSpec(), 60, 0.25), (TaskSpec(), 200, 0.1),
        (TaskSpec(), 30, 0.2), (TaskSpec("ranking"), 40, 0.5), (TaskSpec("ranking"), 8, 0.4),
    ],
)  # fmt: skip
def test_a_model_without_skill_is_seldom_accepted(spec: TaskSpec, rows: int, share: float) -> None:
    """1,000 small holdouts with a true AUC of .5, judged at 5% without a floor: 50 expected.

    The normal approximation is rough where the rarer label has ten rows, so up to 90 are let
    pass; a point estimate would accept 500 of them.
    """
    rng = np.random.default_rng(rows)
    task, policy = make_task(spec), AcceptancePolicy(min_rows=1)
    accepted = 0
    for _ in range(1_000):
        labels = (rng.random(rows) < share).astype(float)
        quality = task.quality([rng.random(rows)], labels, policy.alpha)
        facts = CandidateFacts(rows, 0, quality, task.naive(labels), None)
        accepted += judge_candidate(facts, policy, 0.0).outcome is Outcome.PASS
    assert accepted <= 90


@pytest.mark.parametrize(("positives", "said"), [(9, "1 more of the rarer label"), (10, "")])
def test_the_rarer_label_needs_ten_rows(positives: int, said: str) -> None:
    """However well they are told apart: with few the bounds are none."""
    labels = np.repeat([1.0, 0.0], [positives, 500])
    for spec in (TaskSpec(), TaskSpec("ranking")):
        quality = make_task(spec).quality([labels * 0.9], labels, 0.05)
        assert bool(quality.missing) == bool(said)
        assert said in quality.missing or spec.kind == "ranking"
        verdict = judge_candidate(
            CandidateFacts(510, 0, quality, 0.5, None), AcceptancePolicy(min_rows=1), 0.0
        )
        assert verdict.failed == bool(said)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_no_skill_in_other_tasks_is_seldom_accepted_either(kind: str) -> None:
    """Answers that know the base rates and nothing of the row, 300 holdouts at 5%: 15 expected
    at most; 33 has p < 1e-4."""
    rng = np.random.default_rng(3)
    classes = ("a", "b", "c") if kind != "regression" else ()
    task, accepted = make_task(TaskSpec(kind, classes=classes)), 0
    for _ in range(300):
        if kind == "multiclass":
            labels = rng.choice(3, 100, p=[0.5, 0.3, 0.2]).astype(float)
            outputs = rng.dirichlet([5, 3, 2], 100)
        elif kind == "multilabel":
            labels = (rng.random((100, 3)) < 0.3).astype(float)
            outputs = np.clip(0.3 + rng.normal(0, 0.05, (100, 3)), 0, 1)
        else:
            labels, outputs = rng.normal(size=100), rng.normal(0, 0.1, 100)
        quality = task.quality([outputs], labels, 0.05)
        facts = CandidateFacts(100, 0, quality, task.naive(labels), None)
        accepted += not judge_candidate(facts, AcceptancePolicy(min_rows=1), 0.0).failed
    assert accepted < 33


def test_outputs_are_compared_on_rows_and_on_probes() -> None:
    rows = np.array([0.1, 0.4999999, 0.9]), np.array([0.1, 0.5000001, 0.9])
    probes = np.array([0.2, 0.2]), np.array([0.2, 0.3])
    found = compare_outputs(rows, probes, 1e-5)
    assert (found.rows, found.probes, found.moved, found.changed_labels) == (3, 2, 1, 1)
    assert found.max_difference == pytest.approx(2e-7)
    assert found.probe_max_difference == pytest.approx(0.1)


def test_the_likeliest_class_is_the_label() -> None:
    one = np.array([[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]])
    other = np.array([[0.3, 0.4, 0.3], [0.2, 0.7, 0.1]])
    found = compare_outputs((one, other), (one[:0], other[:0]), 1e-5)
    assert (found.moved, found.changed_labels) == (2, 1)
    assert found.max_difference == pytest.approx(0.1)


def test_an_output_that_is_no_number_on_one_side_differs_without_bound() -> None:
    nothing = np.empty(0), np.empty(0)
    one_sided = np.array([np.nan, np.nan]), np.array([0.5, np.nan])
    found = compare_outputs(one_sided, nothing, 1e-5)
    assert found.moved == 1
    assert found.max_difference > 1e300
    assert math.isfinite(found.max_difference)  # JSON has no infinity
    facts = replace(GOOD, parity=found)
    assert judge_candidate(facts, POLICY, 0.0).code == "ACC-503"


def test_several_outputs_of_no_probes_are_compared() -> None:
    rows, none = np.array([[0.1, 3.0], [0.2, 4.0]]), np.empty((0, 2))
    found = compare_outputs((rows, rows), (none, none), 1e-5)
    assert (found.rows, found.probes, found.moved, found.changed_labels) == (2, 0, 0, 0)
    assert found.probe_max_difference == 0.0


def _refused(make: Callable[[np.random.Generator], tuple[Any, Any]], tries: int = 300) -> float:
    """How often a candidate that is as good as the champion is refused; nominally .05."""
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(tries):
        gaps, times = make(rng)
        shuffled = rng.permutation(len(times))
        found = paired_loss(gaps[shuffled], np.zeros(len(gaps)), times[shuffled], 0.05)
        refused += not found.missing and found.lower > 0.0
    return refused / tries


def _autoregressive(rng: np.random.Generator, rows: int, phi: float) -> Any:
    noise = rng.normal(0, 1, rows + 500)
    out = np.zeros(rows + 500)
    for i in range(1, len(out)):
        out[i] = phi * out[i - 1] + noise[i]
    return out[500:]


def _hours(rng: np.random.Generator, hours: int, sizes: Any) -> tuple[Any, Any]:
    effects = rng.normal(0, 1, hours)
    hour = np.repeat(np.arange(hours), sizes)
    return effects[hour] + rng.normal(0, 0.5, len(hour)), 3_600.0 * hour + rng.random(len(hour))


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda rng: (rng.normal(0, 1, 200), np.arange(200.0)), 0.08),
        (lambda rng: (_autoregressive(rng, 1_000, 0.9), np.arange(1_000.0)), 0.10),
        (lambda rng: (_autoregressive(rng, 20_000, 0.98), np.arange(20_000.0)), 0.10),
        (lambda rng: _hours(rng, 240, 20), 0.08),
        (lambda rng: _hours(rng, 240, rng.integers(0, 60, 240)), 0.08),
    ],
    ids=["independent", "AR(.9)", "AR(.98), many", "even hours", "uneven hours"],
)  # fmt: skip
def test_equal_candidates_are_refused_about_as_rarely_as_the_policy_says(
    make: Callable[[np.random.Generator], tuple[Any, Any]], most: float
) -> None:
    assert _refused(make) <= most


def _days(rng: np.random.Generator, days: int, rows: int, rate: float, effect: float) -> Any:
    """Scores, labels and times: each day moves scores and labels of all its rows together."""
    day = np.repeat(np.arange(days), rows)
    moved = rng.normal(0, effect, (2, days))
    odds = math.log(rate / (1.0 - rate)) + moved[0][day]
    labels = (rng.random(days * rows) < 1.0 / (1.0 + np.exp(-odds))).astype(float)
    scores = 1.0 / (1.0 + np.exp(-rng.normal(0, 1, days * rows) - moved[1][day]))
    return scores, labels, 86_400.0 * day + 80_000.0 * rng.random(days * rows)


@pytest.mark.parametrize(
    ("days", "most"), [(2, 0.10), (3, 0.10), (4, 0.10), (7, 0.12), (14, 0.10), (30, 0.10)]
)
def test_a_worthless_model_whose_days_differ_is_refused(days: int, most: float) -> None:
    """Rows taken as independent let it in far more often, which is held against here."""
    rng = np.random.default_rng(7)
    task = make_task(TaskSpec("binary"))
    accepted = independent = 0
    for _ in range(300):
        scores, labels, times = _days(rng, days, 60, 0.3, 1.0)
        alone = task.quality([scores], labels, 0.05)
        found = over_time(alone, task.parts([scores], labels), times, 0.05)
        accepted += found.lower > 0.5
        independent += alone.lower > 0.5
    assert accepted / 300 <= most
    assert independent > 1.5 * max(accepted, 15)


def test_a_good_model_whose_days_differ_is_still_accepted() -> None:
    rng = np.random.default_rng(8)
    task = make_task(TaskSpec("binary"))
    accepted = 0
    for _ in range(100):
        noise, labels, times = _days(rng, 30, 60, 0.3, 0.5)
        scores = np.clip(noise * 0.7 + 0.2 * labels, 0.0, 1.0)
        found = over_time(
            task.quality([scores], labels, 0.05), task.parts([scores], labels), times, 0.05
        )
        accepted += found.lower > 0.6
    assert accepted >= 95


@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass", "ranking"])
def test_the_parts_of_every_task_add_up_to_nothing_and_widen_its_bounds(kind: str) -> None:
    rng = np.random.default_rng(9)
    task = make_task(TaskSpec(kind, classes=("a", "b") if kind == "multiclass" else ()))
    labels = np.repeat(rng.random(20) < 0.5, 50).astype(float)
    noise = np.repeat(rng.normal(0, 0.2, 20), 50) + rng.normal(0, 0.01, 1_000)
    scores = np.clip(0.5 + noise, 0.01, 0.99)
    outputs = [np.stack([scores, 1.0 - scores], axis=1)] if kind == "multiclass" else [scores]
    parts = task.parts(outputs, labels)
    assert parts.mean() == pytest.approx(0.0, abs=1e-9)
    alone = task.quality(outputs, labels, 0.05).by_seen()
    found = over_time(alone, parts, 3_600.0 * np.arange(1_000) / 50, 0.05)
    assert found.value == alone.value
    assert found.upper - found.lower > 2.0 * (alone.upper - alone.lower)


def test_an_auc_well_below_one_half_asks_whether_labels_are_mixed_up() -> None:
    facts = replace(GOOD, quality=replace(AUC, value=0.152, lower=0.131, upper=0.172))
    judged = judge_candidate(facts, POLICY, 0.0)
    assert judged.outcome is Outcome.FAIL
    assert judged.sentence.endswith("the other way round it has 0.848: are labels mixed up?")


def test_rows_of_one_moment_are_judged_as_they_are() -> None:
    rng = np.random.default_rng(10)
    labels, scores = (rng.random(500) < 0.5).astype(float), rng.random(500)
    task = make_task(TaskSpec("binary"))
    alone = task.quality([scores], labels, 0.05)
    found = over_time(alone, task.parts([scores], labels), np.zeros(500), 0.05)
    assert found.lower == pytest.approx(alone.lower, abs=0.03)
    missing = replace(alone, missing="rows")
    assert over_time(missing, np.ones(500), np.arange(500.0), 0.05) is missing


def test_losses_that_are_no_numbers_and_rows_of_one_moment_are_no_evidence() -> None:
    times = np.arange(200.0)
    nothing = paired_loss(np.full(200, np.nan), np.zeros(200), times, 0.05)
    infinite = paired_loss(np.full(200, np.inf), np.zeros(200), times, 0.05)
    assert nothing.missing == infinite.missing == "a loss of every row"
    batches = np.repeat([0.0, 1.0, 1_000.0], 100)
    assert "rows over more time" in paired_loss(np.ones(300), np.zeros(300), batches, 0.05).missing
    for facts in (nothing, infinite):
        judged = judge_candidate(replace(GOOD, against_champion=facts), POLICY, 0.0)
        assert judged.outcome is Outcome.PASS


def test_a_ranking_is_compared_by_order_and_not_by_the_scale_of_its_scores() -> None:
    rng = np.random.default_rng(2)
    relevant = (rng.random(2_000) < 0.3).astype(float)
    score = relevant + rng.normal(0, 0.7, 2_000)
    task = make_task(TaskSpec("ranking"))
    plain, scaled = (task.holdout_losses([s], relevant) for s in (score, 50.0 * score - 9.0))
    assert np.allclose(plain, scaled)
    poor = task.holdout_losses([rng.normal(0, 1, 2_000)], relevant)
    assert paired_loss(poor, plain, np.arange(2_000.0), 0.05).lower > 0.0


def test_a_worse_candidate_may_be_taken_with_a_reason() -> None:
    worse = replace(GOOD, against_champion=replace(WORSE, lower=0.01), accepted="the law changed")
    judged = judge_candidate(worse, POLICY, 0.0)
    assert judged.outcome is Outcome.PASS


def test_a_worse_candidate_is_found_and_few_rows_are_no_evidence() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(2_000, dtype=float)
    losses = rng.normal(1.0, 0.5, (2, 2_000))
    worse = paired_loss(losses[0] + 0.1, losses[1], times, 0.05)
    assert worse.lower > 0.0
    assert worse.value == pytest.approx(0.1, abs=0.05)
    few = paired_loss(losses[0][:99] + 5.0, losses[1][:99], times[:99], 0.05)
    assert few.missing == "1 more rows that both answer"
    facts = replace(GOOD, against_champion=few)
    assert judge_candidate(facts, POLICY, 0.0).outcome is Outcome.PASS


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_worse_than_the_champion_is_worse_in_every_unit(unit: float) -> None:
    """Losses in millionths were all below the tolerance once, thirty times as large or not."""
    worse = Quality("loss", 0.23 * unit, 0.226 * unit, 0.234 * unit, 1_000, False)
    facts = replace(GOOD, against_champion=worse, champion_loss=0.01 * unit)
    assert judge_candidate(facts, POLICY, 0.0).code == "ACC-504"
    rounding = Quality("loss", 5e-8 * unit, 4e-8 * unit, 6e-8 * unit, 1_000, False)
    equal = replace(facts, against_champion=rounding)
    assert judge_candidate(equal, POLICY, 0.0).outcome is Outcome.PASS


def test_better_than_the_constant_is_judged_row_by_row() -> None:
    policy = replace(POLICY, floor=None)
    facts = replace(GOOD, quality=MAE, naive=4.2)
    better = Quality("mae", -0.3, -0.5, -0.1, 1_000, False)
    unsure = replace(better, upper=0.1)
    assert judge_candidate(replace(facts, over_naive=better), policy, 0.0).outcome is Outcome.PASS
    refused = judge_candidate(replace(facts, over_naive=unsure), policy, 0.0)
    assert (refused.outcome, refused.code) == (Outcome.FAIL, "ACC-502")
    assert "a row is -0.3 (-0.5 to +0.1) worse" in refused.sentence
    few = replace(better, missing="20 more rows with an outcome")
    assert "20 more rows" in judge_candidate(replace(facts, over_naive=few), policy, 0.0).sentence


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_a_model_as_bad_as_the_constant_is_taken_as_seldom_as_it_says(law: str) -> None:
    """By the constant's point estimate it was taken in a quarter of holdouts; 300 of 1,000 rows."""
    dice = np.random.default_rng(11)
    task = make_task(TaskSpec("regression"))
    accepted = 0
    for _ in range(300):
        labels = dice.normal(size=1_000) if law == "normal" else dice.lognormal(0.0, 1.5, 1_000)
        median = 0.0 if law == "normal" else 1.0
        noise = dice.normal(size=1_000) * 0.4
        said = median + noise  # as good as nothing, and no better
        gaps = task.over_naive([said], labels)
        assert gaps is not None
        accepted += Quality.of_losses("mae", gaps, 0.05).by_seen().upper <= 0.0
    assert accepted <= 300 * 0.08


@pytest.mark.parametrize("rows", [0, 2, 29])
def test_few_rows_say_nothing_of_losses(rows: int) -> None:
    """A regression passed on two rows once."""
    found = Quality.of_losses("mae", np.full(rows, 0.1), 0.05)
    assert found.missing == f"{30 - rows} more rows with an outcome"
    facts = replace(GOOD, quality=found, naive=5.0)
    assert judge_candidate(facts, replace(POLICY, floor=None), 0.0).outcome is Outcome.FAIL


def test_all_quantiles_are_judged() -> None:
    """A perfect ninth decile was refused, and an interval of no width passed for a right one."""
    dice = np.random.default_rng(3)
    labels = dice.normal(size=4_000)
    ninth = make_task(TaskSpec("regression", quantiles=(0.9,)))
    perfect = [np.full((4_000, 1), 1.2816)]
    assert ninth.metric == "pinball"
    naive = ninth.naive(labels)
    assert ninth.quality(perfect, labels, 0.05).value == pytest.approx(naive, rel=0.02)
    three = make_task(TaskSpec("regression", quantiles=(0.1, 0.5, 0.9)))
    right = [np.tile([-1.2816, 0.0, 1.2816], (4_000, 1))]
    narrow = [np.tile([-0.001, 0.0, 0.001], (4_000, 1))]
    times = np.arange(4_000.0)
    ours, theirs = (three.holdout_losses(one, labels) for one in (narrow, right))
    assert paired_loss(ours, theirs, times, 0.05).lower > 0.05


def test_equal_scores_of_a_ranking_cost_the_same_in_every_order() -> None:
    task = make_task(TaskSpec("ranking"))
    labels = np.repeat([0.0, 1.0], 50)
    zeros = [np.zeros(100)]
    assert task.holdout_losses(zeros, labels).mean() == pytest.approx(
        task.holdout_losses(zeros, labels[::-1]).mean()
    )
