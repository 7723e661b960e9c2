"""The registry: versions that count up, sealed over all their files, with their lineage."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.models.model import Model

from windvane.adapters.files import FileArtifacts
from windvane.adapters.files.artifacts import MANIFEST
from windvane.adapters.mlflow import MlflowRegistry
from windvane.ports.registry import Registered

# MLflow's own, on SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

RACERS = 2
NAMES = count()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes make it at once: MLflow itself does not survive that."""
    folder = tmp_path_factory.mktemp("registry")
    child = Path(__file__).with_name("create_child.py")
    racers = [
        subprocess.Popen(
            [sys.executable, str(child), uri_of(folder), str(folder / "artifacts")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(RACERS)
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        told = [racer.communicate("go\n", timeout=120)[1] for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait(timeout=20)
    assert [racer.returncode for racer in racers] == [0] * RACERS, told
    return folder


def uri_of(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def registry(home: Path) -> MlflowRegistry:
    return MlflowRegistry(uri_of(home), home / "artifacts")


@pytest.fixture
def model() -> str:
    """A name that no other test has."""
    return f"model-{next(NAMES)}"


def register(registry: MlflowRegistry, model: str, files: Path, **given: Any) -> Registered:
    files.mkdir(exist_ok=True)
    (files / "model.onnx").write_bytes(b"graph")
    (files / "inputs.json").write_text("[]")
    named: dict[str, Any] = {
        "signature": {"distance": "number", "stops": "integer", "carrier": "category"},
        "params": {"rounds": 8}, "metrics": {"auc": 0.7}, "tags": {"git": "abc"},
        "seal": FileArtifacts().seal, **given,
    }  # fmt: skip
    return registry.register(model, files, **named)


def test_versions_count_up(registry: MlflowRegistry, model: str, tmp_path: Path) -> None:
    found = [register(registry, model, tmp_path / str(i)) for i in range(3)]
    assert [one.version for one in found] == ["1", "2", "3"]
    assert len({one.artifact for one in found}) == 3
    assert register(registry, f"{model}-other", tmp_path / "o").version == "1"


def test_the_seal_is_over_every_file(registry: MlflowRegistry, model: str, tmp_path: Path) -> None:
    found = register(registry, model, tmp_path / "files")
    folder = Path(found.artifact)
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.onnx", "inputs.json", "MLmodel", MANIFEST}
    assert FileArtifacts().open(found.artifact, found.manifest).names


def test_files_outlive_the_folder_they_came_from(
    registry: MlflowRegistry, model: str, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    found = register(registry, model, files)
    for path in files.iterdir():
        path.unlink()
    assert (Path(found.artifact) / "model.onnx").read_bytes() == b"graph"


def test_the_lineage_is_on_the_run(
    registry: MlflowRegistry, model: str, tmp_path: Path, home: Path
) -> None:
    found = register(registry, model, tmp_path / "files")
    run = MlflowClient(uri_of(home), uri_of(home)).get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"rounds": "8"}
    assert run.data.metrics == {"auc": 0.7}
    assert run.data.tags["git"] == "abc"


def test_mlflow_reads_the_signature(registry: MlflowRegistry, model: str, tmp_path: Path) -> None:
    found = register(registry, model, tmp_path / "files")
    signature = Model.load(found.artifact).signature
    assert signature is not None
    assert [(c.name, c.type.name) for c in signature.inputs.inputs] == [
        ("distance", "double"), ("stops", "long"), ("carrier", "string"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["onnx", "xgboost", "lightgbm", "pyfunc"])
def test_its_metadata_says_how_it_is_served(
    registry: MlflowRegistry, model: str, tmp_path: Path, name: str
) -> None:
    """A native flavour for other readers, and for a program none that would run it."""
    (tmp_path / "files").mkdir()
    body = json.dumps({"runtime": name, "file": "model.any"})
    (tmp_path / "files" / "runtime.json").write_text(body)
    found = register(registry, model, tmp_path / "files")
    flavours = Model.load(found.artifact).flavors
    assert flavours.pop("windvane") == {"runtime": name, "file": "model.any"}
    assert {k: v["data"] for k, v in flavours.items()} == (
        {} if name == "pyfunc" else {name: "model.any"}
    )


def test_a_restart_goes_on(
    registry: MlflowRegistry, model: str, tmp_path: Path, home: Path
) -> None:
    register(registry, model, tmp_path / "one")
    again = MlflowRegistry(uri_of(home), home / "artifacts")
    assert register(again, model, tmp_path / "two").version == "2"


def test_the_alias_is_mirrored_and_moves(
    registry: MlflowRegistry, model: str, tmp_path: Path, home: Path
) -> None:
    for i in range(2):
        register(registry, model, tmp_path / str(i))
    client = MlflowClient(uri_of(home), uri_of(home))
    for version in ("1", "2", "2"):  # told twice: the same
        registry.mirror_alias(model, "champion", version)
        assert str(client.get_model_version_by_alias(model, "champion").version) == version


def test_a_crash_before_the_version_leaves_none(
    registry: MlflowRegistry, model: str, tmp_path: Path
) -> None:
    def dies(folder: Path) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register(registry, model, tmp_path / "files", seal=dies)
    assert register(registry, model, tmp_path / "again").version == "1"
