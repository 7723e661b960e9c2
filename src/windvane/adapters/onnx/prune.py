"""A tree ensemble's node with fewer of its trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from windvane.ports.optimizer import CannotOptimize

Floats = NDArray[np.float64]
_KINDS = {"TreeEnsembleClassifier": "class", "TreeEnsembleRegressor": "target"}
_SLACK = 1e-4  # of float32 sums
_ALIKE = 0.5


def ensemble_rounds(model: Any) -> int:
    """The trees of the graph's one ensemble, counted by rounds: as many trees as there are
    scores to add to. Raises CannotOptimize."""
    return len(_Ensemble(model).rounds)


def prune_ensemble(model: Any, rounds: int) -> Any:
    """The model with the first ``rounds`` of them, in place. The leaves of trees that are
    averaged hold their share of the mean, which grows. Raises CannotOptimize."""
    ensemble = _Ensemble(model)
    ensemble.keep(rounds)
    return model


class _Ensemble:
    def __init__(self, model: Any) -> None:
        nodes = [node for node in model.graph.node if "TreeEnsemble" in node.op_type]
        if not nodes:
            raise CannotOptimize("the graph has no trees: pruning leaves out rounds of trees")
        if len(nodes) > 1:
            raise CannotOptimize(f"the graph has {len(nodes)} tree ensembles, one can be pruned")
        self._node = nodes[0]
        self._kind = _KINDS.get(self._node.op_type, "")
        if not self._kind:
            raise CannotOptimize(f"the graph's {self._node.op_type} has a form that is not known")
        self._held = {a.name: a for a in self._node.attribute}
        self._leaf_trees = self._array(f"{self._kind}_treeids").astype(np.int64)
        self.rounds = self._rounds()

    def _array(self, name: str) -> NDArray[Any]:
        held = self._held.get(name)
        if held is None:
            return np.empty(0)
        value = helper.get_attribute_value(held)
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        return np.asarray(value)

    def _weights(self) -> Floats:
        for name in (f"{self._kind}_weights", f"{self._kind}_weights_as_tensor"):
            if name in self._held:
                return self._array(name).astype(np.float64)
        raise CannotOptimize("the graph's trees have no weights")

    def _rounds(self) -> list[list[int]]:
        """The trees of each round, in the order of the graph."""
        trees = list(dict.fromkeys(self._array("nodes_treeids").astype(np.int64).tolist()))
        ids = self._array(f"{self._kind}_ids").astype(np.int64)
        scores = [frozenset(ids[self._leaf_trees == tree].tolist()) for tree in trees]
        every = len(frozenset[int]().union(*scores))
        single = all(len(one) == 1 for one in scores)
        if not single or every == 1 or len(trees) % every:
            return [[tree] for tree in trees]
        parts = [trees[i : i + every] for i in range(0, len(trees), every)]
        if any(len(frozenset[int]().union(*scores[i : i + every])) != every
               for i in range(0, len(trees), every)):  # fmt: skip
            raise CannotOptimize("the graph's trees come in no order of rounds")
        return parts

    def _averaged(self) -> bool:
        """Whether the trees are each an answer of their own, of which the sum is the mean (a
        forest), not each a step beyond those before it: every leaf of a classifier holds a share
        of one, and the trees of a regressor are alike in size. Boosting has a base value, or its
        first tree is unlike the others."""
        if any(self._array(n).size for n in ("base_values", "base_values_as_tensor")):
            return False
        weights, trees = self._weights(), self._leaf_trees
        share = 1.0 / len(self.rounds)
        if self._kind == "class":
            return bool((weights >= 0.0).all() and (weights <= share * (1.0 + _SLACK)).all())
        means = np.array([weights[trees == one].mean() for held in self.rounds for one in held])
        sizes = np.abs(means)
        same_sign = bool((means > 0.0).all() or (means < 0.0).all())
        return same_sign and float(sizes.min()) > _ALIKE * float(sizes.max())

    def keep(self, rounds: int) -> None:
        aggregate = self._held.get("aggregate_function")
        summed = aggregate is None or aggregate.s == b"SUM"
        if aggregate is not None and aggregate.s not in (b"SUM", b"AVERAGE"):
            kind = aggregate.s.decode()
            raise CannotOptimize(f"the trees' {kind} cannot be pruned, their sum or mean can")
        grow = len(self.rounds) / rounds if summed and self._averaged() else 1.0
        kept = [tree for held in self.rounds[:rounds] for tree in held]
        of_nodes = np.isin(self._array("nodes_treeids").astype(np.int64), kept)
        of_leaves = np.isin(self._leaf_trees, kept)
        for name, attribute in self._held.items():
            part = name.partition("_")[0]
            if part not in ("nodes", self._kind) or name.startswith("classlabels"):
                continue
            mask = of_nodes if part == "nodes" else of_leaves
            _cut(attribute, mask, grow if "_weights" in name else 1.0)


def _cut(attribute: Any, mask: NDArray[np.bool_], grow: float) -> None:
    """In place: the values where ``mask`` is true, times ``grow``."""
    value = helper.get_attribute_value(attribute)
    made: Any
    if isinstance(value, onnx.TensorProto):
        array = numpy_helper.to_array(value)
        if len(array) != len(mask):
            return
        cut = (array[mask] * grow).astype(array.dtype) if grow != 1.0 else array[mask]
        made = numpy_helper.from_array(np.ascontiguousarray(cut), value.name)
    else:
        if not isinstance(value, list) or len(value) != len(mask):
            return
        made = [v for v, keep in zip(value, mask.tolist(), strict=True) if keep]
        if grow != 1.0:
            made = [v * grow for v in made]
    attribute.CopyFrom(helper.make_attribute(attribute.name, made))
