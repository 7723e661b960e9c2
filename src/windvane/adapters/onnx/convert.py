"""scikit-learn's histogram gradient boosting as an ONNX graph on float64.

skl2onnx 1.20 converts it with float32 thresholds (outputs of whole-number features moved by
up to 0.08 when we tried) and cannot with float64, so the trees are written out here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

Floats = NDArray[np.float64]
_MODES = ("LEAF", "BRANCH_LEQ")


def to_graph(model: Any, width: int) -> bytes:
    """The graph of a fitted ``HistGradientBoostingClassifier`` or ``...Regressor``.

    Input ``x`` (rows, width) float64 with NaN for missing. Output of a classifier of two classes:
    ``probability`` (rows, 1) of the second; of more: ``probabilities`` (rows, classes); of a
    regressor: ``value`` (rows, 1).
    """
    stages = [tree.nodes for stage in model._predictors for tree in stage]
    classes = len(model._predictors[0])
    if any(nodes["is_categorical"].any() for nodes in stages):
        raise ValueError("native categorical splits have no ONNX form; encode categories first")
    nodes = np.concatenate(stages)
    tree_ids = np.concatenate([np.full(len(t), i) for i, t in enumerate(stages)])
    node_ids = np.concatenate([np.arange(len(t)) for t in stages])
    leaf = nodes["is_leaf"].astype(bool)

    def ints(values: Any) -> list[int]:
        return [int(v) for v in values]

    def doubles(name: str, values: Any) -> onnx.TensorProto:
        values = np.asarray(values, np.float64)
        return helper.make_tensor(name, TensorProto.DOUBLE, values.shape, values)

    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["raw"],
        domain="ai.onnx.ml",
        n_targets=classes,
        base_values_as_tensor=doubles("base", model._baseline_prediction.reshape(-1)),
        nodes_treeids=ints(tree_ids),
        nodes_nodeids=ints(node_ids),
        nodes_featureids=ints(np.where(leaf, 0, nodes["feature_idx"])),
        nodes_modes=[_MODES[0] if is_leaf else _MODES[1] for is_leaf in leaf],
        nodes_values_as_tensor=doubles("thresholds", np.where(leaf, 0.0, nodes["num_threshold"])),
        nodes_truenodeids=ints(np.where(leaf, 0, nodes["left"])),
        nodes_falsenodeids=ints(np.where(leaf, 0, nodes["right"])),
        nodes_missing_value_tracks_true=ints(np.where(leaf, 0, nodes["missing_go_to_left"])),
        target_treeids=ints(tree_ids[leaf]),
        target_nodeids=ints(node_ids[leaf]),
        target_ids=ints(tree_ids[leaf] % classes),
        target_weights_as_tensor=doubles("weights", nodes["value"][leaf]),
    )
    name, last = _last(model, classes)
    graph = helper.make_graph(
        [ensemble, *last],
        "windvane",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, width])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, classes])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def _last(model: Any, classes: int) -> tuple[str, list[onnx.NodeProto]]:
    """From raw scores to outputs: the name of the output, and the nodes that make it."""
    if not isinstance(model, HistGradientBoostingClassifier):
        if type(model._loss.link).__name__ != "IdentityLink":
            raise ValueError(f"{type(model._loss).__name__} has no form as a graph here")
        return "value", [helper.make_node("Identity", ["raw"], ["value"])]
    if classes == 1:
        return "probability", [helper.make_node("Sigmoid", ["raw"], ["probability"])]
    return "probabilities", [helper.make_node("Softmax", ["raw"], ["probabilities"], axis=1)]


def split_probes(model: Any, rows: Floats, limit: int) -> Floats:
    """Rows whose values lie on, one float64 step below and one step above the splits.

    One row a (feature, threshold, side), made from real rows in turn; at most ``limit``,
    spread evenly over all splits. Conversions go wrong here first.
    """
    nodes = np.concatenate([tree.nodes for stage in model._predictors for tree in stage])
    nodes = nodes[nodes["is_leaf"] == 0]
    splits = np.unique(np.stack([nodes["feature_idx"], nodes["num_threshold"]], axis=1), axis=0)
    probes: list[Floats] = []
    for i, (feature, threshold) in enumerate(splits):
        for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
            probe = rows[i % len(rows)].copy()
            probe[int(feature)] = value
            probes.append(probe)
    every = max(1, len(probes) // limit)
    return np.array(probes[::every][:limit])
