"""A graph with its weights in fewer bits, or with fewer trees."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from windvane.adapters.onnx.prune import ensemble_rounds, prune_ensemble
from windvane.core.execution import Optimization, ServedBy
from windvane.inference.failures import sentence_of
from windvane.ports.optimizer import CannotOptimize

_PRODUCTS = {"MatMul", "Gemm", "Conv"}
_LARGEST_HALF = float(np.finfo(np.float16).max)
_LEAST_OPSET = 11  # of dynamic quantization


class OnnxOptimizer:
    """The optimizer port on graphs, by the tools that come with ONNX Runtime."""

    def cast(self, body: bytes, served: ServedBy, how: Optimization) -> bytes:
        del served
        graph = _read(body)
        if any("TreeEnsemble" in node.op_type for node in graph.graph.node):
            raise CannotOptimize(
                f"{how.value} of a tree ensemble: ONNX Runtime has none, and thresholds that are "
                "cast move the splits",
                hint="--prune uses fewer of its trees",
            )
        weights = {one.name for one in graph.graph.initializer}
        products = [
            node
            for node in graph.graph.node
            if node.op_type in _PRODUCTS and weights.intersection(node.input)
        ]
        if not products:
            kinds = ", ".join(sorted({node.op_type for node in graph.graph.node}))
            raise CannotOptimize(
                f"{how.value} takes products with constant weights (MatMul, Gemm, Conv), the graph "
                f"has {kinds}"
            )
        narrowed = _to_float32(graph)
        if how is Optimization.FP32 and not narrowed:
            raise CannotOptimize("fp32: the graph has no weights of 64 bits")
        _name_nodes(graph)
        made = _HOW[how](graph)
        _check(made)
        return made.SerializeToString()

    def rounds(self, body: bytes, served: ServedBy) -> int:
        del served
        return ensemble_rounds(_read(body))

    def prune(self, body: bytes, served: ServedBy, rounds: int) -> tuple[bytes, ServedBy]:
        made = prune_ensemble(_read(body), rounds)
        _check(made)
        return made.SerializeToString(), served


def _read(body: bytes) -> Any:
    try:
        return onnx.load_model_from_string(body)
    except Exception as error:  # protobuf's errors have no common base
        raise CannotOptimize(f"the file is no ONNX graph: {sentence_of(error)}") from error


def _check(model: Any) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise CannotOptimize(f"what came out is no graph: {sentence_of(error)}") from error


def _to_float32(model: Any) -> bool:
    """In place, inputs and outputs too; whether there was a weight to cast. The tools know no
    weights of 64 bits."""
    narrowed = False
    for one in model.graph.initializer:
        if one.data_type == TensorProto.DOUBLE:
            narrowed = True
            narrow = numpy_helper.to_array(one).astype(np.float32)
            one.CopyFrom(numpy_helper.from_array(narrow, one.name))
    graph = model.graph
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type == TensorProto.DOUBLE:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                if attribute.i == TensorProto.DOUBLE:
                    attribute.i = TensorProto.FLOAT
            elif attribute.type == onnx.AttributeProto.TENSOR and (
                attribute.t.data_type == TensorProto.DOUBLE
            ):
                narrow = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(narrow, attribute.t.name))
    return narrowed


def _name_nodes(model: Any) -> None:
    """Each its own: the tools go by names, which a graph need not have."""
    seen = set[str]()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"windvane_{i}"
        seen.add(node.name)


def _to_int8(model: Any) -> Any:
    """Weights in 8 bits, one scale a column; what comes in is scaled row by row as it runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    opset = next((one.version for one in model.opset_import if not one.domain), 0)
    if opset < _LEAST_OPSET:
        raise CannotOptimize(
            f"int8 needs opset {_LEAST_OPSET}, the graph has {opset}", hint="export it anew"
        )
    with tempfile.TemporaryDirectory() as folder:
        ready, made = Path(folder) / "ready.onnx", Path(folder) / "made.onnx"
        try:
            # Its own shape inference needs a package more, and matrices need none of it.
            quant_pre_process(model, str(ready), skip_symbolic_shape=True, skip_optimization=True)
            quantize_dynamic(str(ready), str(made), per_channel=True, weight_type=QuantType.QInt8)
            return onnx.load(str(made))
        except Exception as error:  # the tool fails in as many ways as there are graphs
            raise CannotOptimize(f"int8: {sentence_of(error)}") from error


def _to_float16(model: Any) -> Any:
    """Products in 16 bits; inputs, outputs, and what scales raw inputs before the first product
    stay in 32: a raw value may be larger than 65,504."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    raw = set(_before_products(model))
    cast = {name for node in model.graph.node if node.name not in raw for name in node.input}
    for one in model.graph.initializer:
        if one.data_type == TensorProto.FLOAT and one.name in cast:
            held = np.abs(numpy_helper.to_array(one))
            if held.size and float(held.max()) > _LARGEST_HALF:
                raise CannotOptimize(
                    f"fp16 holds numbers up to {_LARGEST_HALF:,.0f}, the graph has "
                    f"{float(held.max()):,.0f} in {one.name}"
                )
    try:
        made = convert_float_to_float16(
            model, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST],
            node_block_list=sorted(raw),
        )  # fmt: skip
    except Exception as error:  # as above
        raise CannotOptimize(f"fp16: {sentence_of(error)}") from error
    _without_detours(made.graph)
    _sort(made.graph)
    return made


def _without_detours(graph: Any) -> None:
    """The tool casts every input to 16 bits and, for a node that stays in 32, back: what that
    node gets is the input itself."""
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        for i, name in enumerate(node.input):
            back = made_by.get(name)
            if back is None or not _casts(back, TensorProto.FLOAT):
                continue
            there = made_by.get(back.input[0])
            if there is not None and _casts(there, TensorProto.FLOAT16):
                node.input[i] = there.input[0]
    wanted = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    while idle := [n for n in graph.node if n.op_type == "Cast" and n.output[0] not in wanted]:
        for node in idle:
            graph.node.remove(node)
        wanted = {n for node in graph.node for n in node.input} | {o.name for o in graph.output}


def _casts(node: Any, to: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == to for a in node.attribute)


def _sort(graph: Any) -> None:
    """Nodes after those that make their inputs, which the tool does not see to."""
    waiting = list(graph.node)
    made = {name for node in waiting for name in node.output}
    done: list[Any] = []
    while waiting:
        ready = [node for node in waiting if not made.intersection(node.input)]
        if not ready:
            raise CannotOptimize("fp16: what came out has a cycle")
        for node in ready:
            made.difference_update(node.output)
        done += ready
        waiting = [node for node in waiting if made.intersection(node.output)]
    del graph.node[:]
    graph.node.extend(done)


def _before_products(model: Any) -> list[str]:
    """Nodes that no product comes before."""
    after = set[str]()
    names: list[str] = []
    for node in model.graph.node:  # a graph has its nodes in the order of their inputs
        if node.op_type in _PRODUCTS or after.intersection(node.input):
            after.update(node.output)
        else:
            names.append(node.name)
    return names


def _as_it_is(model: Any) -> Any:
    return model


_HOW: dict[Optimization, Callable[[Any], Any]] = {
    Optimization.FP32: _as_it_is,
    Optimization.FP16: _to_float16,
    Optimization.INT8: _to_int8,
}
