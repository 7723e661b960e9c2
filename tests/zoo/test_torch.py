"""PyTorch's models, in an environment of their own; `make test-all` fetches its wheels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from usecases.registration import Registration, opened_registration
from zoo.animals import columns_of, data_of, frame_of, labels_of, text_of
from zoo.modules import MODULES, Module

from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.pip import PipEnvironments
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.core.errors import WindvaneError
from windvane.core.execution import Environment
from windvane.usecases.registration_options import EnvironmentRequest

PLACE = Path(__file__).parents[2] / ".torch"
WHEELS = PLACE / "wheels"
REQUIRES = ("torch==2.13.0",)
COMPARED = 200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PLACE / ".stamp").is_file(), reason="no PyTorch: tools/make_torch.sh fetches it"
    ),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.timeout(1_200),
]


@pytest.fixture(scope="module")
def environments() -> PipEnvironments:
    """Kept beside the wheels: it takes minutes to build."""
    return PipEnvironments(PLACE / "environments")


@pytest.fixture(scope="module")
def torch(environments: PipEnvironments) -> Environment:
    with environments.build(REQUIRES, WHEELS, lambda _: None) as found:
        return found


@pytest.fixture(scope="module")
def apart(
    environments: PipEnvironments, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxRuntime]:
    limits = Limits(load_s=300.0, predict_s=60.0)
    found = SandboxRuntime(limits, tmp_path_factory.mktemp("logs"), environments=environments)
    yield found
    found.close()


@pytest.fixture
def with_torch(
    tmp_path: Path, migrated_file: Path, mlflow_registry: MlflowRegistry, apart: SandboxRuntime,
    environments: PipEnvironments, torch: Environment,
) -> Iterator[Registration]:  # fmt: skip
    with opened_registration(
        tmp_path, migrated_file, mlflow_registry, apart, environments
    ) as found:
        yield found


def weights(task: str, rows: Any, labels: Any) -> tuple[Any, Any]:
    """(outputs, inputs), (outputs,) of a layer that has learned from the rows."""
    if task in {"regression", "two values"}:
        fitted = LinearRegression().fit(rows, labels)
    else:
        fitted = LogisticRegression(max_iter=2_000).fit(rows, labels.astype(int))
    return np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_)


def written(module: Module, folder: Path, packages: Path) -> tuple[Path, Any]:
    """The saved module, and what PyTorch itself answers to the first rows."""
    rows = frame_of(module.animal).to_numpy(np.float64)
    weight, bias = weights(module.task, rows, labels_of(module.task))
    told = {
        "weight": weight.tolist(), "bias": bias.tolist(), "last": module.last,
        "file": str(folder / module.file), "rows": rows[:COMPARED].tolist(),
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(told))
    script = Path(__file__).with_name("write_torch.py")
    command = [sys.executable, "-I", "-S", "-W", "ignore", str(script), str(packages)]
    done = subprocess.run(
        [*command, str(folder / "spec.json")], capture_output=True, text=True, timeout=300.0,
        check=True,
    )  # fmt: skip
    return folder / module.file, np.array(json.loads(done.stdout.splitlines()[-1]), np.float64)


@pytest.mark.parametrize("module", [pytest.param(m, id=f"{m.name} ({m.task})") for m in MODULES])
def test_it_answers_as_pytorch_in_an_environment_of_its_own(
    module: Module, with_torch: Registration, environments: PipEnvironments, torch: Environment,
    tmp_path: Path,
) -> None:  # fmt: skip
    animal = module.animal
    with_torch.apply(text_of(animal, "one"))
    path, expected = written(module, tmp_path, environments.open(torch))
    options = replace(module.options, environment=EnvironmentRequest(REQUIRES, str(WHEELS)))
    done = with_torch.register(path, options, data=data_of(animal), model="one")
    lineage: Any = done.version.lineage
    assert lineage["environment"]["id"] == torch.id
    assert lineage["parity"]["rows"] > 0
    assert "(torch 2.13.0" in lineage["parity"]["library"]
    rows = frame_of(animal).iloc[:COMPARED]
    found = with_torch.served(done, columns_of(rows))
    found = np.stack(found, axis=1) if isinstance(found, list) else found
    expected = expected[:, 0] if expected.shape[1] == 1 else expected
    if module.options.logits:
        expected = 1.0 / (1.0 + np.exp(-expected))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= animal.tolerance


def test_without_it_the_same_file_is_refused(
    with_torch: Registration, environments: PipEnvironments, torch: Environment, tmp_path: Path
) -> None:
    module = MODULES[0]
    with_torch.apply(text_of(module.animal, "one"))
    path, _ = written(module, tmp_path, environments.open(torch))
    with pytest.raises(WindvaneError, match="PyTorch is not installed here"):
        with_torch.register(path, module.options, data=data_of(module.animal), model="one")
