"""The runtime port: whatever a version was trained with, the same promises hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.runtime.worlds import CARRIERS, CONTRACT, WORLDS, World, data, onnx_ours, seal

from windvane.adapters.files import FileArtifacts
from windvane.adapters.lightgbm.library import library as lightgbm_library
from windvane.adapters.xgboost.library import library as xgboost_library
from windvane.core.execution import RuntimeName, ServedBy
from windvane.core.task import Contract
from windvane.ports.runtime import (
    CannotLoad,
    ManifestMismatch,
    Predictor,
    Untrusted,
)
from windvane.usecases.load_version import Runtimes


def as_sent(row: np.ndarray) -> list[Any]:
    """A trained row as a request brings it, in the schema's order."""
    real, carrier, whole = (None if np.isnan(v) else float(v) for v in row)
    return ["?", whole, real, None if carrier is None else CARRIERS[int(carrier)]]


def test_outputs_are_the_trained_models(world: World, predictor: Predictor) -> None:
    rows, _ = data()
    expected = world.answers(rows)
    [found] = predictor.predict([predictor.encode(as_sent(row)) for row in rows])
    assert found.dtype == np.float64
    assert found.shape == (len(rows),)
    assert np.abs(found - expected).max() <= world.tolerance
    one = [predictor.predict([predictor.encode(as_sent(row))])[0][0] for row in rows[:5]]
    assert np.abs(np.array(one) - expected[:5]).max() <= world.tolerance


def test_few_rows_are_answered_as_many_are_and_answers_stay(
    world: World, predictor: Predictor
) -> None:
    rows = [predictor.encode(as_sent(row)) for row in data()[0][:24]]
    whole = predictor.predict(rows)[0]
    for size in (1, 2, 3, 8, 9):
        for _ in range(2):  # a size that was met before may take another way
            parts = [predictor.predict(rows[at : at + size])[0] for at in range(0, len(rows), size)]
            assert np.abs(np.concatenate(parts) - whole).max() <= world.tolerance


def test_a_row_of_nothing_is_answered(predictor: Predictor) -> None:
    [found] = predictor.predict([predictor.encode([None] * len(CONTRACT.names))])
    assert np.isfinite(found).all()


def test_an_unknown_category_counts_as_missing(predictor: Predictor) -> None:
    rows = [predictor.encode(["?", 7.0, 1.5, carrier]) for carrier in ("never seen", None)]
    never_seen, missing = predictor.predict(rows)[0]
    assert np.isfinite(never_seen)
    if rows[0][1] != "never seen":  # a table of words is the model's own affair
        assert never_seen == missing


def test_it_says_what_it_holds_and_whether_it_waits(world: World, predictor: Predictor) -> None:
    assert predictor.memory > 10_000
    apart = world.folder.joinpath("runtime.json").is_file() and any(
        name in (world.folder / "runtime.json").read_text() for name in ("sklearn", "py", "torch")
    )
    assert predictor.blocking == apart


def test_programs_need_trust(world: World, runtimes: Runtimes) -> None:
    if not world.trusted:
        pytest.skip("its files are data")
    opened = FileArtifacts().open(str(world.folder), world.manifest)
    with pytest.raises(Untrusted, match="RUN-104"):
        runtimes.load(opened, CONTRACT, trusted=False)


def test_a_file_swapped_after_it_was_opened_is_not_loaded(world: World, runtimes: Runtimes) -> None:
    opened = FileArtifacts().open(str(world.folder), world.manifest)
    changed = next(n for n in opened.names if n.startswith(("model.", "source/model")))
    path = world.folder / changed
    body = path.read_bytes()
    path.write_bytes(body + b"\n")
    try:
        with pytest.raises(ManifestMismatch, match="RUN-101"):
            runtimes.load(opened, CONTRACT, trusted=True)
        with pytest.raises(ManifestMismatch):
            FileArtifacts().open(str(world.folder), world.manifest)
    finally:
        path.write_bytes(body)


