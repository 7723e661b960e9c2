"""An installation with what registering needs, and a small table to measure models on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from usecases.harness import CARRIERS, START, ManualClock

from windvane.adapters.files import FileArtifacts
from windvane.adapters.lightgbm import LightgbmRuntime, read_lightgbm
from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.mlflow.source import read_mlmodel
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.onnx.foreign import read_onnx
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.adapters.sql import SqlControlStore
from windvane.adapters.xgboost import XgboostRuntime, read_xgboost
from windvane.core.execution import SANDBOXED, RuntimeName
from windvane.core.task import Contract
from windvane.ports.environments import EnvironmentStore
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import Predictor, RemotePredictor
from windvane.ports.source import Source
from windvane.usecases.accept_candidate import Stores, Trained
from windvane.usecases.apply_model import apply_model
from windvane.usecases.compare_champion import ChampionLoader
from windvane.usecases.load_version import Runtimes
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.read_source import candidate_of
from windvane.usecases.register_version import (
    RegistrationOptions,
    RegistrationServices,
    register_version,
)

FILE = """
model: delay
predicts: {kind: binary, outcome: late}
features:
  plan:
    distance: {type: number, range: [0, 50000]}
    carrier: {type: category}
  weather:
    temp: {type: number, nullable: true}
watch: {window: 1h, min_rows: 5, recent: 10h}
train: {min_rows: 400, auc_floor: 0.6}
"""
ROWS = 1_000
NAMES = ["distance", "carrier", "temp"]
ORDER = {"carrier": list(CARRIERS)}


def table(rows: int = ROWS, seed: int = 3) -> TrainingData:
    """Late when it is cold and far; a minute between rows."""
    rng = np.random.default_rng(seed)
    distance = np.round(rng.gamma(3.0, 300.0, rows))
    temp = rng.normal(60.0, 10.0, rows)
    late = (distance / 900.0 - temp / 20.0 + rng.normal(0, 0.3, rows) > -2.0).astype(float)
    gone = rng.random(rows) < 0.1
    columns: dict[str, list[Any]] = {
        "distance": distance.tolist(),
        "carrier": [CARRIERS[i] for i in rng.integers(0, 4, rows)],
        "temp": [None if g else float(t) for g, t in zip(gone, temp, strict=True)],
    }
    return TrainingData(columns, late, START + 60.0 * np.arange(rows))


def matrix() -> tuple[np.ndarray[Any, Any], Any]:
    """The table as a model's own author would have encoded it."""
    data = table()
    codes = {name: float(i) for i, name in enumerate(CARRIERS)}
    columns = [
        data.columns["distance"],
        [codes[c] for c in data.columns["carrier"]],
        [np.nan if t is None else t for t in data.columns["temp"]],
    ]
    return np.array(columns, np.float64).T, data.labels.astype(int)


def frame() -> tuple[pd.DataFrame, Any]:
    data = table()
    return pd.DataFrame({n: data.columns[n] for n in NAMES}), data.labels.astype(int)


class Registration:
    """One installation, for as many models as a test likes."""

    def __init__(
        self, folder: Path, registry: MlflowRegistry, apart: SandboxRuntime,
        environments: EnvironmentStore | None = None,
    ) -> None:  # fmt: skip
        self.store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
        self.clock = ManualClock()
        files = FileArtifacts()
        self.runtimes = Runtimes(
            {
                RuntimeName.ONNX: OnnxRuntime,
                RuntimeName.XGBOOST: XgboostRuntime,
                RuntimeName.LIGHTGBM: LightgbmRuntime,
                **dict.fromkeys(SANDBOXED, lambda: apart),
            }
        )
        readers = {
            RuntimeName.ONNX: read_onnx,
            RuntimeName.XGBOOST: read_xgboost,
            RuntimeName.LIGHTGBM: read_lightgbm,
        }
        stores = Stores(self.store, registry, files.seal, self.clock)
        self.services = RegistrationServices(
            stores,
            files,
            self.runtimes,
            apart,
            readers,
            ChampionLoader(self.runtimes, files),
            installed,
            environments,
        )

    def apply(self, text: str) -> str:
        return apply_model(self.store, self.clock, text)[0].model

    def register(
        self,
        path: Path,
        options: RegistrationOptions | None = None,
        *,
        data: TrainingData | None = None,
        model: str = "delay",
    ) -> Trained:
        if path.is_dir():
            source = read_mlmodel(path, candidate_of)
        else:
            source = Source([candidate_of(path)], name=path.name)
        options = options or RegistrationOptions(vocabulary=ORDER)
        return register_version(self.services, model, source, data or table(), options)

    def load(self, done: Trained, *, trusted: bool = False) -> Predictor:
        with self.store.read() as tx:
            contract = read_model_file(tx.model(done.version.model).text).contract
        opened = FileArtifacts().open(done.version.artifact, done.version.manifest)
        found = self.runtimes.load(opened, contract, trusted=trusted)
        assert not isinstance(found, RemotePredictor)
        return found

    def contract(self, done: Trained) -> Contract:
        with self.store.read() as tx:
            return read_model_file(tx.model(done.version.model).text).contract

    def served(
        self, done: Trained, columns: Mapping[str, Sequence[Any]], *, trusted: bool = True
    ) -> Any:
        """Every output of the registered version, of rows as clients send them."""
        names = self.contract(done).names
        predictor = self.load(done, trusted=trusted)
        rows = zip(*(columns[name] for name in names), strict=True)
        found = predictor.predict([predictor.encode(row) for row in rows])
        predictor.close()
        return found[0] if len(found) == 1 else found

    def versions(self, model: str = "delay") -> list[str]:
        with self.store.read() as tx:
            return [v.version for v in tx.versions(model)]


def installed(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


@contextmanager
def opened_registration(
    folder: Path, migrated: Path, registry: MlflowRegistry, apart: SandboxRuntime,
    environments: EnvironmentStore | None = None,
) -> Iterator[Registration]:  # fmt: skip
    shutil.copy(migrated, folder / "control.db")
    found = Registration(folder, registry, apart, environments)
    yield found
    found.store.close()


@pytest.fixture(scope="session")
def mlflow_registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    """One for the session: MLflow takes long to create its database."""
    folder = tmp_path_factory.mktemp("mlflow")
    return MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture(scope="session")
def sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxRuntime]:
    found = SandboxRuntime(Limits(predict_s=60.0), tmp_path_factory.mktemp("logs"))
    yield found
    found.close()


@pytest.fixture
def registration(
    tmp_path: Path, migrated_file: Path, mlflow_registry: MlflowRegistry, sandboxes: SandboxRuntime
) -> Iterator[Registration]:
    """An installation to register models in."""
    with opened_registration(tmp_path, migrated_file, mlflow_registry, sandboxes) as found:
        yield found
