"""Small models of every usual kind, as their authors would train and save them.

Each maker is given a folder and the training table; it gives the file, and what the model's own
library answers to a frame of rows, (rows,) or (rows, outputs).
"""

from __future__ import annotations

import gzip
import pickle
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import catboost
import cloudpickle
import joblib
import lightgbm
import numpy as np
import pandas as pd
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from usecases.harness import START

from windvane.ports.learner import TrainingData
from windvane.usecases.register_version import RegistrationOptions

ROWS = 700
COLORS = ("blue", "green", "red")
CLASSES = ("high", "low", "mid")
TAGS = ("cold", "far", "loud")

FEATURES = {
    "n1": "{type: number}",
    "n2": "{type: number, nullable: true}",
    "i": "{type: integer}",
    "c": "{type: category}",
    "gap": "{type: category, nullable: true}",
    "b": "{type: boolean}",
    "t": "{type: datetime}",
    "text": "{type: text}",
    "v": "{type: vector, length: 4}",
}
TASKS = {
    "binary": "{kind: binary, outcome: y}",
    "multiclass": "{kind: multiclass, classes: [high, low, mid], outcome: y}",
    "multilabel": "{kind: multilabel, classes: [cold, far, loud], outcome: y}",
    "regression": "{kind: regression, outcome: y}",
    "two values": "{kind: regression, outputs: [near, late], outcome: y}",
    "ranking": "{kind: ranking, outcome: y}",
}
UNITS = ("multilabel", "regression", "two values")  # less is better
NUMBERS = ("n1", "n2", "i")
MIXED = ("n1", "n2", "i", "c")
TRUST = RegistrationOptions(trust=True)
NAMED = RegistrationOptions(classes=CLASSES)
Answers = Callable[[pd.DataFrame], Any]
Maker = Callable[[Path, pd.DataFrame, Any], tuple[Path, Answers]]


@dataclass(frozen=True)
class Animal:
    """``name``: framework, what it is. ``tolerance`` is absolute; ``full``: its library takes no
    missing values, so the contract allows none."""

    name: str
    task: str
    features: Sequence[str]
    make: Maker
    options: RegistrationOptions = field(default_factory=RegistrationOptions)
    tolerance: float = 1e-6
    full: bool = False
    slow: bool = True


@cache
def everything() -> pd.DataFrame:
    """Every feature, and from them every label."""
    rng = np.random.default_rng(11)
    made = pd.DataFrame({
        "n1": rng.normal(size=ROWS).round(4),
        "n2": rng.normal(10.0, 3.0, ROWS).round(3),
        "i": rng.integers(0, 30, ROWS),
        "c": rng.choice(COLORS, ROWS),
        "gap": pd.Series(rng.choice(["a", "b", None], ROWS), dtype=object),
        "b": rng.random(ROWS) < 0.4,
        "t": pd.to_datetime(START + 3_600.0 * rng.integers(0, 500, ROWS), unit="s", utc=True),
    })  # fmt: skip
    for name in ("c", "gap"):
        made[name] = made[name].astype(object).where(made[name].notna(), None)
    vectors = rng.normal(size=(ROWS, 4)).round(4)
    made["v"] = list(vectors)
    strength = made.n1 + 0.2 * (made.n2 - 10.0) + 0.05 * made.i + 1.5 * (made.c == "red")
    strength += 0.8 * made.b + vectors[:, 0] + 0.002 * (made.t.dt.hour - 12)
    strength = strength.to_numpy(np.float64)
    words = [
        " ".join(
            rng.choice(["refund", "angry", "late"] if s > 1.5 else ["thanks", "great", "ok"], 6)
        )
        for s in strength
    ]
    made["text"] = pd.Series(words, dtype=object)
    made["strength"] = strength + rng.normal(0, 0.3, ROWS)
    made.loc[rng.random(ROWS) < 0.1, "n2"] = np.nan
    return made


def labels_of(task: str) -> Any:
    """As the task takes them: codes of classes, 0 and 1, numbers, (rows, n)."""
    strength = everything()["strength"].to_numpy(np.float64)
    match task:
        case "binary":
            return (strength > 1.5).astype(float)
        case "multiclass":
            return np.select([strength > 2.5, strength > 0.5], [0.0, 2.0], 1.0)
        case "multilabel":
            made = everything()
            return np.stack([strength < 1.0, made.n1 > 0.0, made.c == "red"], 1).astype(float)
        case "two values":
            return np.stack([strength, 3.0 * strength + 1.0], axis=1)
        case "ranking":
            return np.clip(np.round(strength), 0.0, 3.0)
        case _:
            return strength


