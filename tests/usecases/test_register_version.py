"""Models that were made elsewhere, from files to registered versions, with all that is real."""

from __future__ import annotations

import os
import pickle
import warnings
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from usecases.harness import CARRIERS, MODEL
from usecases.registration import FILE, NAMES, ORDER, Registration, frame, matrix, table

from windvane.adapters.mlflow.source import read_mlmodel
from windvane.core.execution import RuntimeName
from windvane.ports.runtime import CannotLoad, Untrusted
from windvane.usecases.accept_candidate import CandidateRefused, Trained
from windvane.usecases.explain_runtime import explain_runtime
from windvane.usecases.read_source import candidate_of
from windvane.usecases.register_version import BadInputs, BadOutputs, RegistrationOptions
from windvane.usecases.replay_decision import replay_decision

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*feature names.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*Add type hints to the:UserWarning"),
]


@pytest.fixture
def harness(registration: Registration) -> Registration:
    registration.apply(FILE)
    return registration


VERSION = metadata.version("xgboost-cpu")


def answers(harness: Registration, done: Trained, *, trusted: bool = False) -> Any:
    return harness.served(done, table().columns, trusted=trusted)


def test_a_booster_is_served_by_its_own_library(harness: Registration, tmp_path: Path) -> None:
    rows, late = matrix()
    given = xgboost.DMatrix(rows, label=late, feature_names=NAMES)
    made = xgboost.train({"objective": "binary:logistic", "nthread": 1}, given, 10)
    made.save_model(tmp_path / "model.ubj")
    done = harness.register(tmp_path / "model.ubj")
    assert done.version.lineage["runtime"]["runtime"] == "xgboost"
    explained = explain_runtime(harness.store, MODEL).parity
    assert explained is not None
    assert (explained.rows, explained.moved, explained.library) == (
        1_000,
        0,
        f"Booster (xgboost-cpu {VERSION})",
    )
    assert explained.probes > 500
    assert {"temp missing", "carrier never seen"} < {group.name for group in explained.groups}
    assert done.version.metrics["auc"] > 0.8
    assert np.array_equal(answers(harness, done), made.inplace_predict(rows).astype(float))
    with harness.store.read() as tx:
        decision = tx.decision(f"{MODEL}/register/{done.version.version}")
    assert replay_decision(decision).same


def test_lightgbm_brings_its_own_categories(harness: Registration, tmp_path: Path) -> None:
    """Trained on a frame with a categorical column: the file holds the order."""
    rows, late = frame()
    rows["carrier"] = pd.Categorical(rows["carrier"], categories=sorted(CARRIERS, reverse=True))
    params = {"objective": "binary", "num_threads": 1, "verbose": -1, "min_data_per_group": 5}
    made = lightgbm.train(params, lightgbm.Dataset(rows, late), 10)
    made.save_model(tmp_path / "model.txt")
    done = harness.register(tmp_path / "model.txt", RegistrationOptions())
    assert np.array_equal(answers(harness, done), made.predict(rows))


def test_a_foreign_graph_with_a_list_of_maps_is_taken(
    harness: Registration, tmp_path: Path
) -> None:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    rows, late = matrix()
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(rows, late)
    made: Any = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, 3]))])
    assert any(node.op_type == "ZipMap" for node in made.graph.node)
    onnx.save_model(
        made, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin",
        size_threshold=0, convert_attribute=True,
    )  # fmt: skip
    with pytest.raises(BadInputs, match="does not name its inputs"):
        harness.register(tmp_path / "model.onnx")
    options = RegistrationOptions(inputs=tuple(NAMES), vocabulary=ORDER)
    done = harness.register(tmp_path / "model.onnx", options)
    assert done.version.lineage["runtime"]["runtime"] == "onnx"
    assert np.abs(answers(harness, done) - model.predict_proba(rows)[:, 1]).max() < 1e-5


def test_an_estimator_of_data_becomes_a_graph_that_gives_its_answers(
    harness: Registration, tmp_path: Path
) -> None:
    rows, late = matrix()
    model = HistGradientBoostingClassifier(max_iter=10).fit(rows, late)
    skops.io.dump(model, tmp_path / "model.skops")
    done = harness.register(
        tmp_path / "model.skops", RegistrationOptions(inputs=tuple(NAMES), vocabulary=ORDER)
    )
    explained = explain_runtime(harness.store, MODEL)
    assert (explained.runtime, explained.sandboxed, explained.can_serve) == (
        RuntimeName.ONNX,
        False,
        True,
    )
    assert explained.passed_over == {"sklearn": "slower here than onnx"}
    assert explained.parity is not None
    assert explained.parity.probes > 50
    assert explained.parity.max_difference < 1e-6
    assert explained.parity.changed_labels == 0
    files = Path(done.version.artifact)
    assert not (files / "model.skops").exists()
    assert b'"probes":' in (files / "parity.json").read_bytes()
    assert np.abs(answers(harness, done) - model.predict_proba(rows)[:, 1]).max() < 1e-6


