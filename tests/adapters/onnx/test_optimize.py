"""Graphs with weights in fewer bits and with fewer trees, of real models on real data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from windvane.adapters.onnx.convert import to_graph
from windvane.adapters.onnx.optimize import OnnxOptimizer
from windvane.core.execution import Optimization, ServedBy
from windvane.ports.optimizer import CannotOptimize

SERVED = ServedBy()
OPTIMIZER = OnnxOptimizer()
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def graph_of(model: Any, width: int, *, double: bool) -> bytes:
    kind = DoubleTensorType if double else FloatTensorType
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    made: Any = convert_sklearn(model, initial_types=[("x", kind([None, width]))], options=options)
    return made.SerializeToString()


def answers(body: bytes, rows: Any) -> Any:
    session = ort.InferenceSession(body, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = rows.astype(np.float32 if given.type == "tensor(float)" else np.float64)
    found = np.asarray(session.run(None, {given.name: x})[-1])
    return found.reshape(len(rows), -1)


def weight_types(body: bytes) -> set[int]:
    return {one.data_type for one in onnx.load_model_from_string(body).graph.initializer}


def network(model: Any, data: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), model).fit(*data)


@pytest.fixture(scope="module")
def classifier() -> Any:
    return network(MLPClassifier((64, 64), random_state=0, max_iter=40), CANCER)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize(
    ("how", "within", "at_least"),
    [(Optimization.FP16, 0.01, 1e-7), (Optimization.INT8, 0.15, 1e-4)],
)
def test_a_network_in_fewer_bits_answers_nearly_the_same(
    classifier: Any, how: Optimization, within: float, at_least: float, double: bool
) -> None:
    body = graph_of(classifier, 30, double=double)
    made = OPTIMIZER.cast(body, SERVED, how)
    apart = np.abs(answers(made, CANCER[0]) - classifier.predict_proba(CANCER[0])).max()
    assert at_least < apart < within
    assert len(made) < len(body)
    wanted = onnx.TensorProto.FLOAT16 if how is Optimization.FP16 else onnx.TensorProto.INT8
    assert wanted in weight_types(made)
    assert onnx.TensorProto.DOUBLE not in weight_types(made)


def test_a_regressor_in_fewer_bits_answers_nearly_the_same() -> None:
    model = network(MLPRegressor(hidden_layer_sizes=(64,), random_state=0, max_iter=200), DIABETES)
    body = graph_of(model, 10, double=False)
    told = model.predict(DIABETES[0])[:, None]
    for how in (Optimization.FP16, Optimization.INT8):
        apart = np.abs(answers(OPTIMIZER.cast(body, SERVED, how), DIABETES[0]) - told)
        assert 0.0 < apart.max() < 0.05 * np.ptp(told)


def test_weights_of_64_bits_become_32(classifier: Any) -> None:
    made = OPTIMIZER.cast(graph_of(classifier, 30, double=True), SERVED, Optimization.FP32)
    assert onnx.TensorProto.DOUBLE not in weight_types(made)
    apart = np.abs(answers(made, CANCER[0]) - classifier.predict_proba(CANCER[0])).max()
    assert 0.0 < apart < 1e-4
    with pytest.raises(CannotOptimize, match="no weights of 64 bits"):
        OPTIMIZER.cast(graph_of(classifier, 30, double=False), SERVED, Optimization.FP32)


@pytest.mark.parametrize("double", [True, False])
def test_raw_values_beyond_16_bits_are_scaled_in_32(double: bool) -> None:
    """65,504 is the largest number of 16 bits; incomes and areas are larger."""
    rows = CANCER[0] * 1_000.0
    assert rows.max() > 1e6
    model = network(MLPClassifier((16,), random_state=0, max_iter=40), (rows, CANCER[1]))
    made = OPTIMIZER.cast(graph_of(model, 30, double=double), SERVED, Optimization.FP16)
    assert np.abs(answers(made, rows) - model.predict_proba(rows)).max() < 0.01


def test_a_weight_beyond_16_bits_is_refused() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, [1, 1], [70_000.0])
    infos = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 1]) for name in "xy"
    ]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [weight])
    opsets = [helper.make_opsetid("", 17)]
    body = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    with pytest.raises(CannotOptimize, match=r"up to 65,504, the graph has 70,000 in w"):
        OPTIMIZER.cast(body, SERVED, Optimization.FP16)


@pytest.mark.parametrize("how", [Optimization.FP32, Optimization.FP16, Optimization.INT8])
def test_trees_are_not_cast_for_their_splits_would_move(how: Optimization) -> None:
    model = RandomForestClassifier(3, max_depth=3, random_state=0).fit(*CANCER)
    with pytest.raises(CannotOptimize, match="thresholds that are cast move the splits") as caught:
        OPTIMIZER.cast(graph_of(model, 30, double=False), SERVED, how)
    assert "--prune" in caught.value.advice


def test_a_graph_without_products_is_told_what_it_has() -> None:
    model = LogisticRegression(max_iter=5_000).fit(*CANCER)
    with pytest.raises(CannotOptimize, match=r"the graph has .*LinearClassifier"):
        OPTIMIZER.cast(graph_of(model, 30, double=False), SERVED, Optimization.INT8)


def test_a_graph_without_trees_has_none_to_prune(classifier: Any) -> None:
    with pytest.raises(CannotOptimize, match="no trees"):
        OPTIMIZER.rounds(graph_of(classifier, 30, double=False), SERVED)


def test_what_is_no_graph_is_said_so() -> None:
    with pytest.raises(CannotOptimize, match="no ONNX graph"):
        OPTIMIZER.rounds(b"\x00\x01nothing", SERVED)


RARE = (DIABETES[0], (DIABETES[1] > 300.0).astype(float))
"""Slow steps towards what is rare are alike in size and sign, as the trees of a forest are."""
DIGITS = load_digits(return_X_y=True)
SOME_DIGITS = (DIGITS[0][:600], DIGITS[1][:600])


@pytest.mark.parametrize(
    ("full", "fewer", "data"),
    [
        (GradientBoostingClassifier(n_estimators=20, max_depth=2, random_state=0), 7, CANCER),
        (GradientBoostingRegressor(n_estimators=20, max_depth=2, random_state=0), 7, DIABETES),
        (GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=0), 2, SOME_DIGITS),
        (
            GradientBoostingRegressor(
                n_estimators=20, max_depth=2, learning_rate=0.001, random_state=0
            ),
            7,
            RARE,
        ),
        (RandomForestClassifier(20, max_depth=4, random_state=0), 7, CANCER),
        (RandomForestClassifier(20, max_depth=4, random_state=0), 7, SOME_DIGITS),
        (RandomForestRegressor(20, max_depth=4, random_state=0), 7, DIABETES),
    ],
    ids=["boosted", "boosted numbers", "boosted classes", "boosted slowly", "forest",
         "forest classes", "forest numbers"],
)  # fmt: skip
def test_fewer_trees_are_the_model_that_was_trained_with_fewer(
    full: Any, fewer: int, data: Any
) -> None:
    """scikit-learn draws the trees of both in the same order."""
    rows, labels = data
    body = graph_of(clone(full).fit(rows, labels), rows.shape[1], double=False)
    assert OPTIMIZER.rounds(body, SERVED) == full.n_estimators
    made, served = OPTIMIZER.prune(body, SERVED, fewer)
    assert served == SERVED
    assert len(made) < len(body)
    assert OPTIMIZER.rounds(made, SERVED) == fewer
    short = clone(full).set_params(n_estimators=fewer).fit(rows, labels)
    wanted = graph_of(short, rows.shape[1], double=False)
    largest = np.abs(answers(wanted, rows)).max()
    assert np.abs(answers(made, rows) - answers(wanted, rows)).max() < 1e-5 * max(1.0, largest)


@pytest.mark.parametrize("data", [CANCER, SOME_DIGITS], ids=["two classes", "ten classes"])
def test_own_graphs_of_histogram_boosting_are_pruned_by_rounds(data: Any) -> None:
    rows, labels = data
    model = HistGradientBoostingClassifier(
        max_iter=9, max_depth=3, early_stopping=False, random_state=0
    )
    body = to_graph(clone(model).fit(rows, labels), rows.shape[1])
    assert OPTIMIZER.rounds(body, SERVED) == 9
    made, _ = OPTIMIZER.prune(body, SERVED, 4)
    short = clone(model).set_params(max_iter=4).fit(rows, labels)
    wanted = answers(to_graph(short, rows.shape[1]), rows)
    assert np.array_equal(answers(made, rows), wanted)
