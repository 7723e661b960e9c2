"""Real models on scikit-learn's own data, registered, to be measured and made cheaper."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import xgboost
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from usecases.registration import Registration

from windvane.adapters.lightgbm import LightgbmOptimizer
from windvane.adapters.onnx.optimize import OnnxOptimizer
from windvane.adapters.xgboost import XgboostOptimizer
from windvane.core.execution import RuntimeName
from windvane.ports.learner import TrainingData
from windvane.usecases.make_variant import VariantServices
from windvane.usecases.registration_options import RegistrationOptions

TUMOUR, PROGRESS = "tumour", "progress"
_START = 1_700_000_000.0
_MODEL = """
model: {model}
predicts: {predicts}
features:
  clinic:
{features}
watch: {{window: 1h, min_rows: 5, recent: 10h}}
train: {{min_rows: 300}}
"""


def _order(rows: int) -> Any:
    """scikit-learn's rows are in some order of their own; time goes by chance here."""
    return np.random.default_rng(5).permutation(rows)


def _data(given: Any) -> TrainingData:
    rows, labels = given.data, given.target.astype(float)
    order = _order(len(rows))
    names = [str(name).replace(" ", "_") for name in given.feature_names]
    columns = {name: rows[order, i].tolist() for i, name in enumerate(names)}
    return TrainingData(columns, labels[order], _START + 60.0 * np.arange(len(rows)))


def tumours() -> TrainingData:
    return _data(load_breast_cancer())


def progress() -> TrainingData:
    return _data(load_diabetes())


def past(data: TrainingData) -> tuple[Any, Any]:
    """What a model learns from: all but the latest fifth."""
    cut = int(0.8 * data.rows)
    return np.array(list(data.columns.values())).T[:cut], data.labels[:cut]


def apply(registration: Registration, model: str, data: TrainingData) -> None:
    kind = (
        "{kind: binary, outcome: benign}" if model == TUMOUR else "{kind: regression, outcome: y}"
    )
    features = "\n".join(f"    {name}: {{type: number}}" for name in data.columns)
    registration.apply(_MODEL.format(model=model, predicts=kind, features=features))


def register_network(registration: Registration, folder: Path, model: str = TUMOUR) -> TrainingData:
    """A network of 64-bit weights, as skl2onnx writes it."""
    data = tumours() if model == TUMOUR else progress()
    apply(registration, model, data)
    rows, labels = past(data)
    net: Any = MLPClassifier((64, 64), random_state=0, max_iter=60)
    if model == PROGRESS:
        net = MLPRegressor(
            hidden_layer_sizes=(16,), solver="lbfgs", alpha=100.0, random_state=0, max_iter=200
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = make_pipeline(StandardScaler(), net).fit(rows, labels)
    options = {id(fitted): {"zipmap": False}} if model == TUMOUR else None
    kinds = [("x", DoubleTensorType([None, rows.shape[1]]))]
    made: Any = convert_sklearn(fitted, initial_types=kinds, options=options)
    onnx.save_model(made, folder / "model.onnx")
    registration.register(
        folder / "model.onnx", RegistrationOptions(inputs=tuple(data.columns)), data=data,
        model=model,
    )  # fmt: skip
    return data


def register_trees(
    registration: Registration, folder: Path, library: str, rounds: int = 60
) -> tuple[TrainingData, Any]:
    """Boosted trees in their own library's file, and the booster."""
    data = tumours()
    apply(registration, TUMOUR, data)
    rows, labels = past(data)
    names = list(data.columns)
    made: Any
    if library == "lightgbm":
        params = {"objective": "binary", "num_threads": 1, "verbose": -1, "seed": 0}
        made = lightgbm.train(params, lightgbm.Dataset(rows, labels, feature_name=names), rounds)
        path = folder / "model.txt"
    else:
        given = xgboost.DMatrix(rows, label=labels, feature_names=names)
        made = xgboost.train({"objective": "binary:logistic", "nthread": 1}, given, rounds)
        path = folder / "model.ubj"
    made.save_model(str(path))
    registration.register(path, RegistrationOptions(), data=data, model=TUMOUR)
    return data, made


def variant_services(registration: Registration) -> VariantServices:
    return VariantServices(
        registration.services.artifacts,
        registration.runtimes,
        {
            RuntimeName.ONNX: OnnxOptimizer(),
            RuntimeName.LIGHTGBM: LightgbmOptimizer(),
            RuntimeName.XGBOOST: XgboostOptimizer(),
        },
    )
