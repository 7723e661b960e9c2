"""The same small problem, learned by everything that a runtime can serve.

Each maker trains on (rows, 3) float64 with gaps, writes the version's files but the inputs
into a folder, and gives what serves it, whether it needs trust, and the trained answers.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pandas as pd
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from windvane.adapters.files import FileArtifacts
from windvane.adapters.onnx.convert import to_graph
from windvane.core.execution import INPUTS_FILE, SERVED_FILE, RuntimeName, ServedBy
from windvane.core.signature import (
    FeatureSpec,
    FeatureType,
    InputSpec,
    OutputMapping,
    Transform,
)
from windvane.core.task import Contract

CONTRACT = Contract(
    (
        FeatureSpec("ignored", "v", FeatureType.CATEGORY, nullable=True),
        FeatureSpec("whole", "v", FeatureType.NUMBER, nullable=True),
        FeatureSpec("real", "v", FeatureType.NUMBER, nullable=True),
        FeatureSpec("carrier", "v", FeatureType.CATEGORY, nullable=True),
    )
)
SECOND = (OutputMapping("probability", columns=(1,)),)
LOGITS = (OutputMapping("probability", transform=Transform.SIGMOID),)
CARRIERS = ("AA", "UA", "DL")
NAMES = ("real", "carrier", "whole")
SPECS = [InputSpec("real"), InputSpec("carrier", CARRIERS), InputSpec("whole")]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class World:
    """A version's folder, and what the trained model itself answers to encoded rows."""

    folder: Path
    manifest: str
    trusted: bool
    answers: Callable[[Floats], Floats]
    tolerance: float = 1e-6


@cache
def data() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(7)
    n = 800
    rows = np.stack(
        [rng.normal(0, 1e3, n), rng.integers(0, 3, n).astype(float), rng.integers(0, 24, n)], axis=1
    )
    rows[rng.random(rows.shape) < 0.1] = np.nan
    score = np.nan_to_num(rows[:, 0]) / 500 + np.nan_to_num(rows[:, 2]) / 10 - 1
    late = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(int)
    return rows, late


def seal(folder: Path, served: ServedBy | None, inputs: list[InputSpec] = SPECS) -> str:
    (folder / INPUTS_FILE).write_bytes(msgspec.json.encode(inputs))
    if served is not None:
        (folder / SERVED_FILE).write_bytes(msgspec.json.encode(served))
    return FileArtifacts().seal(folder)


@cache
def boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(*data())


@cache
def piped() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(*data())


@cache
def booster() -> Any:
    rows, late = data()
    given = xgboost.DMatrix(rows, label=late, feature_names=list(NAMES))
    return xgboost.train({"objective": "binary:logistic", "nthread": 1}, given, 20)


@cache
def light() -> Any:
    rows, late = data()
    params = {"objective": "binary", "num_threads": 1, "verbose": -1}
    return lightgbm.train(params, lightgbm.Dataset(rows, late, feature_name=list(NAMES)), 20)


def onnx_ours(folder: Path) -> World:
    (folder / "model.onnx").write_bytes(to_graph(boosted(), 3))
    return World(folder, seal(folder, None), False, of(boosted()))


def onnx_foreign(folder: Path) -> World:
    """float32, labels first, then (rows, 2) probabilities: what skl2onnx writes."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    made: Any = convert_sklearn(
        piped(), initial_types=[("x", FloatTensorType([None, 3]))],
        options={id(piped()): {"zipmap": False}},
    )  # fmt: skip
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return World(folder, seal(folder, ServedBy(outputs=SECOND)), False, of(piped()), 1e-5)


def xgboost_file(folder: Path, name: str) -> World:
    booster().save_model(folder / name)
    served = ServedBy(RuntimeName.XGBOOST, name)
    return World(folder, seal(folder, served), False, lambda x: booster().inplace_predict(x))


def lightgbm_text(folder: Path) -> World:
    light().save_model(folder / "model.txt")
    served = ServedBy(RuntimeName.LIGHTGBM, "model.txt")
    return World(folder, seal(folder, served), False, lambda x: light().predict(x))


def skops_data(folder: Path) -> World:
    skops.io.dump(boosted(), folder / "model.skops")
    served = ServedBy(RuntimeName.SKLEARN, "model.skops", outputs=SECOND)
    return World(folder, seal(folder, served), False, of(boosted()))


def skops_table(folder: Path) -> World:
    """Categories as words, on a frame with names."""
    rows, late = data()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    parts = ColumnTransformer([("n", numbers, ["real", "whole"]), ("w", words, ["carrier"])])
    model = make_pipeline(parts, LogisticRegression()).fit(frame(rows), late)
    skops.io.dump(model, folder / "model.skops")
    served = ServedBy(RuntimeName.SKLEARN, "model.skops", outputs=SECOND, table=True)
    plain = [InputSpec(name) for name in NAMES]
    manifest = seal(folder, served, plain)
    return World(folder, manifest, False, lambda x: model.predict_proba(frame(x))[:, 1])


def frame(rows: Floats) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=list(NAMES))
    words = [None if np.isnan(v) else CARRIERS[int(v)] for v in rows[:, 1]]
    made["carrier"] = words  # a missing word is what pandas makes of None
    return made


def pickled(folder: Path) -> World:
    (folder / "model.pkl").write_bytes(pickle.dumps(piped()))
    served = ServedBy(RuntimeName.SKLEARN, "model.pkl", outputs=SECOND)
    return World(folder, seal(folder, served), True, of(piped()))


def pyfunc(folder: Path) -> World:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, as it is imported
        import mlflow.lightgbm

        mlflow.lightgbm.save_model(light(), folder / "source", pip_requirements=[])
    served = ServedBy(RuntimeName.PYFUNC, "source", table=True)
    return World(folder, seal(folder, served), True, lambda x: light().predict(x))


def torch_module(folder: Path, exported: bool) -> World:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.line(torch.nan_to_num(x) / 1000.0)

    torch.manual_seed(0)
    net = Net().eval()
    some = torch.zeros(4, 3)
    if exported:
        free = {"x": {0: torch.export.Dim("rows")}}
        made = torch.export.export(net, (some,), dynamic_shapes=free)
        torch.export.save(made, folder / "model.pt2")
        served = ServedBy(RuntimeName.TORCH_EXPORT, "model.pt2", outputs=LOGITS)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch would rather export
            torch.jit.save(torch.jit.trace(net, some), folder / "model.pt")
        served = ServedBy(RuntimeName.TORCHSCRIPT, "model.pt", outputs=LOGITS)

    def answers(x: Floats) -> Floats:
        with torch.no_grad():
            return torch.sigmoid(net(torch.tensor(x, dtype=torch.float32)))[:, 0].numpy()

    return World(folder, seal(folder, served), True, answers)


def of(model: Any) -> Callable[[Floats], Floats]:
    return lambda x: model.predict_proba(x)[:, 1]


WORLDS: dict[str, Callable[[Path], World]] = {
    "onnx, ours": onnx_ours,
    "onnx, foreign": onnx_foreign,
    "xgboost, ubj": lambda f: xgboost_file(f, "model.ubj"),
    "xgboost, json": lambda f: xgboost_file(f, "model.json"),
    "lightgbm": lightgbm_text,
    "sklearn, skops": skops_data,
    "sklearn, table": skops_table,
    "sklearn, pickle": pickled,
    "pyfunc": pyfunc,
    "torchscript": lambda f: torch_module(f, exported=False),
    "torch.export": lambda f: torch_module(f, exported=True),
}
