"""Runtimes as an installation has them, and every world loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contracts.runtime.worlds import CONTRACT, WORLDS, World

from windvane.adapters.files import FileArtifacts
from windvane.adapters.lightgbm import LightgbmRuntime
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.adapters.xgboost import XgboostRuntime
from windvane.core.execution import SANDBOXED, RuntimeName
from windvane.ports.runtime import Predictor, RemotePredictor
from windvane.usecases.load_version import Runtimes


@pytest.fixture(scope="session")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxRuntime]:
    made = SandboxRuntime(Limits(predict_s=60.0), tmp_path_factory.mktemp("logs"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def runtimes(apart: SandboxRuntime) -> Runtimes:
    return Runtimes(
        {
            RuntimeName.ONNX: OnnxRuntime,
            RuntimeName.XGBOOST: XgboostRuntime,
            RuntimeName.LIGHTGBM: LightgbmRuntime,
            **dict.fromkeys(SANDBOXED, lambda: apart),
        }
    )


@pytest.fixture(scope="session", params=list(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    if request.param.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is not in the locks: its wheel is huge")
    return WORLDS[request.param](tmp_path_factory.mktemp("version"))


@pytest.fixture(scope="session")
def predictor(world: World, runtimes: Runtimes) -> Iterator[Predictor]:
    opened = FileArtifacts().open(str(world.folder), world.manifest)
    found = runtimes.load(opened, CONTRACT, trusted=world.trusted)
    assert not isinstance(found, RemotePredictor)
    yield found
    found.close()
