"""A version that somebody else serves: its baseline is what it answered in the past."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from usecases.test_train_version import FILE, MODEL, ManualClock, table

from windvane.adapters.files import FileArtifacts
from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.sql import SqlControlStore
from windvane.core.drift import unpack_text
from windvane.core.execution import RuntimeName
from windvane.core.outcomes import Calibration, estimate
from windvane.core.task import Contract, TaskSpec
from windvane.inference.elsewhere import ElsewhereRuntime
from windvane.ports.learner import TrainingData
from windvane.ports.runtime import read_served
from windvane.usecases.accept_candidate import BadTrainingData, Stores
from windvane.usecases.apply_model import apply_model
from windvane.usecases.load_version import BlockingPredictor
from windvane.usecases.measure_partial_dependence import unpack_partial_dependence
from windvane.usecases.read_model_file import read_model_file
from windvane.usecases.register_elsewhere import register_elsewhere, with_outputs

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
WATCHED = FILE.replace(", auc_floor: 0.6", "")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    folder = tmp_path_factory.mktemp("mlflow")
    return MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture
def stores(tmp_path: Path, migrated_file: Path, registry: MlflowRegistry) -> Iterator[Stores]:
    shutil.copy(migrated_file, tmp_path / "control.db")
    store = SqlControlStore(f"sqlite:///{tmp_path / 'control.db'}")
    clock = ManualClock()
    apply_model(store, clock, WATCHED)
    yield Stores(store, registry, FileArtifacts().seal, clock)
    store.close()


def answered(scores: Any = None, data: TrainingData | None = None) -> TrainingData:
    """The table with what a service answered, in the column `score`."""
    data = data or table()
    if scores is None:
        scores = np.clip(data.labels * 0.4 + np.linspace(0.1, 0.5, data.rows), 0.0, 1.0).tolist()
    return replace(data, columns={**data.columns, "score": scores})


def watch(stores: Stores, data: TrainingData) -> Any:
    return register_elsewhere(stores, MODEL, data, {"": "score"}, None, {"table": "past.csv"})


def test_its_past_answers_are_the_baseline_and_nothing_is_run(stores: Stores) -> None:
    data = answered()
    done = watch(stores, data)
    version = done.version
    assert version.features == ("distance", "carrier", "temp")
    assert version.metrics["auc"] > 0.9
    assert version.lineage["parity"]["not_compared"] == "it is served elsewhere"
    assert "watched here by the events" in version.lineage["runtime"]["reason"]
    kept = unpack_partial_dependence(version.partial_dependence)
    assert kept is not None
    assert (kept.curves, kept.missing) == (
        (),
        "it is served elsewhere, and nothing here can ask it",
    )
    with stores.store.read() as tx:
        layout = tx.layout(version.layout_id)
        contract = read_model_file(tx.model(MODEL).text).contract
    assert "output" in {axis.name for axis in layout.axes}
    artifact = FileArtifacts().open(version.artifact, version.manifest)
    assert read_served(artifact).runtime is RuntimeName.ELSEWHERE
    predictor = BlockingPredictor(ElsewhereRuntime().load(artifact, contract, trusted=False))
    with pytest.raises(Exception, match="it is served elsewhere"):
        predictor.predict([(1.0, "AA", None)])
    predictor.close()


def test_its_holdout_says_what_its_answers_are_worth(stores: Stores) -> None:
    version = watch(stores, answered(data=table(2_500))).version
    with stores.store.read() as tx:
        kept = tx.version(MODEL, version.version).calibration
    calibration = Calibration.of_arrays(unpack_text(kept))
    counts = calibration.rows.sum(axis=0)
    found = estimate(calibration, counts, 0.025)
    assert counts.sum() == version.metrics["holdout_rows"]
    assert found.value == pytest.approx(version.metrics["auc"], abs=1e-3), "of the holdout itself"


def test_a_poor_model_is_watched_all_the_same_unless_its_file_asks_for_more(
    stores: Stores,
) -> None:
    rng = np.random.default_rng(5)
    poor = answered(rng.random(1_000).tolist())
    assert watch(stores, poor).version.metrics["auc"] < 0.6
    apply_model(stores.store, stores.clock, FILE)
    with pytest.raises(Exception, match=r"ACC-502: holdout AUC"):
        watch(stores, poor)


@pytest.mark.parametrize(
    ("wrong", "said"), [(None, "row 7: score is missing"), (1.5, "row 7: .*1.5")]
)
def test_an_answer_that_is_none_is_named_by_its_row(stores: Stores, wrong: Any, said: str) -> None:
    data = answered()
    scores = list(data.columns["score"])
    scores[7] = wrong
    with pytest.raises(BadTrainingData, match=said):
        watch(stores, replace(data, columns={**data.columns, "score": scores}))


def test_columns_of_outputs_are_named_by_the_task() -> None:
    features = read_model_file(FILE).contract.features
    binary = Contract(features, TaskSpec("binary"))
    assert with_outputs(binary, {"": "score"}).names[-1] == "score"
    assert with_outputs(binary, {"probability": "p"}).names[-1] == "p"
    classes = Contract(features, TaskSpec("multiclass", classes=("a", "b", "c")))
    vector = with_outputs(classes, {"probabilities": "p"}).features[-1]
    assert (vector.type.value, vector.length) == ("vector", 3)
    two = Contract(features, TaskSpec("regression", outputs=("low", "high")))
    for contract, columns, told in (
        (binary, {"odds": "p"}, "binary has no output 'odds'"),
        (binary, {"": "distance"}, "'distance' is a feature"),
        (two, {"low": "l"}, "which column has high"),
    ):
        with pytest.raises(BadTrainingData, match=told):
            with_outputs(contract, columns)
