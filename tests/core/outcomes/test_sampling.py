"""What a sample of labels says of all rows is unbiased, and its interval holds the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from windvane.core.outcomes import (
    SampledFacts,
    SampledMetric,
    SampledPolicy,
    draw_scale,
    inclusion_probability,
    is_drawn,
    judge_sampled_labels,
    sampled_metrics,
    sampled_quality,
    uncertainty_size,
)
from windvane.core.statistics import auc, auc_parts, weighted_auc
from windvane.core.task import Quality, Task, TaskSpec, make_task
from windvane.core.verdict import Outcome

Floats = NDArray[np.float64]
RNG = np.random.default_rng(5)
BINARY = make_task(TaskSpec("binary"))
CLASSES = make_task(TaskSpec("multiclass", classes=("a", "b", "c")))
NUMBERS = make_task(TaskSpec("regression"))
ROWS = 20_000


def binary() -> tuple[list[Floats], Floats]:
    said = RNG.beta(0.6, 1.2, ROWS)
    return [said], (RNG.random(ROWS) < said).astype(float)


def classes() -> tuple[list[Floats], Floats]:
    said = RNG.dirichlet((0.5, 0.5, 0.5), ROWS)
    labels = (RNG.random(ROWS)[:, None] > said.cumsum(axis=1)).sum(axis=1)
    return [said], np.minimum(labels, 2).astype(float)


def numbers() -> tuple[list[Floats], Floats]:
    said = RNG.normal(size=ROWS)
    return [said], said + RNG.normal(size=ROWS) * (1.0 + np.abs(said))


def chances_of(task: Task, outputs: list[Floats], rows: int) -> Floats:
    """As by uncertainty, where the task has some; else as of strata."""
    if task.has_confidence:
        held = [task.confidence((one,)) for one in outputs[0].tolist()]
        sizes = np.array([uncertainty_size(one or 0.0) for one in held])
    else:
        sizes = np.where(outputs[0] > 0.8, 1.0, 0.2)
    scale = draw_scale(sizes, rows)
    return np.array([inclusion_probability(size, scale) for size in sizes])


@pytest.mark.parametrize(
    ("task", "make"), [(BINARY, binary), (CLASSES, classes), (NUMBERS, numbers)]
)
def test_it_is_unbiased_and_the_interval_holds_the_truth(task: Task, make: Any) -> None:
    outputs, labels = make()
    everything = np.ones(ROWS)
    truth = task.weighted(outputs, labels, everything)[0]
    chances = chances_of(task, outputs, 400)
    found: list[Quality] = []
    plain: list[float] = []
    for _ in range(300):
        drawn = RNG.random(ROWS) < chances
        part = [one[drawn] for one in outputs]
        found.append(sampled_quality(task, part, labels[drawn], chances[drawn], 0.025))
        plain.append(task.weighted(part, labels[drawn], np.ones(int(drawn.sum())))[0])
    values = np.array([one.value for one in found])
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - truth) < 4.0 * error
    assert abs(np.mean(plain) - truth) > 8.0 * error, "that it is weighted makes the difference"
    held = np.mean([one.lower <= truth <= one.upper for one in found])
    assert held >= 0.93
    width = np.mean([one.upper - one.unseen - one.lower for one in found])
    assert width < 7.0 * values.std(), "and it is no wider than it has to be"


def test_metrics_that_are_means_have_intervals_that_hold_the_truth() -> None:
    outputs, labels = binary()
    chances = chances_of(BINARY, outputs, 400)
    truth = {name: one.mean() for name, one in BINARY.row_metrics(outputs, labels).items()}
    assert set(truth) == {"accuracy", "brier", "log_loss", "base_rate"}
    held = dict.fromkeys(truth, 0)
    for _ in range(200):
        drawn = RNG.random(ROWS) < chances
        found = sampled_metrics(BINARY, [outputs[0][drawn]], labels[drawn], chances[drawn])
        for name, one in found.items():
            held[name] += one.lower <= truth[name] <= one.upper
    assert min(held.values()) >= 183, held


@pytest.mark.parametrize("rows", [50, 100, 200, 400, 600])
def test_rare_blunders_that_nobody_labelled_pass_no_ceiling(rows: int) -> None:
    """One row of a hundred is wrong by 50 times as much, and the true MAE is 1.19: of 600 at 2.5%
    at most 15 may pass, with three errors 27. It was 44% of them at 100 rows."""
    rng = np.random.default_rng(rows)
    passed = below = 0
    for _ in range(600):
        said = rng.normal(size=rows) * np.where(rng.random(rows) < 0.01, 50.0, 1.0)
        chances = np.full(rows, rows / 1e5)
        found = sampled_quality(NUMBERS, [said], np.zeros(rows), chances, 0.025)
        facts = replace(FACTS, quality=found, drawn=rows, labelled=rows, holdout=None)
        passed += judge_sampled_labels(facts, SampledPolicy(1.1), 0.0).outcome is Outcome.PASS
        below += found.upper < 1.189
    assert passed <= 27
    assert below <= 27, "and the bound itself is above the truth"


def test_a_few_hundred_labels_of_a_healthy_model_pass_a_ceiling_that_is_well_above() -> None:
    rng = np.random.default_rng(1)
    told = sum(
        sampled_quality(
            NUMBERS, [rng.normal(size=300)], np.zeros(300), np.full(300, 0.003), 0.025
        ).at_least(1.6)
        for _ in range(100)
    )
    assert told >= 90


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_metrics_of_rows_that_are_nearly_all_right_have_intervals_that_hold_the_truth(
    kind: str,
) -> None:
    """99.5% right, 110 rows drawn by uncertainty: of 400 at 2.5% each side at most 20 may lie
    beyond both bounds, with three errors 33. Of the accuracy it was 276, of the log loss 248."""
    rng = np.random.default_rng(2)
    sure = np.where(rng.random(ROWS) < 0.93, rng.uniform(0.99, 0.9995, ROWS),
                    rng.uniform(0.6, 0.99, ROWS))  # fmt: skip
    wrong = rng.random(ROWS) < 0.005
    if kind == "binary":
        task, yes = BINARY, rng.random(ROWS) < 0.5
        said, labels = np.where(yes, sure, 1.0 - sure), (yes ^ wrong).astype(float)
    else:
        task, said = CLASSES, np.stack([sure, 0.7 * (1.0 - sure), 0.3 * (1.0 - sure)], axis=1)
        labels = wrong * rng.integers(1, 3, ROWS).astype(float)
    sizes = np.array([uncertainty_size(one) for one in sure.tolist()])
    scale = draw_scale(sizes, 110)
    chances = np.array([inclusion_probability(size, scale) for size in sizes])
    truth = {name: one.mean() for name, one in task.row_metrics([said], labels).items()}
    beyond = dict.fromkeys(truth, 0)
    for _ in range(400):
        drawn = rng.random(ROWS) < chances
        held = [said[drawn]], labels[drawn], chances[drawn]
        found = sampled_metrics(task, *held)
        for name, one in found.items():
            beyond[name] += not one.lower <= truth[name] <= one.upper
        if task.metric in found:
            whole = sampled_quality(task, *held, 0.025)
            assert found[task.metric] == SampledMetric(whole.value, whole.lower, whole.upper)
    assert max(beyond.values()) <= 33, beyond


def test_a_signed_mean_is_bounded_on_both_sides() -> None:
    task = make_task(TaskSpec("regression", low=0.0, high=10.0))
    said = np.full(100, 5.0)
    found = sampled_metrics(task, [said], said, np.full(100, 0.01))
    share = 1.0 - 0.025 ** (1 / 100)
    assert found["bias"].upper == -found["bias"].lower == pytest.approx(share * 10.0)
    assert (found["mae"].lower, found["mae"].upper) == (0.0, found["bias"].upper)


def test_labels_of_all_rows_leave_no_sampling_error() -> None:
    outputs, labels = binary()
    found = sampled_quality(BINARY, outputs, labels, np.ones(ROWS), 0.025)
    assert found.lower == found.value == found.upper == pytest.approx(auc(outputs[0], labels > 0.5))


def test_labels_that_are_all_right_do_not_say_that_all_are() -> None:
    said = np.tile([0.9, 0.05, 0.05], (60, 1))
    found = sampled_quality(CLASSES, [said], np.zeros(60), np.full(60, 0.01), 0.025)
    assert found.value == 1.0
    assert found.lower == pytest.approx(0.025 ** (1 / 60))  # Clopper and Pearson


def test_too_few_labels_are_said() -> None:
    said, labels = np.linspace(0.1, 0.9, 40), np.arange(40) >= 36
    found = sampled_quality(BINARY, [said], labels.astype(float), np.full(40, 0.1), 0.025)
    assert found.missing == "6 more of the rarer label"
    assert (
        sampled_quality(NUMBERS, [said[:1]], said[:1], said[:1], 0.025).missing == "1 more labels"
    )
    assert sampled_metrics(NUMBERS, [said[:1]], said[:1], said[:1]) == {}


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=60),
    st.integers(1, 80),
)
def test_probabilities_add_up_to_the_rows_that_were_asked_for(
    sizes: list[float], rows: int
) -> None:
    held = np.array(sizes)
    found = np.minimum(1.0, draw_scale(held, rows) * held)
    assert found.sum() == pytest.approx(min(rows, len(sizes)))


def test_a_draw_follows_from_names_and_has_its_probability() -> None:
    span = (0.0, 60.0)
    drawn = [is_drawn("m", span, (f"p{i}", 0), 0.2) for i in range(20_000)]
    assert np.mean(drawn) == pytest.approx(0.2, abs=0.012)
    assert drawn == [is_drawn("m", span, (f"p{i}", 0), 0.2) for i in range(20_000)]
    other = [is_drawn("m", (0.0, 61.0), (f"p{i}", 0), 0.2) for i in range(20_000)]
    both = np.mean(np.array(drawn) & np.array(other))
    assert both == pytest.approx(0.04, abs=0.006), "another span draws others"


def test_with_equal_weights_the_area_is_the_plain_one() -> None:
    scores = RNG.integers(0, 20, 500) / 20.0
    labels = RNG.random(500) < scores
    area, parts = weighted_auc(scores, labels, np.full(500, 3.0))
    assert area == pytest.approx(auc(scores, labels))
    assert parts == pytest.approx(auc_parts(scores, labels))
    times = RNG.integers(1, 5, 500)
    area, parts = weighted_auc(scores, labels, times.astype(float))
    assert area == pytest.approx(auc(np.repeat(scores, times), np.repeat(labels, times)))
    assert float((parts * times).sum()) == pytest.approx(0.0, abs=1e-9)


GOOD = Quality("auc", 0.72, 0.70, 0.74, 900)
FACTS = SampledFacts("s", "3", 0.0, 60.0, 9_000, 1_000, 900, "ana", False, "d", GOOD, 0.7)
BAD = replace(FACTS, quality=Quality("auc", 0.5, 0.48, 0.52, 900))


@pytest.mark.parametrize(
    ("facts", "floor", "code"),
    [
        (FACTS, 0.6, "OUT-400"),
        (FACTS, None, "OUT-431"),
        (BAD, 0.6, "OUT-401"),
        (replace(BAD, simulated=True), 0.6, "OUT-432"),
        (replace(FACTS, simulated=True), 0.6, "OUT-432"),
        (replace(BAD, labelled=799), 0.6, "OUT-433"),
    ],
)
def test_it_is_judged_by_the_floor_unless_labels_are_no_evidence(
    facts: SampledFacts, floor: float | None, code: str
) -> None:
    found = judge_sampled_labels(facts, SampledPolicy(floor), 0.0)
    assert found.code == code
    assert f"from {facts.labelled} sampled labels by ana" in found.sentence
