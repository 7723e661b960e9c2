"""From a model's file to a cheaper version, by the commands alone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

WITHIN_S = 120.0
NAMES = [f"f{i}" for i in range(30)]
TABLE = ["--data", "rows.csv", "--label", "benign", "--time", "at"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a network registered as version 1 of `tumour`."""
    made = tmp_path_factory.mktemp("optimize")
    rows, labels = load_breast_cancer(return_X_y=True)
    with (made / "rows.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES, "benign", "at"])
        for i, (row, label) in enumerate(zip(rows.tolist(), labels.tolist(), strict=True)):
            writer.writerow([*row, label, 1_700_000_000 + 60 * i])
    features = "\n".join(f"    {name}: {{type: number}}" for name in NAMES)
    (made / "model.yaml").write_text(
        "model: tumour\npredicts: {kind: binary, outcome: benign}\ntrain: {min_rows: 300}\n"
        f"watch: {{window: 1h}}\nfeatures:\n  clinic:\n{features}\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net = MLPClassifier((64, 64), random_state=0, max_iter=60)
        fitted = make_pipeline(StandardScaler(), net).fit(rows[:455], labels[:455])
    graph: Any = convert_sklearn(
        fitted, initial_types=[("x", DoubleTensorType([None, 30]))],
        options={id(fitted): {"zipmap": False}},
    )  # fmt: skip
    onnx.save_model(graph, made / "model.onnx")
    (made / "home").mkdir()
    (made / "home" / "windvane.yaml").touch()
    assert windvane(made, "apply", "model.yaml").returncode == 0
    named = ["--inputs", ",".join(NAMES)]
    done = windvane(made, "register", "tumour", "model.onnx", *TABLE, *named)
    assert done.returncode == 0, done.stderr
    return made


def windvane(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "windvane.apps.cli.main", *words]
    environment = {**os.environ, "WINDVANE_HOME": str(folder / "home"), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S,
        check=False,
    )  # fmt: skip


@pytest.mark.takes_turns
def test_a_version_is_profiled_for_people_and_for_machines(folder: Path) -> None:
    done = windvane(folder, "profile", "tumour", *TABLE, "--seconds", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert (found["model"], found["version"], found["runtime"]) == ("tumour", "1", "onnx")
    assert {one["name"] for one in found["options"]} == {"as served", "fp32", "fp16", "int8"}
    assert all(one["latency"]["median_s"] > 0.0 for one in found["options"])
    assert all(one["memory"] > 0 for one in found["options"])
    assert sum(one["share"] for one in found["steps"]) == pytest.approx(1.0)
    told = windvane(folder, "profile", "tumour:1", *TABLE, "--seconds", "1")
    assert told.returncode == 0, told.stderr
    assert "measure requests through the engine" in told.stderr
    for message in ("execute the model", "fp32: ", "no prune: ", "best: ", "MiB", "AUC"):
        assert message in told.stdout


@pytest.mark.takes_turns
def test_the_optimized_version_is_registered_and_can_be_deployed(folder: Path) -> None:
    refused = windvane(folder, "optimize", "tumour:1", "--prune", *TABLE)
    assert refused.returncode == 1
    assert "OPT-101 the graph has no trees" in refused.stderr
    done = windvane(folder, "optimize", "tumour:1", "--fp32", *TABLE)
    assert done.returncode == 0, done.stderr
    assert "version 2 of tumour is registered: fp32 of version 1" in done.stdout
    assert "next: windvane deploy tumour 2" in done.stdout
    assert windvane(folder, "deploy", "tumour", "1").returncode == 0
    assert "begins at" in windvane(folder, "deploy", "tumour", "2").stdout
    told = windvane(folder, "explain-runtime", "tumour", "2")
    assert "against version 1" in told.stdout
