"""Models by their reference in a tracking server's store; what files say they were made with."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from usecases.registration import FILE, NAMES, matrix, table

from windvane.adapters.mlflow.reference import fetch_reference, is_reference
from windvane.adapters.mlflow.source import read_mlmodel
from windvane.core.execution import RuntimeName
from windvane.ports.runtime import CannotLoad
from windvane.usecases.read_source import candidate_of, packages_of


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A tracking store with version 1 of `light`, called `live`; its address and the run."""
    home = tmp_path_factory.mktemp("tracking")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow
        import mlflow.lightgbm

        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.create_experiment("zoo", (home / "artifacts").as_uri())
        mlflow.set_experiment("zoo")
        rows, late = matrix()
        params = {"objective": "binary", "num_threads": 1, "verbose": -1}
        made = lightgbm.train(params, lightgbm.Dataset(rows, late, feature_name=NAMES), 10)
        with mlflow.start_run() as run:
            mlflow.lightgbm.log_model(
                made, name="model", registered_model_name="light",
                pip_requirements=["lightgbm==4.0.0", "numpy>=1"],
            )  # fmt: skip
            made.save_model(home / "bare.txt")
            mlflow.log_artifact(str(home / "bare.txt"), "files")
        mlflow.MlflowClient().set_registered_model_alias("light", "live", "1")
    return uri, run.info.run_id


@pytest.mark.takes_turns
@pytest.mark.parametrize("reference", ["models:/light/1", "models:/light@live", "runs:/RUN/model"])
def test_a_reference_is_downloaded(
    tracking: tuple[str, str], tmp_path: Path, reference: str
) -> None:
    uri, run = tracking
    path = fetch_reference(reference.replace("RUN", run), uri, tmp_path)
    assert path.is_relative_to(tmp_path)
    source = read_mlmodel(path, candidate_of)
    assert source.candidates[0].runtime is RuntimeName.LIGHTGBM
    assert source.packages["lightgbm"] == "4.0.0"
    assert "numpy" not in source.packages


def test_a_tracking_store_may_be_a_folder(
    tracking: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a database in it, or with files as MLflow once kept them."""
    home = Path(tracking[0].removeprefix("sqlite:///")).parent
    assert (fetch_reference("models:/light/1", str(home), tmp_path / "one") / "MLmodel").is_file()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    old = tmp_path / "mlruns"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow

        client = mlflow.MlflowClient(tracking_uri=old.as_uri(), registry_uri=old.as_uri())
        run = client.create_run(client.create_experiment("zoo"))
        client.log_artifact(run.info.run_id, str(home / "bare.txt"), "files")
        reference = f"runs:/{run.info.run_id}/files/bare.txt"
        found = fetch_reference(reference, str(old), tmp_path / "other")
    assert candidate_of(found).runtime is RuntimeName.LIGHTGBM


def test_a_file_of_a_run_is_downloaded(tracking: tuple[str, str], tmp_path: Path) -> None:
    uri, run = tracking
    path = fetch_reference(f"runs:/{run}/files/bare.txt", uri, tmp_path)
    assert candidate_of(path).runtime is RuntimeName.LIGHTGBM


def test_a_reference_is_bounded_before_it_is_downloaded(
    tracking: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(CannotLoad, match="more than 100 bytes"):
        fetch_reference("models:/light/1", tracking[0], tmp_path, most_bytes=100)
    with pytest.raises(CannotLoad, match="or 2 files"):
        fetch_reference("models:/light/1", tracking[0], tmp_path, most_files=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reference", ["models:/none/1", "models:/light@none", "runs:/none/model"])
def test_a_reference_to_nothing_says_where_it_was_looked_up(
    tracking: tuple[str, str], tmp_path: Path, reference: str
) -> None:
    with pytest.raises(CannotLoad) as raised:
        fetch_reference(reference, tracking[0], tmp_path)
    assert reference in str(raised.value)
    assert "--tracking" in str(raised.value)


def test_what_is_a_reference() -> None:
    assert is_reference("models:/a/1")
    assert not is_reference("models/a.onnx")
    assert not is_reference("s3://bucket/models:/a")


@pytest.mark.parametrize("name", ["m.pkl", "m.pkl.gz", "m.joblib", "m.joblib.gz", "m.skops"])
def test_what_an_estimator_was_made_with_is_read_without_loading_it(
    tmp_path: Path, name: str
) -> None:
    rows, late = np.nan_to_num(matrix()[0]), matrix()[1]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, late)
    path = tmp_path / name
    if name.endswith(".skops"):
        skops.io.dump(model, path)
    elif "joblib" in name:
        joblib.dump(model, path)
    else:
        body = pickle.dumps(model)
        path.write_bytes(gzip.compress(body) if name.endswith(".gz") else body)
    assert packages_of(path) == {"scikit-learn": sklearn.__version__}


@pytest.mark.parametrize("name", ["m.pkl", "m.pkl.gz", "m.skops", "m.ubj"])
def test_what_says_nothing_is_made_with_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense")
    assert packages_of(tmp_path / name) == {}


def windvane(home: Path, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "windvane.apps.cli.main", *given, "--home", str(home)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


@pytest.mark.takes_turns
def test_the_command_takes_a_reference_and_shows_what_it_found(
    tracking: tuple[str, str], tmp_path: Path
) -> None:
    (tmp_path / "model.yaml").write_text(FILE)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "windvane.yaml").touch()
    assert windvane(tmp_path / "home", "apply", str(tmp_path / "model.yaml")).returncode == 0
    given: Any = table()
    lines = ["distance,carrier,temp,late,at"]
    for i in range(given.rows):
        row = [given.columns[name][i] for name in NAMES]
        told = ["" if v is None else str(v) for v in row]
        lines.append(",".join([*told, str(given.labels[i]), str(given.times[i])]))
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    (tmp_path / "words.json").write_text('{"carrier": ["b6", "dl", "ev", "mq"]}')
    common = ["--data", str(tmp_path / "rows.csv"), "--label", "late", "--time", "at"]
    done = windvane(
        tmp_path / "home", "register", "delay", "models:/light@live", *common,
        "--vocabulary", str(tmp_path / "words.json"), "--tracking", tracking[0],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "version 1 of delay is registered" in done.stdout
    assert "made with lightgbm 4.0.0, here is" in done.stdout
    assert "compare 1,000 rows: real rows" in done.stderr
    shown = windvane(tmp_path / "home", "explain-runtime", "delay").stdout
    assert "1,000 real rows" in shown
    assert "Booster (lightgbm" in shown
    assert "made with lightgbm 4.0.0" in shown
    for wrong, message in (
        (["models:/light@live", "--tracking", tracking[0]], "carrier is a category"),
        (["nothing.onnx"], "no file nothing.onnx"),
        ([str(tmp_path / "rows.csv")], "rows.csv is of no kind that is known"),
        (["models:/light/9", "--tracking", tracking[0]], "models:/light/9 cannot be fetched"),
    ):
        failed = windvane(tmp_path / "home", "register", "delay", *wrong, *common)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr
