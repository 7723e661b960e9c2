"""The runtime: outputs as trained, also around every split, and no file that was changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from windvane.adapters.files import FileArtifacts
from windvane.adapters.files.artifacts import MANIFEST
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.onnx.artifact import GRAPH, INPUTS
from windvane.adapters.onnx.convert import split_probes, to_graph
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec
from windvane.core.task import Contract
from windvane.ports.runtime import ManifestMismatch, Predictor, UnencodableRow

TOLERANCE = 1e-6
NUMBER, CATEGORY = FeatureType.NUMBER, FeatureType.CATEGORY
CONTRACT = Contract(
    (
        FeatureSpec("ignored", "v", CATEGORY),
        FeatureSpec("whole", "v", NUMBER, nullable=True),
        FeatureSpec("real", "v", NUMBER, nullable=True),
        FeatureSpec("carrier", "v", CATEGORY, nullable=True),
    )
)
INPUT_SPECS = [InputSpec("real"), InputSpec("carrier", ("AA", "UA", "DL")), InputSpec("whole")]


@pytest.fixture(scope="module")
def trained() -> tuple[Any, np.ndarray]:
    """A small model on a real, a category's code and a whole number, all with gaps."""
    rng = np.random.default_rng(7)
    n = 800
    rows = np.stack(
        [rng.normal(0, 1e3, n), rng.integers(0, 3, n).astype(float), rng.integers(0, 24, n)], axis=1
    )
    rows[rng.random(rows.shape) < 0.1] = np.nan
    score = np.nan_to_num(rows[:, 0]) / 500 + np.nan_to_num(rows[:, 2]) / 10 - 1
    late = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(int)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(rows, late)
    return model, rows


def write_artifact(folder: Path, graph: bytes, unknown: str = "null") -> str:
    folder.mkdir(parents=True)
    (folder / GRAPH).write_bytes(graph)
    specs = [replace(s, unknown=unknown) for s in INPUT_SPECS]
    (folder / INPUTS).write_bytes(msgspec.json.encode(specs))
    (folder / "notes.txt").write_text("the registry's own file")
    return FileArtifacts().seal(folder)


def load(folder: Path, manifest: str) -> Predictor:
    opened = FileArtifacts().open(str(folder), manifest)
    return OnnxRuntime().load(opened, CONTRACT, trusted=False)


@pytest.fixture
def artifact(tmp_path: Path, trained: tuple[Any, np.ndarray]) -> tuple[Path, str]:
    folder = tmp_path / "artifacts" / "1"
    return folder, write_artifact(folder, to_graph(trained[0], len(INPUT_SPECS)))


def test_outputs_are_the_trained_models(
    artifact: tuple[Path, str], trained: tuple[Any, np.ndarray]
) -> None:
    model, rows = trained
    predictor = load(artifact[0], artifact[1])
    expected = model.predict_proba(rows)[:, 1]
    assert np.abs(predictor.predict(rows.tolist())[0] - expected).max() <= TOLERANCE
    one = [predictor.predict([row])[0][0] for row in rows[:20].tolist()]
    assert np.abs(np.array(one) - expected[:20]).max() <= TOLERANCE


def test_outputs_agree_on_and_beside_every_split(
    artifact: tuple[Path, str], trained: tuple[Any, np.ndarray]
) -> None:
    model, rows = trained
    probes = split_probes(model, rows, 5_000)
    nodes = np.concatenate([stage[0].nodes for stage in model._predictors])
    inner = nodes[nodes["is_leaf"] == 0]
    splits = {(int(n["feature_idx"]), float(n["num_threshold"])) for n in inner}
    for feature, threshold in splits:
        for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
            assert (probes[:, feature] == value).any()
    predictor = load(artifact[0], artifact[1])
    gap = np.abs(predictor.predict(probes.tolist())[0] - model.predict_proba(probes)[:, 1])
    assert gap.max() <= TOLERANCE
    assert len(split_probes(model, rows, 50)) == 50


def test_a_native_categorical_split_is_refused() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 6, (300, 1)).astype(float)
    late = (rows[:, 0] % 2).astype(int)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(rows, late)
    with pytest.raises(ValueError, match="encode categories first"):
        to_graph(model, 1)


def test_rows_are_encoded_by_name(artifact: tuple[Path, str]) -> None:
    predictor = load(artifact[0], artifact[1])
    assert predictor.encode(["?", 7, 1.5, "UA"]) == [1.5, 1.0, 7.0]
    empty = np.array(predictor.encode(["?", None, None, None]), np.float64)
    assert np.isnan(empty).all()
    assert np.isnan(predictor.encode(["?", 7, 1.5, "never seen"])[1])


def test_an_unknown_category_may_be_an_error(
    tmp_path: Path, trained: tuple[Any, np.ndarray]
) -> None:
    folder = tmp_path / "2"
    manifest = write_artifact(folder, to_graph(trained[0], 3), unknown="error")
    predictor = load(folder, manifest)
    assert predictor.encode(["?", 7, 1.5, "DL"]) == [1.5, 2.0, 7.0]
    assert np.isnan(predictor.encode(["?", 7, 1.5, None])[1])
    with pytest.raises(UnencodableRow, match="carrier 'ZZ' was not in the 3 categories") as raised:
        predictor.encode(["?", 7, 1.5, "ZZ"])
    assert "RUN-102" in str(raised.value)


@pytest.mark.parametrize("name", [GRAPH, INPUTS, "notes.txt"])
@pytest.mark.parametrize("harm", ["changed", "emptied", "missing"])
def test_no_changed_file_is_loaded(artifact: tuple[Path, str], name: str, harm: str) -> None:
    folder, manifest = artifact
    path = folder / name
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b" " if harm == "changed" else b"")
    with pytest.raises(ManifestMismatch, match="RUN-101") as raised:
        load(folder, manifest)
    assert name in str(raised.value)


@pytest.mark.parametrize("harm", ["another hash", "no manifest", "rewritten"])
def test_the_manifest_itself_is_pinned(artifact: tuple[Path, str], harm: str) -> None:
    folder, manifest = artifact
    if harm == "another hash":
        manifest = "0" * 64
    elif harm == "no manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / GRAPH).write_bytes(b"other")
        assert FileArtifacts().seal(folder) != manifest
    with pytest.raises(ManifestMismatch):
        load(folder, manifest)


def test_the_manifest_is_of_every_file_and_stable(artifact: tuple[Path, str]) -> None:
    folder, manifest = artifact
    assert set(json.loads((folder / MANIFEST).read_bytes())) == {GRAPH, INPUTS, "notes.txt"}
    assert FileArtifacts().seal(folder) == manifest


def test_files_in_folders_are_pinned_too(artifact: tuple[Path, str]) -> None:
    folder, _ = artifact
    (folder / "extra").mkdir()
    (folder / "extra" / "weights.bin").write_bytes(b"1")
    manifest = FileArtifacts().seal(folder)
    (folder / "extra" / "weights.bin").write_bytes(b"2")
    with pytest.raises(ManifestMismatch):
        load(folder, manifest)
