"""What was once registered and served wrongly, each by itself: models whose own metadata says
more than their trees do, and outputs that are not what they look like."""

from __future__ import annotations

import itertools
import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from usecases.harness import CARRIERS, START
from usecases.registration import FILE, NAMES, ORDER, Registration, matrix, table

from windvane.adapters.lightgbm import read_lightgbm
from windvane.adapters.lightgbm.library import Booster
from windvane.adapters.xgboost import read_xgboost
from windvane.core.execution import RuntimeName
from windvane.core.signature import RowEncoder
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import CannotLoad, refuse_value
from windvane.usecases.accept_candidate import CandidateRefused
from windvane.usecases.explain_runtime import explain_runtime
from windvane.usecases.map_inputs import ModelInputs, map_inputs
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.register_version import BadInputs, BadOutputs, RegistrationOptions

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Add type hints to the:UserWarning"),
]

FOUR = """
model: four
predicts: {kind: binary, outcome: late}
features:
  all:
    a: {type: number}
    b: {type: number}
    p: {type: category}
    q: {type: category}
watch: {window: 1h, min_rows: 5, recent: 10h}
train: {min_rows: 400}
"""
ROWS = 1_000


def four(rows: int = ROWS) -> TrainingData:
    """Two numbers and two categories, which matter by their names and not by their order."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    p = rng.choice(["red", "green", "blue"], rows)
    q = rng.choice(["xs", "s", "m", "l", "xl"], rows)
    lift = np.array([{"red": 2.0, "green": -2.0, "blue": 0.0}[v] for v in p])
    lift += np.array([{"xs": 1.5, "s": -1.5, "m": 0.0, "l": 1.5, "xl": -1.5}[v] for v in q])
    late = (a + 0.5 * b + lift + rng.normal(0, 0.5, rows) > 0).astype(float)
    columns: dict[str, Any] = {
        "a": a.tolist(), "b": b.tolist(), "p": p.tolist(), "q": q.tolist(),
    }  # fmt: skip
    return TrainingData(columns, late, START + 60.0 * np.arange(rows))


def as_frame(data: TrainingData, order: Any) -> pd.DataFrame:
    """In an order of columns, with categories in the order in which they first come."""
    made = pd.DataFrame({name: data.columns[name] for name in order})
    for name in ("p", "q"):
        if name in made:
            made[name] = pd.Categorical(made[name], categories=list(dict.fromkeys(made[name])))
    return made


@pytest.fixture
def harness(registration: Registration) -> Registration:
    registration.apply(FILE)
    registration.apply(FOUR)
    return registration


def gap(found: Any, expected: Any) -> float:
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max())


def test_xgboost_stops_at_its_best_iteration(harness: Registration, tmp_path: Path) -> None:
    rows, late = matrix()
    noise = np.random.default_rng(0).permutation(late)
    frame = pd.DataFrame(rows, columns=NAMES)
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=15, n_jobs=1)
    model.fit(frame, late, eval_set=[(frame[:400], np.r_[late[:300], noise[:100]])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    model.save_model(tmp_path / "model.json")
    done = harness.register(tmp_path / "model.json")
    expected = model.predict_proba(frame)[:, 1]
    every = model.get_booster().inplace_predict(rows)
    assert gap(every, expected) > 0.01, "the test would not notice"
    assert gap(harness.served(done, table().columns), expected) < 1e-6
    explained = explain_runtime(harness.store, "delay").parity
    assert explained is not None
    assert explained.library.startswith("XGBClassifier (xgboost")
    fixed = harness.register(
        tmp_path / "model.json", RegistrationOptions(vocabulary=ORDER, rounds=3)
    )
    three = model.get_booster().inplace_predict(rows, iteration_range=(0, 3))
    assert gap(harness.served(fixed, table().columns), three) < 1e-6


def test_a_number_that_stands_for_none(harness: Registration, tmp_path: Path) -> None:
    """An XGBClassifier of missing=-999 says so in a pickle, and nowhere in its own file."""
    data = table()
    kept = {**data.columns, "temp": [-999.0 if t is None else t for t in data.columns["temp"]]}
    data = replace(data, columns=kept)
    rows = np.nan_to_num(matrix()[0], nan=-999.0)
    model = xgboost.XGBClassifier(n_estimators=20, missing=-999.0, n_jobs=1)
    model.fit(pd.DataFrame(rows, columns=NAMES), data.labels.astype(int))
    expected = model.predict_proba(rows)[:, 1]
    assert gap(model.get_booster().inplace_predict(rows), expected) > 0.01
    model.save_model(tmp_path / "model.ubj")
    options = RegistrationOptions(vocabulary=ORDER, missing=-999.0)
    done = harness.register(tmp_path / "model.ubj", options, data=data)
    assert gap(harness.served(done, data.columns), expected) < 1e-6
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    trusted = RegistrationOptions(vocabulary=ORDER, trust=True)
    done = harness.register(tmp_path / "model.pkl", trusted, data=data)
    assert gap(harness.served(done, data.columns), expected) < 1e-6


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_category_that_is_declared_as_an_integer(
    harness: Registration, tmp_path: Path, library: str
) -> None:
    data = four()
    months = [{"red": 1, "green": 7, "blue": 12}[v] for v in data.columns["p"]]
    frame = as_frame(data, ["a", "b", "p", "q"])
    frame["p"] = pd.Categorical(months)
    path = boosted(library, frame, data.labels, tmp_path)
    harness.apply(
        FOUR.replace("model: four", "model: months").replace("p: {type: cat", "p: {type: int")
        .replace("integeregory", "integer").replace("integory", "integer")
    )  # fmt: skip
    numbers = replace(data, columns={**data.columns, "p": months})
    with pytest.raises(BadInputs) as raised:
        harness.register(path, RegistrationOptions(), data=numbers, model="months")
    assert "REG-101" in str(raised.value)
    assert "category" in str(raised.value)
    assert "1, 7, 12" in str(raised.value)
    texts = replace(data, columns={**data.columns, "p": [str(m) for m in months]})
    done = harness.register(path, RegistrationOptions(), data=texts, model="four")
    expected = predicted(library, path, frame)
    assert gap(harness.served(done, texts.columns), expected) < 1e-6


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_number_that_is_declared_as_a_category(
    harness: Registration, tmp_path: Path, library: str
) -> None:
    data = four()
    frame = as_frame(data, ["a", "b", "p", "q"])
    path = boosted(library, frame, data.labels, tmp_path)
    harness.apply(
        FOUR.replace("model: four", "model: words").replace(
            "b: {type: number}", "b: {type: category}"
        )
    )
    words = replace(data, columns={**data.columns, "b": [f"{v:.1f}" for v in data.columns["b"]]})
    with pytest.raises(BadInputs, match=r"category"):
        harness.register(path, RegistrationOptions(), data=words, model="words")


def test_two_categories_of_lightgbm_keep_their_own_lists(tmp_path: Path) -> None:
    """In every order of the columns."""
    data = four()
    contract = read_model_file(FOUR).contract
    rows = list(zip(*(data.columns[name] for name in contract.names), strict=True))
    for order in itertools.permutations(["a", "b", "p", "q"]):
        frame = as_frame(data, order)
        path = boosted("lightgbm", frame, data.labels, tmp_path)
        read = read_lightgbm(path)
        message = ModelInputs.of(read, read.features, codes=False)
        inputs = map_inputs(contract, message, RegistrationOptions())
        encode = RowEncoder(inputs, contract.names, refuse_value)
        booster = Booster(read.body)
        found = booster.predict(np.array([encode(row) for row in rows], np.float64))
        booster.close()
        assert gap(found, predicted("lightgbm", path, frame)) < 1e-12, order


@pytest.mark.parametrize("order", [("q", "a", "p", "b"), ("p", "q", "b", "a")])
def test_two_categories_of_lightgbm_are_served(
    registration: Registration, tmp_path: Path, order: tuple[str, ...]
) -> None:
    registration.apply(FOUR)
    data = four()
    frame = as_frame(data, order)
    path = boosted("lightgbm", frame, data.labels, tmp_path)
    done = registration.register(path, RegistrationOptions(), data=data, model="four")
    expected = predicted("lightgbm", path, frame)
    assert gap(registration.served(done, data.columns), expected) < 1e-12


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_ordered_and_constant_categories(
    harness: Registration, tmp_path: Path, library: str
) -> None:
    """To LightGBM an ordered category is a number, and a constant one is none; both have lists."""
    data = four()
    data = replace(data, columns={**data.columns, "q": ["m"] * data.rows})
    frame = as_frame(data, ["q", "a", "p", "b"])
    frame["p"] = frame["p"].cat.as_ordered()
    path = boosted(library, frame, data.labels, tmp_path)
    done = harness.register(path, RegistrationOptions(), data=data, model="four")
    assert gap(harness.served(done, data.columns), predicted(library, path, frame)) < 1e-6


def boosted(library: str, frame: pd.DataFrame, labels: Any, folder: Path) -> Path:
    if library == "lightgbm":
        params = {"objective": "binary", "num_threads": 1, "verbose": -1, "min_data_per_group": 5}
        path = folder / "model.txt"
        lightgbm.train(params, lightgbm.Dataset(frame, labels), 15).save_model(path)
        return path
    path = folder / "model.ubj"
    model = xgboost.XGBClassifier(n_estimators=15, enable_categorical=True, n_jobs=1)
    model.fit(frame, labels.astype(int)).save_model(path)
    return path


def predicted(library: str, path: Path, frame: pd.DataFrame) -> Any:
    """By the library itself, as whoever trained it would."""
    if library == "lightgbm":
        return lightgbm.Booster(model_file=path).predict(frame)
    model = xgboost.XGBClassifier()
    model.load_model(path)
    return model.predict_proba(frame)[:, 1]


def test_three_classes_are_no_binary_model(harness: Registration, tmp_path: Path) -> None:
    rows, late = matrix()
    params = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    classes = late + (rows[:, 0] > 1_500)
    xgboost.train(params, xgboost.DMatrix(rows, label=classes, feature_names=NAMES), 5).save_model(
        tmp_path / "model.ubj"
    )
    with pytest.raises(BadOutputs) as raised:
        harness.register(tmp_path / "model.ubj")
    assert "the model gives 3 classes a row, the model's file says binary" in str(raised.value)


def test_inputs_in_another_order_than_the_model_says(harness: Registration, tmp_path: Path) -> None:
    rows, late = matrix()
    given = xgboost.DMatrix(rows, label=late, feature_names=NAMES)
    xgboost.train({"objective": "binary:logistic"}, given, 3).save_model(tmp_path / "model.ubj")
    options = RegistrationOptions(vocabulary=ORDER, inputs=("temp", "carrier", "distance"))
    with pytest.raises(BadInputs, match=r"column 0 is temp, the model says that it is distance"):
        harness.register(tmp_path / "model.ubj", options)


def test_names_that_differ_are_mapped(harness: Registration, tmp_path: Path) -> None:
    """LightGBM writes another name than the frame's, and brackets are none that XGBoost takes."""
    rows, late = matrix()
    harness.apply(
        FILE.replace("model: delay", "model: spaced").replace(
            "distance:", '"flight distance [mi]":'
        )
    )
    params = {"objective": "binary", "num_threads": 1, "verbose": -1}
    names = ["flight_distance", "carrier", "temp"]
    made = lightgbm.train(params, lightgbm.Dataset(rows, late, feature_name=names), 10)
    made.save_model(tmp_path / "model.txt")
    data = table()
    columns = {"flight distance [mi]": data.columns["distance"], **data.columns}
    data = replace(data, columns=columns)
    with pytest.raises(BadInputs, match=r"'flight_distance' is no feature.*--map"):
        harness.register(tmp_path / "model.txt", data=data, model="spaced")
    turned = RegistrationOptions(names={"flight_distance": "flight distance [mi]"})
    with pytest.raises(BadInputs, match="no feature 'flight_distance'") as raised:
        harness.register(tmp_path / "model.txt", turned, data=data, model="spaced")
    assert "the other way round" in raised.value.advice
    options = RegistrationOptions(
        vocabulary=ORDER, names={"flight distance [mi]": "flight_distance"}
    )
    done = harness.register(tmp_path / "model.txt", options, data=data, model="spaced")
    assert gap(harness.served(done, columns), made.predict(rows)) < 1e-12


