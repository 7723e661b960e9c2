"""Models that were made elsewhere, as graphs that the runtime takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from windvane.adapters.onnx.convert import split_probes, to_graph
from windvane.ports.runtime import CannotLoad
from windvane.ports.source import DataFile

Floats = NDArray[np.float64]


def read_onnx(path: Path) -> DataFile:
    """A graph in one piece: weights that lie in files beside it taken in, and a list of maps
    by class replaced by the matrix that it is made from. Raises CannotLoad."""
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise CannotLoad(f"not an ONNX graph: {str(error)[:200]}") from error
    graph = model.graph
    maps = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "ZipMap"}
    if maps:
        kept = [n for n in graph.node if n.op_type != "ZipMap"]
        del graph.node[:]
        graph.node.extend(kept)
        for output in graph.output:
            if output.name in maps:
                output.CopyFrom(
                    onnx.helper.make_tensor_value_info(
                        maps[output.name], onnx.TensorProto.FLOAT, [None, None]
                    )
                )
    return DataFile(model.SerializeToString())


def from_sklearn(estimator: Any, rows: Floats, limit: int) -> tuple[bytes, Floats]:
    """A graph of a fitted estimator on ``rows``' width, and at most ``limit`` rows on and
    beside its splits (or beside real values, where it has none). Raises ValueError."""
    width = rows.shape[1]
    if isinstance(estimator, HistGradientBoostingClassifier):
        classes = len(np.ravel(np.asarray(estimator.classes_)))
        if classes != 2:
            raise ValueError(f"{classes} classes, 2 can be served")
        return to_graph(estimator, width), split_probes(estimator, rows, limit)
    module = type(estimator).__module__.partition(".")[0]
    if module in {"xgboost", "lightgbm"}:
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
    told = ""
    kinds = [DoubleTensorType, FloatTensorType]
    for kind in reversed(kinds) if _splits(estimator) else kinds:
        try:
            made: Any = convert_sklearn(
                estimator, initial_types=[("x", kind([None, width]))], options=options
            )
            body: bytes = made.SerializeToString()
            _runs(body, kind is FloatTensorType, width)
        except Exception as error:  # a converter of a hundred models fails in as many ways
            told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        else:
            return body
    raise ValueError(f"skl2onnx cannot convert {type(estimator).__name__}: {told[:200]}")


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
