"""One model for all: trained and registered by Windvane, its estimator written for the peers."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray
from pyarrow import parquet

from windvane.usecases.training_options import Recipe, TrainingOrder

from .rows import FEATURES, VIEWS, Rows

MODEL = "flight-late"
TENANT = "bench"
BENCHMARKS = Path(__file__).parent.parent
TREES = 100
EVERY = 5  # every fifth flight is trained on: enough for 100 trees, and seconds instead of minutes
_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Model:
    """``home`` is a Windvane home in which version 1 is deployed; ``key`` an API key there.

    ``estimator`` is the joblib file of the classifier that version 1 was converted from.
    """

    home: Path
    key: str
    estimator: Path

    @property
    def graph(self) -> Path:
        """Version 1 as ONNX."""
        return next((self.home / "artifacts").rglob("*.onnx"))

    def probabilities(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What every server has to answer for these rows, (rows,)."""
        return joblib.load(self.estimator).predict_proba(values)[:, 1]


def make_model(folder: Path, rows: Rows, on_step: Callable[[str], None]) -> Model:
    """Apply, train, deploy and issue a key, by the command line as a user would."""
    home, estimator, file = folder / "home", folder / "model.joblib", folder / "model.yaml"
    file.write_text(model_file(MODEL, rows))
    table = folder / "flights.parquet"
    _write_table(table, rows)
    on_step("apply the model's file")
    home.mkdir(parents=True, exist_ok=True)
    (home / "windvane.yaml").touch()
    run_windvane(home, "apply", str(file))
    on_step(f"train on every {EVERY}th of {len(rows):,} flights")
    run(
        [sys.executable, "-m", "serving.train", str(estimator), str(TREES)],
        {"WINDVANE_HOME": str(home), "PYTHONPATH": python_path()},
        msgspec.json.encode(TrainingOrder(MODEL, str(table), "late", "asked_at", Recipe())),
    )  # fmt: skip
    on_step("deploy, issue a key")
    run_windvane(home, "deploy", MODEL, "1")
    key = run_windvane(home, "key", "issue", TENANT).split()[-1]
    return Model(home, key, estimator)


def model_file(name: str, rows: Rows) -> str:
    return yaml.safe_dump(model_body(name, rows), sort_keys=False)


def model_body(name: str, rows: Rows) -> dict[str, Any]:
    """A model file with every feature a number in the range that the data has."""
    ranges = {
        feature: [math.floor(column.min()), math.ceil(column.max())]
        for feature, column in zip(FEATURES, rows.values.T, strict=True)
    }
    return {
        "model": name,
        "owner": {"team": "bench"},
        "predicts": {"kind": "binary", "outcome": "late"},
        "features": {
            view: {feature: {"type": "number", "range": ranges[feature]} for feature in features}
            for view, features in VIEWS.items()
        },
    }


def run_windvane(home: Path, *arguments: str) -> str:
    """What a command of Windvane printed; SystemExit with its words if it failed."""
    command = [sys.executable, "-m", "windvane.apps.cli.main", *arguments, "--home", str(home)]
    return run(command, {})


def _write_table(path: Path, rows: Rows) -> None:
    columns = {name: rows.values[::EVERY, i] for i, name in enumerate(FEATURES)}
    table = pa.table({**columns, "late": rows.late[::EVERY], "asked_at": rows.times[::EVERY]})
    parquet.write_table(table, path)


def run(command: list[str], environment: dict[str, str], body: bytes = b"") -> str:
    """What a command printed; SystemExit with its words if it failed."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, cwd=BENCHMARKS, input=body,
        capture_output=True, timeout=_WITHIN_S, check=False,
    )  # fmt: skip
    if done.returncode:
        text = (done.stdout + done.stderr).decode(errors="replace")
        raise SystemExit(f"{' '.join(command[1:4])} failed:\n{text}")
    return done.stdout.decode()


def python_path() -> str:
    """Where a child finds this package."""
    return os.pathsep.join([str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])])