def pyfunc(folder: Path, model: Any, frame: pd.DataFrame) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc
        from mlflow.models import infer_signature

        mlflow.pyfunc.save_model(
            folder, python_model=model, pip_requirements=[], signature=infer_signature(frame)
        )
    return folder


def rule(gives: str) -> Any:
    """A pyfunc, and what it gives. Hints on its method would be enforced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc

        class Rule(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                import numpy as np
                import pandas as pd

                if gives == "no zeros" and (model_input["a"] == 0.0).any():
                    raise ValueError("the logarithm of nothing")
                raw = model_input["a"] + 0.5 * model_input["b"]
                p = 1.0 / (1.0 + np.exp(-raw))
                if gives == "labels":
                    return (p > 0.5).astype(int)
                if gives == "probability, label":
                    return pd.DataFrame({"label": (p > 0.5).astype(int), "probability": p})
                if gives == "score, text":
                    words = ["yes" if v > 0.5 else "no" for v in p]
                    return pd.DataFrame({"said": words, "score": p, "other": 1.0 - p})
                return np.stack([1.0 - p, p], axis=1)

    return Rule()


def test_a_pyfunc_that_gives_labels_is_refused(harness: Registration, tmp_path: Path) -> None:
    frame = pd.DataFrame({name: four().columns[name] for name in ("a", "b")})
    path = pyfunc(tmp_path / "m", rule("labels"), frame)
    with pytest.raises(BadOutputs, match=r"labels, not probabilities"):
        harness.register(path, RegistrationOptions(trust=True), data=four(), model="four")


def test_a_version_that_no_gateway_would_load_is_not_registered(
    harness: Registration, tmp_path: Path
) -> None:
    """It was registered and deployed, and never answered: it fails on the row of its warm-up."""
    frame = pd.DataFrame({name: four().columns[name] for name in ("a", "b")})
    assert (frame["a"] != 0.0).all()
    path = pyfunc(tmp_path / "m", rule("no zeros"), frame)
    with pytest.raises(CannotLoad, match=r"warms it up \(a 0\.0, .*the logarithm of nothing"):
        harness.register(path, RegistrationOptions(trust=True), data=four(), model="four")
    assert harness.versions("four") == []


def test_a_frame_of_a_pyfunc_is_taken_by_its_columns(harness: Registration, tmp_path: Path) -> None:
    data = four()
    frame = pd.DataFrame({name: data.columns[name] for name in ("a", "b")})
    trusted = RegistrationOptions(trust=True)
    expected = rule("both").predict(None, frame)[:, 1]
    path = pyfunc(tmp_path / "one", rule("probability, label"), frame)
    done = harness.register(path, trusted, data=data, model="four")
    assert gap(harness.served(done, data.columns), expected) < 1e-9
    path = pyfunc(tmp_path / "other", rule("score, text"), frame)
    with pytest.raises(BadOutputs, match=r"score \[\], other \[\].*--output score"):
        harness.register(path, trusted, data=data, model="four")
    done = harness.register(path, replace(trusted, output="score"), data=data, model="four")
    assert gap(harness.served(done, data.columns), expected) < 1e-9


def test_none_may_be_a_category_of_its_own(harness: Registration, tmp_path: Path) -> None:
    harness.apply(
        FOUR.replace("model: four", "model: gaps")
        .replace("p: {type: category}", "p: {type: category, nullable: true}")
    )  # fmt: skip
    data = four()
    p = [None if v == "red" else v for v in data.columns["p"]]
    data = replace(data, columns={**data.columns, "p": p})
    frame = pd.DataFrame({name: data.columns[name] for name in ("a", "b", "q")})
    frame["p"] = pd.Series(p, dtype=object)
    parts = ColumnTransformer(
        [
            ("n", StandardScaler(), ["a", "b"]),
            ("w", OneHotEncoder(handle_unknown="ignore"), ["p", "q"]),
        ]
    )
    model = make_pipeline(parts, LogisticRegression()).fit(frame, data.labels.astype(int))
    assert None in parts.fit(frame).named_transformers_["w"].categories_[0]
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    done = harness.register(
        tmp_path / "model.pkl", RegistrationOptions(trust=True), data=data, model="gaps"
    )
    expected = model.predict_proba(frame)[:, 1]
    filled = model.predict_proba(frame.fillna({"p": np.nan}))[:, 1]
    assert gap(filled, expected) > 0.3, "the test would not notice"
    assert gap(harness.served(done, data.columns), expected) < 1e-12


def test_booleans_and_times_of_a_signature(harness: Registration, tmp_path: Path) -> None:
    harness.apply("""