def test_a_graph_that_answers_otherwise_is_passed_over_with_numbers(
    harness: Registration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of another forest stands for a converter that went wrong."""
    rows, late = matrix()
    wrong = HistGradientBoostingClassifier(max_iter=9).fit(rows, late)
    from windvane.adapters.onnx.convert import to_graph
    from windvane.adapters.sandbox.runtime import SandboxLibrary
    from windvane.ports.library import Converted

    skops.io.dump(HistGradientBoostingClassifier(max_iter=10).fit(rows, late), tmp_path / "m.skops")
    made = Converted(to_graph(wrong, 3), rows[:20])
    monkeypatch.setattr(SandboxLibrary, "convert", lambda *_: made)
    done = harness.register(
        tmp_path / "m.skops", RegistrationOptions(inputs=tuple(NAMES), vocabulary=ORDER)
    )
    explained = explain_runtime(harness.store, MODEL, done.version.version)
    assert (explained.runtime, explained.needs_trust, explained.sandboxed) == (
        RuntimeName.SKLEARN,
        False,
        True,
    )
    assert "its graph differs by 0.0" in explained.passed_over["onnx"]
    assert "real rows" in explained.passed_over["onnx"]
    assert explained.parity is not None
    assert explained.parity.moved == 0
    assert explained.parity.library.startswith("HistGradientBoostingClassifier (scikit-learn ")


def test_a_table_of_words_stays_with_scikit_learn(harness: Registration, tmp_path: Path) -> None:
    rows, late = frame()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    parts = ColumnTransformer([("n", numbers, ["distance", "temp"]), ("w", words, ["carrier"])])
    model = make_pipeline(parts, LogisticRegression()).fit(rows, late)
    skops.io.dump(model, tmp_path / "model.skops")
    done = harness.register(tmp_path / "model.skops", RegistrationOptions())
    explained = explain_runtime(harness.store, MODEL)
    assert explained.runtime is RuntimeName.SKLEARN
    assert "carrier come as words" in explained.passed_over["onnx"]
    expected = model.predict_proba(rows)[:, 1]
    assert np.abs(answers(harness, done) - expected).max() < 1e-9


def test_a_pickle_needs_trust_and_its_graph_does_not(harness: Registration, tmp_path: Path) -> None:
    rows, late = matrix()
    forest = RandomForestClassifier(20, max_depth=5, random_state=0)
    model = make_pipeline(SimpleImputer(), forest).fit(rows, late)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    options = RegistrationOptions(inputs=tuple(NAMES), vocabulary=ORDER)
    with pytest.raises(Untrusted, match=r"RUN-104.*--trust"):
        harness.register(tmp_path / "model.pkl", options)
    assert harness.versions() == []
    done = harness.register(tmp_path / "model.pkl", replace(options, trust=True))
    explained = explain_runtime(harness.store, MODEL)
    assert (explained.runtime, explained.can_serve) == (RuntimeName.ONNX, True)
    assert explained.parity is not None
    assert explained.parity.moved == 0
    assert not (Path(done.version.artifact) / "model.pkl").exists()
    assert np.abs(answers(harness, done) - model.predict_proba(rows)[:, 1]).max() < 1e-5


def test_a_graph_that_takes_a_gap_otherwise_is_passed_over(
    harness: Registration, tmp_path: Path
) -> None:
    """No row of the table has a gap, but the model's file allows one: a forest sends it its own
    way, and skl2onnx's graph another."""
    rows, late = matrix()
    model = RandomForestClassifier(20, max_depth=5, random_state=0).fit(np.nan_to_num(rows), late)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    data = table()
    full = {**data.columns, "temp": [0.0 if t is None else t for t in data.columns["temp"]]}
    options = RegistrationOptions(inputs=tuple(NAMES), vocabulary=ORDER, trust=True)
    harness.register(tmp_path / "model.pkl", options, data=replace(data, columns=full))
    explained = explain_runtime(harness.store, MODEL)
    assert (explained.runtime, explained.can_serve) == (RuntimeName.SKLEARN, False)
    assert "50 beyond 1e-05" in explained.passed_over["onnx"]


def test_a_hostile_pickle_is_never_read(harness: Registration, tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {touched}",)

    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(Untrusted):
        harness.register(tmp_path / "model.pkl")
    assert not touched.exists()


def saved(path: Path, flavour: Any, model: Any, **given: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        flavour().save_model(model, path, pip_requirements=[], **given)
    return path


def flavour(name: str) -> Any:
    import importlib

    return lambda: importlib.import_module(f"mlflow.{name}")


def test_an_mlflow_folder_is_served_by_its_native_flavour(
    harness: Registration, tmp_path: Path
) -> None:
    """The generic flavour of the same folder is code; it is passed over without trust."""
    rows, late = matrix()
    params = {"objective": "binary", "num_threads": 1, "verbose": -1}
    made = lightgbm.train(params, lightgbm.Dataset(rows, late, feature_name=NAMES), 10)
    done = harness.register(saved(tmp_path / "m", flavour("lightgbm"), made))
    told_us = explain_runtime(harness.store, MODEL)
    assert told_us.runtime is RuntimeName.LIGHTGBM
    assert told_us.passed_over == {"pyfunc": "slower here than lightgbm"}
    assert np.array_equal(answers(harness, done), made.predict(rows))


def test_an_mlflow_pyfunc_is_the_last_resort(harness: Registration, tmp_path: Path) -> None:
    """Its own code gives the probability; only trust lets it in, and it runs apart."""
    rows, _ = frame()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc
        from mlflow.models import infer_signature

        class Rule(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):  # hints would be enforced
                temp = model_input["temp"].fillna(60.0)
                raw = model_input["distance"] / 900.0 - temp / 20.0 + 2.0
                return 1.0 / (1.0 + np.exp(-raw))

        mlflow.pyfunc.save_model(
            tmp_path / "m", python_model=Rule(), pip_requirements=[],
            signature=infer_signature(rows),
        )  # fmt: skip
    with pytest.raises(Untrusted):
        harness.register(tmp_path / "m", RegistrationOptions())
    done = harness.register(tmp_path / "m", RegistrationOptions(trust=True))
    explained = explain_runtime(harness.store, MODEL)
    assert (explained.runtime, explained.needs_trust, explained.trusted) == (
        RuntimeName.PYFUNC,
        True,
        False,
    )
    with pytest.raises(Untrusted):  # registering trusted it for once, not for good
        harness.load(done)
    expected = Rule().predict(None, rows)
    assert np.abs(answers(harness, done, trusted=True) - expected).max() < 1e-9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (RegistrationOptions(), "carrier is a category"),
        (RegistrationOptions(inputs=("distance", "carier", "temp")), "did you mean 'carrier'"),
        (RegistrationOptions(inputs=("distance", "carier", "tmp")), "file: carier, tmp Hint: did"),
        (RegistrationOptions(inputs=("far", "distance", "temp")), "temp. Either --map"),
        (RegistrationOptions(inputs=("distance", "distance", "temp")), "named twice"),
        (RegistrationOptions(vocabulary={**ORDER, "no": ["x"]}), "the vocabulary of 'no'"),
    ],
)
def test_inputs_that_cannot_be_told_are_refused(
    harness: Registration, tmp_path: Path, options: RegistrationOptions, said: str
) -> None:
    rows, late = matrix()
    given = xgboost.DMatrix(rows, label=late, feature_names=NAMES)
    xgboost.train({"nthread": 1}, given, 2).save_model(tmp_path / "model.ubj")
    with pytest.raises(BadInputs, match="REG-101") as raised:
        harness.register(tmp_path / "model.ubj", options)
    assert said in str(raised.value)


def test_outputs_that_are_no_probabilities_are_refused(
    harness: Registration, tmp_path: Path
) -> None:
    rows, late = matrix()
    given = xgboost.DMatrix(rows, label=late * 8 - 4, feature_names=NAMES)
    made = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, given, 10)
    made.save_model(tmp_path / "model.ubj")
    with pytest.raises(BadOutputs, match="REG-102"):
        harness.register(tmp_path / "model.ubj")
    done = harness.register(
        tmp_path / "model.ubj", RegistrationOptions(vocabulary=ORDER, logits=True)
    )
    raw = made.inplace_predict(rows).astype(float)
    assert np.abs(answers(harness, done) - 1.0 / (1.0 + np.exp(-raw))).max() < 1e-9


