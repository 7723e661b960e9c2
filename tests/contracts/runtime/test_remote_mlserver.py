"""A real MLServer as a version's server, where the benchmark's peers are installed
(`tools/make_peers.sh mlserver`)."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib
import msgspec
import numpy as np
import pytest
from journeys.installation import free_port, wait_until
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from windvane.adapters.files import FileArtifacts
from windvane.adapters.open_inference import OpenInferenceRuntime, describe_remote
from windvane.adapters.open_inference.remote import FILE
from windvane.core.execution import INPUTS_FILE, SERVED_FILE, RuntimeName, ServedBy
from windvane.core.signature import FeatureSpec, FeatureType, InputSpec, OutputMapping
from windvane.core.task import Contract, TaskSpec

MLSERVER = Path(__file__).parents[3] / ".bench" / "mlserver" / "bin" / "mlserver"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MLSERVER.exists(), reason="the peer mlserver is not installed"),
]
NAMES = ("a", "b", "c", "d", "e")
CONTRACT = Contract(
    tuple(FeatureSpec(name, "v", FeatureType.NUMBER) for name in NAMES), TaskSpec("binary")
)
SERVED = ServedBy(
    RuntimeName.OPEN_INFERENCE, FILE, "binary",
    (OutputMapping("probability", "predict_proba", (1,)),),
)  # fmt: skip


@pytest.fixture
def trained() -> tuple[Any, np.ndarray]:
    data = load_breast_cancer()
    rows = data.data[:, : len(NAMES)]
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, data.target), rows


@pytest.fixture
def address(trained: tuple[Any, np.ndarray], tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "server"
    folder.mkdir()
    joblib.dump(trained[0], folder / "model.joblib")
    about = {
        "name": "cancer", "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "v1"},
    }  # fmt: skip
    (folder / "model-settings.json").write_text(json.dumps(about))
    port = free_port()
    settings = {
        "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(),
        "host": "127.0.0.1", "parallel_workers": 0, "debug": False,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen([MLSERVER, "start", "."], cwd=folder, stdout=log, stderr=log)

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until("MLServer is ready", ready)
        yield f"http://127.0.0.1:{port}/v2/models/cancer/versions/v1"
    finally:
        server.terminate()
        server.wait(30)


def test_rows_are_answered_as_the_model_itself_does(
    address: str, trained: tuple[Any, np.ndarray], tmp_path: Path
) -> None:
    model, rows = trained
    folder = tmp_path / "version"
    folder.mkdir()
    describe_remote(address, folder)
    (folder / INPUTS_FILE).write_bytes(msgspec.json.encode([InputSpec(n) for n in NAMES]))
    (folder / SERVED_FILE).write_bytes(msgspec.json.encode(SERVED))
    files = FileArtifacts()
    artifact = files.open(str(folder), files.seal(folder))
    predictor = OpenInferenceRuntime(lambda _: "").load(artifact, CONTRACT, trusted=False)

    async def story() -> Any:
        try:
            return await predictor.predict_async([predictor.encode(r) for r in rows.tolist()], 30.0)
        finally:
            predictor.close()
            await asyncio.sleep(0)
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    (found,) = asyncio.run(story())
    np.testing.assert_allclose(found, model.predict_proba(rows)[:, 1], rtol=1e-12)
