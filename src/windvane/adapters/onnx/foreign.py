"""Models that were made elsewhere, as graphs that the runtime takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from windvane.adapters.onnx.convert import split_probes, to_graph
from windvane.inference.failures import sentence_of
from windvane.ports.runtime import CannotLoad
from windvane.ports.source import DataFile

Floats = NDArray[np.float64]


def read_onnx(path: Path) -> DataFile:
    """A graph in one piece, with what it says of itself: weights that lie in files beside it taken
    in, a list of maps by class replaced by the matrix that it is made from, its inputs where they
    are not one matrix of reals, its labels, and how many numbers its probabilities have.

    Raises CannotLoad.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise CannotLoad(f"{path.name} is no ONNX graph: {sentence_of(error)}") from error
    graph = model.graph
    maps = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "ZipMap"}
    classes = _labels(graph)
    if maps:
        kept = [n for n in graph.node if n.op_type != "ZipMap"]
        del graph.node[:]
        graph.node.extend(kept)
        for output in graph.output:
            if output.name in maps:
                columns = len(classes) or None
                output.CopyFrom(
                    onnx.helper.make_tensor_value_info(
                        maps[output.name], onnx.TensorProto.FLOAT, [None, columns]
                    )
                )
    held = {one.name for one in graph.initializer}
    given = [_tensor(one) for one in graph.input if one.name not in held]
    single = len(given) == 1 and given[0][1] in ("float32", "float64")
    return DataFile(
        model.SerializeToString(),
        features=tuple(name for name, _, _ in given) if _by_column(given) else (),
        outputs=_columns(graph),
        classes=classes,
        tensors=() if single else tuple(given),
        packages=_producer(model),
    )


_KINDS = {
    onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.INT64: "int64", onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.BOOL: "bool", onnx.TensorProto.STRING: "string",
}  # fmt: skip


def _tensor(given: Any) -> tuple[str, str, int]:
    """An input's name, element type and width (0 for any). Raises CannotLoad."""
    tensor = given.type.tensor_type
    kind = _KINDS.get(tensor.elem_type)
    dims = [d.dim_value for d in tensor.shape.dim]
    if kind is None or len(dims) > 2:
        raise CannotLoad(
            f"the graph's input {given.name!r} has the shape {dims} of a type that cannot be given",
            hint="export it with inputs (rows, columns) of numbers, booleans or texts",
        )
    return given.name, kind, dims[1] if len(dims) == 2 else 1


def _by_column(given: Any) -> bool:
    """Whether its inputs are one a feature, so that their names are those of the features."""
    return len(given) > 1 and all(width == 1 for _, _, width in given)


def _labels(graph: Any) -> tuple[str, ...]:
    """The classes that a classifier's node, or its list of maps, names."""
    for node in reversed(graph.node):
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_"):
                if attribute.strings:
                    return tuple(text.decode() for text in attribute.strings)
                if attribute.ints:
                    return tuple(str(number) for number in attribute.ints)
    return ()


def _columns(graph: Any) -> int:
    """Of the output that is called a probability, else of the only real one; 0 if unknown."""
    reals = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    real = [o for o in graph.output if o.type.tensor_type.elem_type in reals]
    likely = [o for o in real if "prob" in o.name.lower()] or real
    dims = [d.dim_value for d in likely[-1].type.tensor_type.shape.dim] if likely else []
    if len(likely) != 1 or len(dims) > 2:
        return 0
    return dims[1] if len(dims) == 2 else 1


def _producer(model: Any) -> dict[str, str]:
    return {model.producer_name: model.producer_version} if model.producer_name else {}


def from_sklearn(estimator: Any, rows: Floats, limit: int) -> tuple[bytes, Floats]:
    """A graph of a fitted estimator on ``rows``' width, and at most ``limit`` rows on and
    beside its splits (or beside real values, where it has none). Raises ValueError."""
    width = rows.shape[1]
    if isinstance(estimator, (HistGradientBoostingClassifier, HistGradientBoostingRegressor)):
        return to_graph(estimator, width), split_probes(estimator, rows, limit)
    module = type(estimator).__module__.partition(".")[0]
    if module in {"xgboost", "lightgbm", "catboost"}:
        raise ValueError(f"{module} serves its own file: a graph would round its thresholds")
    return _by_skl2onnx(estimator, width), _probes(estimator, rows, limit)


def _by_skl2onnx(estimator: Any, width: int) -> bytes:
    """On float64 where the converter can, on float32 otherwise, and parity decides. Trees of
    scikit-learn round their inputs to float32 themselves: there it is the other way round."""
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError as error:
        raise ValueError("skl2onnx is not installed: pip install 'windvane[sklearn]'") from error
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    problem = ""
    kinds = [DoubleTensorType, FloatTensorType]
    for kind in reversed(kinds) if _splits(estimator) else kinds:
        try:
            made: Any = convert_sklearn(
                estimator, initial_types=[("x", kind([None, width]))], options=options
            )
            body: bytes = made.SerializeToString()
            _runs(body, kind is FloatTensorType, width)
        except Exception as error:  # a converter of a hundred models fails in as many ways
            problem = sentence_of(error)
        else:
            return body
    raise ValueError(f"skl2onnx cannot convert {type(estimator).__name__}: {problem[:200]}")


def _runs(body: bytes, single: bool, width: int) -> None:
    """Some conversions are only found wrong when they run."""
    import onnxruntime as ort

    session = ort.InferenceSession(body, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.zeros((2, width), np.float32 if single else np.float64)})


def _probes(estimator: Any, rows: Floats, limit: int) -> Floats:
    splits = _splits(estimator)
    if not splits:
        # Nothing says where it is not smooth: one float64 step to each side of real values.
        some = rows[: max(1, limit // (2 * rows.shape[1]))]
        beside = [_moved(some, j, side) for j in range(rows.shape[1]) for side in (-np.inf, np.inf)]
        return np.concatenate(beside)[:limit]
    every = max(1, 3 * len(splits) // limit)
    found: list[Floats] = []
    for i, (feature, threshold) in enumerate(sorted(splits)[::every]):
        for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
            probe = rows[i % len(rows)].copy()
            probe[feature] = value
            found.append(probe)
    return np.array(found[:limit])


def _moved(rows: Floats, feature: int, towards: float) -> Floats:
    moved = rows.copy()
    moved[:, feature] = np.nextafter(moved[:, feature], towards)
    return moved


def _splits(estimator: Any) -> set[tuple[int, float]]:
    """(feature, threshold) of every tree that meets the inputs as they come."""
    trees = [estimator, *np.ravel(getattr(estimator, "estimators_", []))]
    found: set[tuple[int, float]] = set()
    for one in trees:
        tree = getattr(one, "tree_", None)
        if tree is None or not hasattr(tree, "threshold"):
            continue
        inner = tree.children_left != -1
        pairs = zip(tree.feature[inner].tolist(), tree.threshold[inner].tolist(), strict=True)
        found.update((int(f), float(t)) for f, t in pairs)
    return found
