"""MLflow folders of each native flavour; what CatBoost and LightGBM say of their inputs."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import xgboost
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from usecases.registration import FILE, NAMES, ORDER, Registration, frame, matrix, table

from windvane.adapters.mlflow.source import read_mlmodel
from windvane.adapters.onnx.foreign import read_onnx
from windvane.core.execution import RuntimeName
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import CannotLoad, Untrusted
from windvane.usecases.explain_runtime import explain_runtime
from windvane.usecases.read_source import candidate_of
from windvane.usecases.register_version import BadInputs, RegistrationOptions, register_version

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def harness(registration: Registration) -> Registration:
    registration.apply(FILE)
    return registration


def full() -> tuple[TrainingData, Any, Any]:
    """No value is missing: not every kind takes one."""
    data = table()
    temps = [60.0 if t is None else t for t in data.columns["temp"]]
    data = replace(data, columns={**data.columns, "temp": temps})
    return data, np.nan_to_num(matrix()[0], nan=60.0), matrix()[1]


def xgboost_model() -> Any:
    _, rows, late = full()
    return xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(
        pd.DataFrame(rows, columns=NAMES), late
    )


def lightgbm_model() -> Any:
    _, rows, late = full()
    return lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1).fit(
        pd.DataFrame(rows, columns=NAMES), late
    )


def catboost_model() -> Any:
    _, rows, late = full()
    return catboost.CatBoostClassifier(
        iterations=8, verbose=0, allow_writing_files=False, thread_count=1
    ).fit(pd.DataFrame(rows, columns=NAMES), late)


def sklearn_model() -> Any:
    _, rows, late = full()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(
        pd.DataFrame(rows, columns=NAMES), late
    )


def booster_model() -> Any:
    return lightgbm_model().booster_


@pytest.mark.parametrize(
    ("flavour", "make", "runtime"),
    [
        ("xgboost", xgboost_model, "xgboost"),
        ("lightgbm", booster_model, "lightgbm"),
        ("lightgbm", lightgbm_model, "sklearn"),  # MLflow pickles the estimator
        ("catboost", catboost_model, "catboost"),
        ("sklearn", sklearn_model, "onnx"),
    ],
)
def test_a_flavour_answers_as_its_own_library(
    harness: Registration, tmp_path: Path, flavour: str, make: Any, runtime: str
) -> None:
    model = make()
    data, rows, _ = full()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        module: Any = importlib.import_module(f"mlflow.{flavour}")
        module.save_model(model, tmp_path / "m", pip_requirements=[f"{flavour}==0.9.9"])
    options = RegistrationOptions(vocabulary=ORDER, trust=True)
    done = harness.register(tmp_path / "m", options, data=data)
    explained = explain_runtime(harness.store, "delay")
    assert explained.runtime is RuntimeName(runtime)
    assert explained.packages[flavour]["recorded"] == "0.9.9"
    assert explained.parity is not None
    assert explained.parity.rows == 1_000
    given = pd.DataFrame(rows, columns=NAMES)
    both = hasattr(model, "predict_proba")
    expected = model.predict_proba(given)[:, 1] if both else model.predict(given)
    assert np.abs(harness.served(done, data.columns) - expected).max() < 1e-6


def test_a_flavour_with_an_unknown_file_leaves_the_generic_one(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"x")
    (tmp_path / "MLmodel").write_text(
        "flavors: {sklearn: {pickled_model: model.h5}, python_function: {loader_module: x}}"
    )
    first, second = read_mlmodel(tmp_path, candidate_of).candidates
    assert "no kind that is known" in first.missing
    assert second.runtime is RuntimeName.PYFUNC


def test_catboost_says_which_inputs_are_categories(harness: Registration, tmp_path: Path) -> None:
    data, rows, late = full()
    given = frame()[0].fillna({"temp": 60.0})
    given["carrier"] = given["carrier"].astype(object)
    model = catboost.CatBoostClassifier(
        iterations=8, cat_features=["carrier"], verbose=0, allow_writing_files=False
    ).fit(given, late)
    model.save_model(tmp_path / "model.cbm")
    done = harness.register(tmp_path / "model.cbm", RegistrationOptions(), data=data)
    assert not done.version.lineage["runtime"]["needs_trust"]
    expected = model.predict_proba(given)[:, 1]
    assert np.abs(harness.served(done, data.columns) - expected).max() < 1e-9
    harness.apply(
        FILE.replace("model: delay", "model: turned").replace("carrier: {type: category}",
        "carrier: {type: number}").replace("temp: {type: number, nullable: true}",
        "temp: {type: category}")
    )  # fmt: skip
    columns = {
        "distance": data.columns["distance"],
        "carrier": rows[:, 1].tolist(),
        "temp": [str(t) for t in data.columns["temp"]],
    }
    with pytest.raises(
        BadInputs, match=r"carrier is declared as number .* a category in the model"
    ):
        harness.register(
            tmp_path / "model.cbm", RegistrationOptions(),
            data=replace(data, columns=columns), model="turned",
        )  # fmt: skip


def test_lightgbm_stops_at_its_best_iteration(harness: Registration, tmp_path: Path) -> None:
    data, rows, late = full()
    noise = np.random.default_rng(0).permutation(late)[:200]
    train = lightgbm.Dataset(rows, late, feature_name=NAMES)
    valid = lightgbm.Dataset(rows[:400], np.r_[late[:200], noise], reference=train)
    params = {"objective": "binary", "num_threads": 1, "verbose": -1}
    stop = lightgbm.early_stopping(10, verbose=False)
    made = lightgbm.train(params, train, 60, valid_sets=[valid], callbacks=[stop])
    assert made.best_iteration < 60
    made.save_model(tmp_path / "model.txt")
    done = harness.register(tmp_path / "model.txt", data=data)
    expected = made.predict(rows)
    assert np.abs(harness.served(done, data.columns) - expected).max() < 1e-12


def graph(inputs: list[tuple[str, int, list[Any]]], path: Path) -> Path:
    """A probability from the first column of the first input; the others are only taken."""
    given = [helper.make_tensor_value_info(*one) for one in inputs]
    nodes = [
        helper.make_node("Slice", [inputs[0][0], "from", "to", "axis"], ["first"]),
        helper.make_node("Sigmoid", ["first"], ["probability"]),
    ]
    ints = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("from", 0), ("to", 1), ("axis", 1))
    ]
    out = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])
    made = helper.make_model(
        helper.make_graph(nodes, "g", given, [out], ints),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=9,
    )  # fmt: skip
    onnx.save(made, path)
    return path


def test_a_graph_of_several_inputs_is_read(harness: Registration, tmp_path: Path) -> None:
    floats, texts = TensorProto.FLOAT, TensorProto.STRING
    both = [("numbers", floats, [None, 2]), ("carrier", texts, [None, 1])]
    path = graph(both, tmp_path / "model.onnx")
    assert read_onnx(path).tensors == (("numbers", "float32", 2), ("carrier", "string", 1))
    data, _, _ = full()
    temps = np.array(data.columns["temp"])
    scaled = ((60.0 - temps) / 10.0).tolist()
    given = replace(data, columns={**data.columns, "temp": scaled})
    options = RegistrationOptions(inputs=("temp", "distance", "carrier"))
    done = harness.register(path, options, data=given)
    expected = 1.0 / (1.0 + np.exp(-np.array(scaled)))
    assert np.abs(harness.served(done, given.columns) - expected).max() < 1e-6
    with pytest.raises(BadInputs, match=r"'carrier' has 1 columns, the features given .* have 0"):
        harness.register(path, replace(options, inputs=("temp", "distance")), data=given)
    wrong = graph([("x", TensorProto.COMPLEX64, [None, 2])], tmp_path / "wrong.onnx")
    with pytest.raises(CannotLoad, match="a type that cannot be given"):
        harness.register(wrong, options, data=given)


def test_a_source_keeps_its_name_and_nothing_is_said_to_be_loaded_before_trust(
    harness: Registration, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        module: Any = importlib.import_module("mlflow.sklearn")
        module.save_model(
            sklearn_model(), tmp_path / "tmpx", pip_requirements=[], serialization_format="pickle"
        )
    source = read_mlmodel(tmp_path / "tmpx", candidate_of, "models:/late@champion")
    steps: list[str] = []
    options = RegistrationOptions(vocabulary=ORDER)
    with pytest.raises(Untrusted) as raised:
        register_version(harness.services, "delay", source, full()[0], options, steps.append)
    assert "models:/late@champion is for sklearn" in raised.value.message
    assert not [step for step in steps if "load" in step]
    trusting = replace(options, trust=True)
    register_version(harness.services, "delay", source, full()[0], trusting, steps.append)
    assert "load models:/late@champion in a process of its own" in steps