@pytest.mark.parametrize("runtime", list(RuntimeName))
def test_nonsense_cannot_be_loaded(
    runtime: RuntimeName, tmp_path: Path, runtimes: Runtimes
) -> None:
    if runtime.value.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is not in the locks: its wheel is huge")
    name = "model.skops" if runtime is RuntimeName.SKLEARN else "model.any"
    (tmp_path / name).write_bytes(b"{nonsense")
    manifest = seal(tmp_path, ServedBy(runtime, name))
    with pytest.raises(CannotLoad, match="RUN-105"):
        runtimes.load(FileArtifacts().open(str(tmp_path), manifest), CONTRACT, trusted=True)


@pytest.mark.parametrize(
    "said", ["{", '{"runtime": "perl"}', '{"runtime": 3}', "[]", '{"runtime":"onnx","file":3}']
)
def test_a_bad_runtime_json_cannot_be_loaded(said: str, tmp_path: Path, runtimes: Runtimes) -> None:
    onnx_ours(tmp_path)
    (tmp_path / "runtime.json").write_text(said)
    manifest = FileArtifacts().seal(tmp_path)
    with pytest.raises(CannotLoad, match=r"runtime\.json"):
        runtimes.load(FileArtifacts().open(str(tmp_path), manifest), CONTRACT, trusted=False)


def test_a_runtime_that_is_not_there_says_which_are(tmp_path: Path, runtimes: Runtimes) -> None:
    onnx_ours(tmp_path)
    world_manifest = seal(tmp_path, ServedBy(RuntimeName.LIGHTGBM))
    few = Runtimes({})
    with pytest.raises(CannotLoad, match="no runtime for lightgbm"):
        few.load(FileArtifacts().open(str(tmp_path), world_manifest), CONTRACT, trusted=False)


@pytest.mark.parametrize(
    ("package", "extra", "library"),
    [
        ("xgboost", "windvane[xgboost]", xgboost_library),
        ("lightgbm", "windvane[lightgbm]", lightgbm_library),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    package: str, extra: str, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    library.cache_clear()
    with pytest.raises(CannotLoad) as raised:
        library()
    assert extra in str(raised.value)
    library.cache_clear()


def test_the_gateways_process_stays_without_pandas(tmp_path: Path) -> None:
    """Boosters run there; what their packages import does not."""
    script = """
import sys
import numpy as np
from windvane.adapters.files import FileArtifacts
from windvane.adapters.lightgbm import LightgbmRuntime
from windvane.adapters.xgboost import XgboostRuntime
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract
kinds = [XgboostRuntime, LightgbmRuntime]
names = ("real", "carrier", "whole")
contract = Contract(tuple(FeatureSpec(n, "v", FeatureType.NUMBER, nullable=True) for n in names))
for made, folder, manifest in zip(kinds, sys.argv[1::2], sys.argv[2::2]):
    opened = FileArtifacts().open(folder, manifest)
    p = made().load(opened, contract, trusted=False)
    assert 0.0 < p.predict([p.encode([1.0, None, 2.0])])[0][0] < 1.0
heavy = {"pandas", "sklearn", "xgboost", "lightgbm"} & set(sys.modules)
assert not heavy, heavy
"""
    given: list[str] = []
    for name, make in (("x", WORLDS["xgboost, ubj"]), ("l", WORLDS["lightgbm"])):
        (tmp_path / name).mkdir()
        made = make(tmp_path / name)
        given += [str(made.folder), made.manifest]
    done = subprocess.run(
        [sys.executable, "-c", script, *given],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "a library printed"


def test_a_version_of_other_features_cannot_be_loaded(tmp_path: Path, runtimes: Runtimes) -> None:
    made = onnx_ours(tmp_path)
    opened = FileArtifacts().open(str(tmp_path), made.manifest)
    with pytest.raises(CannotLoad, match="'carrier', which the model does not have"):
        runtimes.load(opened, Contract(CONTRACT.features[1:3]), trusted=False)