def test_a_model_that_is_not_good_enough_is_refused(harness: Registration, tmp_path: Path) -> None:
    rows, late = matrix()
    given = xgboost.DMatrix(rows, label=1 - late, feature_names=NAMES)
    made = xgboost.train({"objective": "binary:logistic", "nthread": 1}, given, 10)
    made.save_model(tmp_path / "model.ubj")
    with pytest.raises(CandidateRefused, match="ACC-502"):
        harness.register(tmp_path / "model.ubj")
    assert harness.versions() == []


@pytest.mark.parametrize("name", ["model.h5", "missing.onnx"])
def test_a_file_of_no_known_kind_says_what_is_known(tmp_path: Path, name: str) -> None:
    if name.endswith("h5"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CannotLoad, match="RUN-105"):
        candidate_of(tmp_path / name)


def test_a_pt_file_of_weights_is_no_module(tmp_path: Path, harness: Registration) -> None:
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"weights": [1.0]}))
    with pytest.raises(CannotLoad, match="holds weights but no module"):
        harness.register(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname"])
def test_an_mlmodel_cannot_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.txt").write_text("tree\n")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text(f"flavors: {{lightgbm: {{data: {name}}}}}")
    with pytest.raises(CannotLoad, match="does not lie in its folder"):
        read_mlmodel(tmp_path / "m", candidate_of)


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path, harness: Registration) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text("flavors: {python_function: {loader_module: x}}")
    (tmp_path / "m" / "more").symlink_to("/etc")
    with pytest.raises(CannotLoad, match="is a link"):
        harness.register(tmp_path / "m", RegistrationOptions(trust=True))
