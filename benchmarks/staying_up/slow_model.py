"""A model whose rows take milliseconds: the fast one's trees, gone through many times."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

TIMES = 5_000
"""How often all trees are gone through for one row. With 100 trees a row takes some 14 ms by
itself and some 5 ms among others, and the answer stays that of the fast model."""


def slow_graph(fast: bytes, times: int = TIMES) -> bytes:
    """``fast`` is a graph of one tree ensemble and a sigmoid, as Windvane's trainer writes it."""
    model = onnx.load_from_string(fast)
    kinds = [node.op_type for node in model.graph.node]
    if kinds != ["TreeEnsembleRegressor", "Sigmoid"]:
        raise ValueError(f"not trees and a sigmoid: {', '.join(kinds)}")
    trees, sigmoid = model.graph.node
    raw, total = trees.output[0], "total"
    once = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            trees,
            helper.make_node("Add", ["sum", raw], ["sum_on"]),
        ],
        "once",
        [
            helper.make_tensor_value_info("time", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_on", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["times", "", "zero"], [total], body=once),
            helper.make_node("Div", [total, "count"], ["mean"]),
            helper.make_node("Sigmoid", ["mean"], [sigmoid.output[0]]),
        ],
        "slow",
        list(model.graph.input),
        list(model.graph.output),
        [
            helper.make_tensor("times", TensorProto.INT64, [], [times]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1, 1], [0.0]),
            helper.make_tensor("count", TensorProto.FLOAT, [], [float(times)]),
        ],
    )
    made = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    onnx.checker.check_model(made)
    return made.SerializeToString()
