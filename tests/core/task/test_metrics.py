"""Losses and metrics against scikit-learn, and bounds that hold as often as they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from windvane.core.task import Task, TaskSpec, make_task

Floats = NDArray[np.float64]
CLASSES = ("a", "b", "c")


def softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def binary(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    labels = (rng.random(rows) < 0.3).astype(float)
    odds = rng.normal(-1.0, 1.0, rows) + 1.2 * labels
    return np.round(1.0 / (1.0 + np.exp(-odds)), 2), labels  # rounded: ties


def test_binary() -> None:
    scores, labels = binary(np.random.default_rng(1), 3_000)
    found = make_task(TaskSpec()).metrics([scores], labels)
    assert found["auc"] == pytest.approx(float(sk.roc_auc_score(labels, scores)), abs=1e-12)
    assert found["brier"] == pytest.approx(float(sk.brier_score_loss(labels, scores)))
    assert found["log_loss"] == pytest.approx(float(sk.log_loss(labels, scores)))
    assert found["base_rate"] == labels.mean()
    assert make_task(TaskSpec()).losses([scores], labels).mean() == pytest.approx(found["brier"])


def test_multiclass() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 2_000)
    found = softmax(rng.normal(size=(2_000, 3)) + 1.5 * np.eye(3)[truth])
    task = make_task(TaskSpec("multiclass", classes=CLASSES))
    got = task.metrics([found], truth.astype(float))
    assert got["accuracy"] == pytest.approx(float(sk.accuracy_score(truth, found.argmax(axis=1))))
    assert got["log_loss"] == pytest.approx(float(sk.log_loss(truth, found)))
    area = sk.roc_auc_score(truth, found, multi_class="ovr", average="macro")
    assert got["auc"] == pytest.approx(float(area), abs=1e-12)
    per_class = [sk.brier_score_loss(truth == i, found[:, i]) for i in range(3)]
    assert got["brier"] == pytest.approx(0.5 * float(np.sum(per_class)))
    losses = task.losses([found], truth.astype(float))
    assert ((losses >= 0.0) & (losses <= 1.0)).all()
    assert task.losses([np.eye(3)[truth]], truth.astype(float)).tolist() == [0.0] * 2_000


def test_two_classes_cost_what_a_binary_model_costs() -> None:
    scores, labels = binary(np.random.default_rng(3), 500)
    two = make_task(TaskSpec("multiclass", classes=("no", "yes")))
    both = np.stack([1.0 - scores, scores], axis=1)
    one = make_task(TaskSpec()).losses([scores], labels)
    assert two.losses([both], labels) == pytest.approx(one)


def test_multilabel() -> None:
    rng = np.random.default_rng(4)
    truth = (rng.random((2_000, 3)) < [0.1, 0.5, 0.3]).astype(float)
    found = np.clip(0.4 * truth + rng.random((2_000, 3)) * 0.6, 0, 1)
    task = make_task(TaskSpec("multilabel", classes=CLASSES))
    got = task.metrics([found], truth)
    assert got["f1"] == pytest.approx(float(sk.f1_score(truth, found >= 0.5, average="micro")))
    assert got["exact_match"] == pytest.approx(float(sk.accuracy_score(truth, found >= 0.5)))
    assert got["auc"] == pytest.approx(float(sk.roc_auc_score(truth, found)), abs=1e-12)
    brier = np.mean([sk.brier_score_loss(truth[:, i], found[:, i]) for i in range(3)])
    assert got["brier"] == pytest.approx(float(brier))


def test_regression() -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(50.0, 10.0, 1_000)
    found = truth + rng.normal(1.0, 4.0, 1_000)
    task = make_task(TaskSpec("regression"))
    got = task.metrics([found], truth)
    assert got["mae"] == pytest.approx(float(sk.mean_absolute_error(truth, found)))
    assert got["rmse"] == pytest.approx(float(sk.root_mean_squared_error(truth, found)))
    assert got["r2"] == pytest.approx(float(sk.r2_score(truth, found)))
    assert got["bias"] == pytest.approx(float((found - truth).mean()))
    assert task.losses([found], truth) == pytest.approx(np.abs(found - truth))


def test_regression_with_several_outputs() -> None:
    rng = np.random.default_rng(6)
    truth = rng.normal(size=(500, 2)) * [1.0, 5.0]
    found = truth + rng.normal(size=(500, 2))
    task = make_task(TaskSpec("regression", outputs={"a": (), "b": ()}))
    got = task.metrics([found[:, 0], found[:, 1]], truth)
    assert got["mae"] == pytest.approx(float(sk.mean_absolute_error(truth, found)))
    pooled = 1 - ((found - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum()
    assert got["r2"] == pytest.approx(float(pooled))


@pytest.mark.parametrize("horizons", [(), ("1h", "2h")])
def test_quantiles(horizons: tuple[str, ...]) -> None:
    """The pinball loss, the share inside, and the middle one as the point."""
    rng = np.random.default_rng(7)
    levels = (0.1, 0.5, 0.9)
    inner = (len(horizons),) if horizons else ()
    truth = rng.normal(size=(800, *inner))
    found = np.array([-1.2, 0.1, 1.3]) + rng.normal(0, 0.1, (800, *inner, 3))
    task = make_task(TaskSpec("regression", quantiles=levels, horizons=horizons))
    got = task.metrics([found], truth)
    loss = np.mean(
        [
            sk.mean_pinball_loss(truth.ravel(), found[..., i].ravel(), alpha=level)
            for i, level in enumerate(levels)
        ]
    )
    assert got["pinball"] == pytest.approx(float(loss))
    inside = (truth >= found[..., 0]) & (truth <= found[..., 2])
    assert got["coverage"] == pytest.approx(float(inside.mean()))
    middle = sk.mean_absolute_error(truth.ravel(), found[..., 1].ravel())
    assert got["mae"] == pytest.approx(float(middle))
    row = task.rows([found[:1]])[0]
    assert row is not None
    named = task.named(row)["value"]
    held = named["1h"] if horizons else named
    assert list(held) == ["0.1", "0.5", "0.9"]


def test_ranking() -> None:
    rng = np.random.default_rng(8)
    relevance = rng.integers(0, 4, 400).astype(float)
    scores = rng.normal(size=400) + 0.5 * relevance
    task = make_task(TaskSpec("ranking", at=20))
    got = task.metrics([scores], relevance)
    ndcg = sk.ndcg_score([2.0**relevance - 1.0], [scores], k=20)
    assert got["ndcg_at_20"] == pytest.approx(float(ndcg))
    best = np.argsort(-scores)[:20]
    assert got["precision_at_20"] == pytest.approx(float((relevance[best] > 0).mean()))
    assert got["auc"] == pytest.approx(float(sk.roc_auc_score(relevance > 0, scores)), abs=1e-12)


def test_a_tensor_is_judged_by_its_score_alone() -> None:
    spec = TaskSpec("tensor", outputs={"e": (2,), "score": (1,)}, score="score")
    task = make_task(spec)
    outputs = [np.zeros((3, 2)), np.array([[1.0], [2.0], [3.0]])]
    labels = np.array([1.0, 1.0, 1.0])
    assert task.losses(outputs, labels).tolist() == [0.0, 1.0, 2.0]
    assert task.metrics(outputs, labels) == {"mae": 1.0}
    silent = make_task(TaskSpec("tensor", outputs={"e": (2,)}))
    assert silent.metrics(outputs[:1], labels) == {}
    assert silent.quality(outputs[:1], labels, 0.05).missing
    assert silent.naive(labels) is None


@given(st.integers(0, 2**31))
def test_a_perfect_answer_costs_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 8).astype(float)
    assert make_task(TaskSpec()).losses([labels], labels).tolist() == [0.0] * 8
    hot = rng.integers(0, 2, (8, 3)).astype(float)
    assert make_task(TaskSpec("multilabel", classes=CLASSES)).losses([hot], hot).max() == 0.0


def holdouts(kind: str, rng: np.random.Generator, rows: int) -> tuple[Task, Any, Floats]:
    """Outputs of a task and labels, from one world whose metric is known."""
    if kind == "binary":
        scores, labels = binary(rng, rows)
        return make_task(TaskSpec()), [scores], labels
    if kind == "multiclass":
        truth = rng.integers(0, 3, rows)
        found = softmax(rng.normal(size=(rows, 3)) + 1.5 * np.eye(3)[truth])
        return make_task(TaskSpec("multiclass", classes=CLASSES)), [found], truth.astype(float)
    if kind == "multilabel":
        truth = (rng.random((rows, 3)) < 0.4).astype(float)
        found = 0.5 * truth + 0.5 * rng.random((rows, 3))
        return make_task(TaskSpec("multilabel", classes=CLASSES)), [found], truth
    if kind == "regression":
        truth = rng.normal(size=rows)
        return make_task(TaskSpec("regression")), [truth + rng.normal(0.0, 0.5, rows)], truth
    relevance = rng.integers(0, 3, rows).astype(float)
    return make_task(TaskSpec("ranking")), [rng.normal(size=rows) + relevance], relevance


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression", "ranking"])
def test_bounds_hold_as_often_as_they_say(kind: str) -> None:
    """600 holdouts of 300 rows at 5%: 30 misses expected on each side; 55 has p < 1e-5."""
    rng = np.random.default_rng(11)
    task, outputs, labels = holdouts(kind, rng, 300_000)
    truth = task.quality(outputs, labels, 0.05).value
    low = high = 0
    for _ in range(600):
        _, outputs, labels = holdouts(kind, rng, 300)
        found = task.quality(outputs, labels, 0.05)
        assert found.lower <= found.value <= found.upper
        assert (found.metric, found.rows) == (task.metric, 300)
        assert found.larger_is_better == task.larger_is_better
        low += found.lower > truth
        high += found.upper < truth
    assert low < 55
    assert high < 55


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_naive_is_what_the_best_constant_has(kind: str) -> None:
    task, outputs, labels = holdouts(kind, np.random.default_rng(12), 2_001)
    if kind == "binary":
        constant = np.full(2_001, labels.mean())
    elif kind == "multiclass":
        constant = np.tile(np.eye(3)[int(np.bincount(labels.astype(int)).argmax())], (2_001, 1))
    elif kind == "multilabel":
        constant = np.tile(labels.mean(axis=0), (2_001, 1))
    else:
        constant = np.full(2_001, np.median(labels))
    assert task.quality([constant], labels, 0.05).value == pytest.approx(task.naive(labels))
    better = task.quality(outputs, labels, 0.05)
    assert better.at_least(task.naive(labels))
    assert not better.worse_than(task.naive(labels))


RANGES = (
    TaskSpec("binary"),
    TaskSpec("multiclass", classes=("a", "b", "c")),
    TaskSpec("multilabel", classes=("a", "b")),
    TaskSpec("regression"),
    TaskSpec("regression", low=-1.0, high=3.0),
    TaskSpec("regression", low=-1.0, high=3.0, quantiles=(0.1, 0.9)),
)


@pytest.mark.parametrize("spec", RANGES, ids=lambda spec: f"{spec.kind}{spec.quantiles}")
def test_no_label_takes_a_row_out_of_the_range_of_its_metrics(spec: TaskSpec) -> None:
    task, rng = make_task(spec), np.random.default_rng(1)
    said: dict[str, Any] = {
        "binary": rng.random(50),
        "multiclass": rng.dirichlet(np.ones(3), 50),
        "multilabel": rng.random((50, 2)),
        "regression": rng.uniform(-1.0, 3.0, (50, len(spec.quantiles)) if spec.quantiles else 50),
    }
    outputs = [said[spec.kind]]
    for _ in range(20):
        labels = {
            "binary": rng.integers(0, 2, 50).astype(float),
            "multiclass": rng.integers(0, 3, 50).astype(float),
            "multilabel": rng.integers(0, 2, (50, 2)).astype(float),
            "regression": rng.choice([-1.0, 0.5, 3.0], 50),
        }[spec.kind]
        found, ranges = task.row_metrics(outputs, labels), task.row_ranges(outputs)
        assert set(found) == set(ranges)
        for name, values in found.items():
            least, most = ranges[name]
            assert least <= values.min() + 1e-12, name
            assert values.max() - 1e-12 <= most, name


def test_an_answer_is_right_by_its_class_or_within_a_loss() -> None:
    said, labels = [np.array([0.6, 0.4, 0.9])], np.array([1.0, 1.0, 0.0])
    binary = make_task(TaskSpec(kind="binary"))
    assert binary.right(said, labels).tolist() == [True, False, False]
    assert binary.right(said, labels, 0.4).tolist() == [True, True, False], "by its Brier score"
    numbers = make_task(TaskSpec(kind="regression"))
    assert not numbers.decides
    assert numbers.right(said, labels, 0.5).tolist() == [True, False, False]