model: typed
predicts: {kind: binary, outcome: late}
features:
  all:
    a: {type: number}
    busy: {type: boolean}
    at: {type: datetime}
watch: {window: 1h, min_rows: 5, recent: 10h}
train: {min_rows: 400}
""")
    rng = np.random.default_rng(1)
    a, busy = rng.normal(size=ROWS), rng.random(ROWS) < 0.5
    at = START + 3_600.0 * rng.integers(0, 24, ROWS)
    hour = (at - START) / 3_600.0
    late = (a + 2.0 * busy + hour / 12.0 + rng.normal(0, 0.5, ROWS) > 2.0).astype(float)
    columns: dict[str, Any] = {"a": a.tolist(), "busy": busy.tolist(), "at": at.tolist()}
    data = TrainingData(columns, late, START + 60.0 * np.arange(ROWS))
    frame = pd.DataFrame(columns)
    frame["at"] = pd.to_datetime(frame["at"], unit="s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc

        class Typed(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                import numpy as np

                assert model_input["busy"].dtype == bool
                hour = model_input["at"].dt.hour
                raw = model_input["a"] + 2.0 * model_input["busy"] + hour / 12.0 - 2.0
                return np.asarray(1.0 / (1.0 + np.exp(-raw)))

    path = pyfunc(tmp_path / "m", Typed(), frame)
    done = harness.register(path, RegistrationOptions(trust=True), data=data, model="typed")
    assert gap(harness.served(done, columns), Typed().predict(None, frame)) < 1e-9
    explained = explain_runtime(harness.store, "typed")
    assert explained.runtime is RuntimeName.PYFUNC


def test_what_differs_is_refused_row_by_row_or_signed(
    harness: Registration, tmp_path: Path
) -> None:
    """A reader that brings other trees stands for all that could go wrong on the way."""
    rows, late = matrix()
    given = xgboost.DMatrix(rows, label=late, feature_names=NAMES)
    params = {"objective": "binary:logistic", "nthread": 1}
    xgboost.train(params, given, 10).save_model(tmp_path / "model.ubj")
    xgboost.train(params, given, 9).save_model(tmp_path / "other.ubj")
    readers = {RuntimeName.XGBOOST: lambda _: read_xgboost(tmp_path / "other.ubj")}
    harness.services = replace(harness.services, readers=readers)
    with pytest.raises(CandidateRefused) as raised:
        harness.register(tmp_path / "model.ubj")
    message = str(raised.value)
    assert "ACC-503" in message
    assert message.count("real rows: distance=") == 10
    assert "by its library" in message
    assert "--accept REASON" in message
    assert harness.versions() == []
    options = RegistrationOptions(
        vocabulary=ORDER, accept="one tree less, agreed in OPS-7", accepted_by="ada"
    )
    done = harness.register(tmp_path / "model.ubj", options)
    assert done.version.lineage["accepted"] == {
        "reason": "one tree less, agreed in OPS-7", "by": "ada",
    }  # fmt: skip
    assert "accepted by ada: one tree less" in done.verdict.sentence
    report = explain_runtime(harness.store, "delay").parity
    assert report is not None
    assert report.moved > 100
    assert (report.accepted, report.accepted_by) == ("one tree less, agreed in OPS-7", "ada")
    written = json.loads((Path(done.version.artifact) / "parity.json").read_bytes())
    assert written["examples"][0]["inputs"]["carrier"] in CARRIERS


def test_where_there_is_no_library_the_report_says_so(
    harness: Registration, tmp_path: Path
) -> None:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    rows, late = np.nan_to_num(matrix()[0], nan=60.0), matrix()[1]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, late)
    made: Any = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, 3]))])
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    data = table()
    full = {**data.columns, "temp": [60.0 if t is None else t for t in data.columns["temp"]]}
    options = RegistrationOptions(inputs=tuple(NAMES), vocabulary=ORDER)
    done = harness.register(tmp_path / "model.onnx", options, data=replace(data, columns=full))
    report = explain_runtime(harness.store, "delay", done.version.version).parity
    assert report is not None
    assert report.not_compared == "an ONNX graph has no Python library of its own"
    assert done.version.lineage["parity"]["rows"] == 0