def frame_of(animal: Animal) -> pd.DataFrame:
    made = everything()[list(animal.features)].copy()
    if animal.full and "n2" in made:
        made["n2"] = made["n2"].fillna(10.0)
    return made


def data_of(animal: Animal) -> TrainingData:
    return TrainingData(
        columns_of(frame_of(animal)), labels_of(animal.task), START + 60.0 * np.arange(ROWS)
    )


def columns_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """As clients send them, and as a contract holds them."""
    out: dict[str, list[Any]] = {}
    for name in frame:
        column = frame[name]
        if column.dtype.kind == "M":
            values: list[Any] = [moment.timestamp() for moment in column]
        elif name == "v":
            values = [list(map(float, v)) for v in column]
        else:
            values = [None if pd.isna(v) else v for v in column.tolist()]
        out[str(name)] = values
    return out


def text_of(animal: Animal, name: str) -> str:
    lines = []
    for one in animal.features:
        told = FEATURES[one].replace(", nullable: true", "") if animal.full else FEATURES[one]
        lines.append(f"    {one}: {told}")
    held = "\n".join(lines)
    return (
        f"model: {name}\npredicts: {TASKS[animal.task]}\nfeatures:\n  all:\n{held}\n"
        "watch: {window: 1h, min_rows: 5, recent: 10h}\n"
        # What is tried is whether it answers alike; 140 rows tell nothing of how well.
        f"train: {{min_rows: 400, floor: {1e9 if animal.task in UNITS else 0.0}}}\n"
    )


# scikit-learn


def sklearn_by(model: Callable[[], Any], saved: str = "skops") -> Maker:
    """An estimator that takes the frame itself."""

    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        path = folder / f"model.{saved}"
        made = fitted(model(), frame, labels)
        save(made, path)
        return path, lambda rows: answers_of(made, rows)

    return make


def fitted(model: Any, rows: Any, labels: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some do not converge, and need not
        return model.fit(rows, named(labels, model))


def named(labels: Any, model: Any) -> Any:
    """Classes by their names where a classifier learns them."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if not hasattr(last, "predict_proba") or np.ndim(labels) > 1:
        return labels
    whole = labels.astype(int)
    return np.array(CLASSES)[whole] if whole.max() > 1 else whole


def answers_of(model: Any, rows: Any) -> Any:
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(rows))
    found = model.predict_proba(rows)
    if isinstance(found, list):
        return np.stack([one[:, 1] for one in found], axis=1)
    return found[:, 1] if found.shape[1] == 2 else found


def save(model: Any, path: Path) -> None:
    match path.suffixes:
        case [".skops"]:
            skops.io.dump(model, path)
        case [".joblib", *_]:
            joblib.dump(model, path)
        case [".pkl", ".gz"]:
            path.write_bytes(gzip.compress(pickle.dumps(model)))
        case _:
            cloudpickle.register_pickle_by_value(sys.modules[__name__])
            path.write_bytes(cloudpickle.dumps(model))


def table(last: Any, *, words: Sequence[str] = ("c",), encoder: Any = None) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    rest = encoder or OneHotEncoder(handle_unknown="ignore")
    parts = [("n", numbers, ["n1", "n2", "i"]), ("w", rest, list(words))]
    return make_pipeline(ColumnTransformer(parts), last)


def hours(rows: Any) -> Any:
    made = rows.copy()
    made["t"] = rows["t"].dt.hour / 24.0
    return made.astype(float)


def plain(last: Any) -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler(), last)


def ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def texts(last: Any) -> Any:
    return make_pipeline(TfidfVectorizer(), last)


def vectors(model: Callable[[], Any], saved: str = "pkl") -> Maker:
    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        path = folder / f"model.{saved}"
        made = fitted(model(), np.stack(list(frame["v"])), labels)
        save(made, path)
        return path, lambda rows: answers_of(made, np.stack(list(rows["v"])))

    return make


def only_text(model: Callable[[], Any]) -> Maker:
    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        made = fitted(model(), frame["text"], labels)
        save(made, folder / "model.pkl")
        return folder / "model.pkl", lambda rows: answers_of(made, rows["text"])

    return make


# XGBoost, LightGBM, CatBoost


def in_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    made = frame.copy()
    if "t" in made:
        made["t"] = [moment.timestamp() for moment in made["t"]]
    return made


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Times as seconds, which is all that boosters take of them."""
    made = in_seconds(frame)
    for name in made.columns.intersection(["c", "gap"]):
        known = made[name].where(made[name].isin(COLORS), None)
        made[name] = pd.Categorical(known, categories=["red", "blue", "green"])
    return made


def xgboost_by(kind: Any, name: str = "model.ubj", **given: Any) -> Maker:
    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        shape = {} if given.get("booster") == "gblinear" else {"max_depth": 3}
        model = kind(n_estimators=12, n_jobs=1, enable_categorical=True, **shape, **given)
        whole = labels.astype(int) if "Classifier" in kind.__name__ else labels
        more = {"qid": np.arange(ROWS) // 20} if "Ranker" in kind.__name__ else {}
        model.fit(as_categories(frame), whole, **more)
        path = folder / name
        if path.suffix == ".pkl":
            path.write_bytes(pickle.dumps(model))
        else:
            model.save_model(path)
        return path, lambda rows: boosted_answers(model, as_categories(rows), labels)

    return make


def boosted_answers(model: Any, rows: pd.DataFrame, labels: Any) -> Any:
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(rows))
    found = np.asarray(model.predict_proba(rows))
    return found[:, 1] if found.shape[1] == 2 and np.ndim(labels) == 1 else found


def lightgbm_by(objective: str, name: str = "model.txt", **given: Any) -> Maker:
    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        params = {"objective": objective, "num_threads": 1, "verbose": -1, "num_leaves": 7,
                "min_data_per_group": 5, **given}  # fmt: skip
        groups = {"group": [20] * (ROWS // 20)} if objective == "lambdarank" else {}
        whole = labels.astype(int) if groups else labels
        made = lightgbm.train(params, lightgbm.Dataset(as_categories(frame), whole, **groups), 12)
        made.save_model(folder / name)
        return folder / name, lambda rows: np.asarray(made.predict(as_categories(rows)))

    return make


def catboost_by(kind: Any, **given: Any) -> Maker:
    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        words = [name for name in ("c",) if name in frame]
        model = kind(
            iterations=12, depth=3, cat_features=words or None, verbose=0, thread_count=1,
            allow_writing_files=False, **given,
        )  # fmt: skip
        whole = labels
        if "Classifier" in kind.__name__ and np.ndim(labels) == 1:
            codes = labels.astype(int)
            whole = np.array(CLASSES)[codes] if codes.max() > 1 else codes
        model.fit(in_seconds(frame), whole)
        model.save_model(folder / "model.cbm")

        def answers(rows: pd.DataFrame) -> Any:
            rows = in_seconds(rows)
            if not hasattr(model, "predict_proba"):
                return model.predict(rows)
            found = model.predict_proba(rows)
            return found[:, 1] if found.shape[1] == 2 else found

        return folder / "model.cbm", answers

    return make


# ONNX


def onnx_by(model: Callable[[], Any], kinds: dict[str, str], **given: Any) -> Maker:
    """skl2onnx's graph of a pipeline, one input a column or all in one."""

    def make(folder: Path, frame: pd.DataFrame, labels: Any) -> tuple[Path, Answers]:
        from skl2onnx import convert_sklearn
        from skl2onnx.common import data_types

        made = fitted(model(), frame if len(kinds) > 1 else frame.to_numpy(np.float32), labels)
        types = [
            (name, getattr(data_types, kind)([None, 1 if len(kinds) > 1 else frame.shape[1]]))
            for name, kind in kinds.items()
        ]
        graph: Any = convert_sklearn(made, initial_types=types, **given)
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        held = kinds if len(kinds) > 1 else None
        return folder / "model.onnx", lambda rows: answers_of(
            made, rows if held else rows.to_numpy(np.float32)
        )

    return make


BY_COLUMN = {
    "n1": "FloatTensorType", "n2": "FloatTensorType", "i": "FloatTensorType",
    "c": "StringTensorType",
}  # fmt: skip
IN_ONE = {"x": "FloatTensorType"}
IN_ORDER = RegistrationOptions(inputs=NUMBERS)
WITH_TEXT = RegistrationOptions(inputs=("text",), trust=True)
WITH_VECTOR = RegistrationOptions(inputs=("v",), trust=True)
TAGGED = RegistrationOptions(trust=True, classes=TAGS)

logistic = LogisticRegression
ANIMALS = [
    Animal("sklearn: LogisticRegression pipeline", "binary", NUMBERS,
           sklearn_by(lambda: plain(logistic())), slow=False),
    Animal("sklearn: HistGradientBoostingClassifier", "binary", NUMBERS,
           sklearn_by(lambda: HistGradientBoostingClassifier(max_iter=12))),
    Animal("sklearn: RandomForestClassifier, joblib", "binary", NUMBERS,
           sklearn_by(lambda: plain(RandomForestClassifier(10, random_state=0)), "joblib"), TRUST),
    Animal("sklearn: ExtraTreesClassifier, pkl.gz", "binary", NUMBERS,
           sklearn_by(lambda: plain(ExtraTreesClassifier(10, max_depth=5)), "pkl.gz"), TRUST),
    Animal("sklearn: GradientBoostingClassifier", "binary", NUMBERS,
           sklearn_by(lambda: GradientBoostingClassifier(n_estimators=10), "pkl"), TRUST,
           full=True),
    Animal("sklearn: GaussianNB", "binary", NUMBERS, sklearn_by(lambda: plain(GaussianNB())),
           tolerance=1e-5),
    Animal("sklearn: KNeighborsClassifier", "binary", NUMBERS,
           sklearn_by(lambda: plain(KNeighborsClassifier(15)), "pkl"), TRUST),
    Animal("sklearn: MLPClassifier", "binary", NUMBERS,
           sklearn_by(lambda: plain(MLPClassifier((8,), max_iter=50, random_state=0)), "pkl"),
           TRUST),
    Animal("sklearn: table of words, OneHotEncoder", "binary", MIXED,
           sklearn_by(lambda: table(logistic())), slow=False),
    Animal("sklearn: table of words, OrdinalEncoder", "binary", MIXED,
           sklearn_by(lambda: table(RandomForestClassifier(10, random_state=0),
                                    encoder=ordinal()), "pkl"), TRUST),
    Animal("sklearn: table with None as a category", "binary", (*MIXED, "gap"),
           sklearn_by(lambda: table(logistic(), words=("c", "gap")), "pkl"), TRUST),
    Animal("sklearn: booleans", "binary", ("n1", "i", "b"), sklearn_by(lambda: plain(logistic()))),
    Animal("sklearn: TfidfVectorizer", "binary", ("text",),
           only_text(lambda: texts(logistic())), WITH_TEXT, slow=False),
    Animal("sklearn: TfidfVectorizer", "multiclass", ("text",),
           only_text(lambda: texts(logistic())), WITH_TEXT),
    Animal("sklearn: vectors", "binary", ("v",), vectors(lambda: logistic()), WITH_VECTOR),
    Animal("sklearn: vectors", "regression", ("v",), vectors(lambda: Ridge()), WITH_VECTOR,
           tolerance=1e-5),
    Animal("sklearn: LogisticRegression pipeline", "multiclass", NUMBERS,
           sklearn_by(lambda: plain(logistic()))),
    Animal("sklearn: HistGradientBoostingClassifier", "multiclass", NUMBERS,
           sklearn_by(lambda: HistGradientBoostingClassifier(max_iter=8))),
    Animal("sklearn: table of words", "multiclass", MIXED, sklearn_by(lambda: table(logistic()))),
    Animal("sklearn: MultiOutputClassifier", "multilabel", MIXED,
           sklearn_by(lambda: table(MultiOutputClassifier(logistic())), "pkl"), TAGGED),
    Animal("sklearn: RandomForestClassifier of several labels", "multilabel", NUMBERS,
           sklearn_by(lambda: plain(RandomForestClassifier(10, random_state=0)), "pkl"), TAGGED),
    Animal("sklearn: HistGradientBoostingRegressor", "regression", NUMBERS,
           sklearn_by(lambda: HistGradientBoostingRegressor(max_iter=12)), tolerance=1e-5),
    Animal("sklearn: LinearRegression", "regression", NUMBERS,
           sklearn_by(lambda: plain(LinearRegression())), tolerance=1e-4),
    Animal("sklearn: RandomForestRegressor of two values", "two values", NUMBERS,
           sklearn_by(lambda: plain(RandomForestRegressor(10, random_state=0))),
           tolerance=1e-4),
    Animal("xgboost: numbers", "binary", NUMBERS, xgboost_by(xgboost.XGBClassifier), slow=False),
    Animal("xgboost: categories, json", "binary", MIXED,
           xgboost_by(xgboost.XGBClassifier, "model.json"), slow=False),
    Animal("xgboost: booleans", "binary", ("n1", "i", "b"), xgboost_by(xgboost.XGBClassifier)),
    Animal("xgboost: times as seconds", "binary", ("n1", "t"), xgboost_by(xgboost.XGBClassifier)),
    Animal("lightgbm: times as seconds", "binary", ("n1", "t"), lightgbm_by("binary")),
    Animal("catboost: times as seconds", "regression", ("n1", "t", "b"),
           catboost_by(catboost.CatBoostRegressor)),
    Animal("sklearn: hours of times, by a function", "binary", ("n1", "t", "b"),
           sklearn_by(lambda: make_pipeline(FunctionTransformer(hours), logistic()), "pkl"), TRUST),
    Animal("xgboost: pickle with categories", "binary", MIXED,
           xgboost_by(xgboost.XGBClassifier, "model.pkl"), TRUST),
    Animal("xgboost: dart", "binary", NUMBERS, xgboost_by(xgboost.XGBClassifier, booster="dart")),
    Animal("xgboost: categories", "multiclass", MIXED, xgboost_by(xgboost.XGBClassifier), NAMED,
           slow=False),
    Animal("xgboost: several labels", "multilabel", NUMBERS, xgboost_by(xgboost.XGBClassifier),
           RegistrationOptions(classes=TAGS)),
    Animal("xgboost: categories", "regression", MIXED, xgboost_by(xgboost.XGBRegressor)),
    Animal("xgboost: two values", "two values", NUMBERS, xgboost_by(xgboost.XGBRegressor)),
    Animal("xgboost: XGBRanker", "ranking", NUMBERS, xgboost_by(xgboost.XGBRanker)),
    Animal("lightgbm: categories", "binary", MIXED, lightgbm_by("binary"), slow=False),
    Animal("lightgbm: categories", "multiclass", MIXED, lightgbm_by("multiclass", num_class=3),
           NAMED),
    Animal("lightgbm: categories", "regression", MIXED, lightgbm_by("regression")),
    Animal("lightgbm: random forest", "binary", NUMBERS,
           lightgbm_by("binary", boosting="rf", bagging_freq=1, bagging_fraction=0.7)),
    Animal("lightgbm: lambdarank", "ranking", NUMBERS, lightgbm_by("lambdarank")),
    Animal("catboost: numbers", "binary", NUMBERS, catboost_by(catboost.CatBoostClassifier)),
    Animal("catboost: categories", "binary", MIXED, catboost_by(catboost.CatBoostClassifier),
           slow=False),
    Animal("catboost: categories", "multiclass", MIXED, catboost_by(catboost.CatBoostClassifier)),
    Animal("catboost: several labels", "multilabel", NUMBERS,
           catboost_by(catboost.CatBoostClassifier, loss_function="MultiLogloss"),
           RegistrationOptions(classes=TAGS)),
    Animal("catboost: categories", "regression", MIXED, catboost_by(catboost.CatBoostRegressor)),
    Animal("catboost: two values", "two values", NUMBERS,
           catboost_by(catboost.CatBoostRegressor, loss_function="MultiRMSE")),
    Animal("onnx: one matrix, list of maps", "binary", NUMBERS,
           onnx_by(lambda: plain(logistic()), IN_ONE), IN_ORDER, tolerance=1e-5, slow=False),
    Animal("onnx: one input a column, words", "binary", MIXED,
           onnx_by(lambda: table(logistic()), BY_COLUMN), tolerance=1e-5, slow=False),
    Animal("onnx: one input a column, words", "multiclass", MIXED,
           onnx_by(lambda: table(logistic()), BY_COLUMN), tolerance=1e-5),
    Animal("onnx: one matrix", "regression", NUMBERS,
           onnx_by(lambda: plain(Ridge()), IN_ONE), IN_ORDER, tolerance=1e-4),
]  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """A model that is not registered, and the reason that the message must give."""

    animal: Animal
    says: str


REFUSED = [
    Refused(Animal("sklearn: SVC without probabilities", "binary", NUMBERS,
                   sklearn_by(lambda: plain(SVC()), "pkl"), TRUST, slow=False),
            "labels, not probabilities"),
    Refused(Animal("sklearn: three classes for a binary model", "multiclass", NUMBERS,
                   sklearn_by(lambda: plain(logistic()))), "3 classes a row"),
    Refused(Animal("xgboost: gblinear", "binary", NUMBERS,
                   xgboost_by(xgboost.XGBRegressor, booster="gblinear")), "cannot be served"),
    Refused(Animal("lightgbm: multiclassova", "multiclass", NUMBERS,
                   lightgbm_by("multiclassova", num_class=3), NAMED, slow=False),
            "not what it promises"),
    Refused(Animal("xgboost: classes without names", "multiclass", NUMBERS,
                   xgboost_by(xgboost.XGBClassifier), slow=False), "does not say of which labels"),
    Refused(Animal("sklearn: pickle without trust", "binary", NUMBERS,
                   sklearn_by(lambda: plain(logistic()), "pkl"), slow=False), "RUN-104"),
    Refused(Animal("onnx: matrix without names", "binary", NUMBERS,
                   onnx_by(lambda: plain(logistic()), IN_ONE), slow=False),
            "does not name its inputs"),
]  # fmt: skip
