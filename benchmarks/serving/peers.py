"""The peers, each started the way its own documentation starts a server.

One worker each: there is one core. Each lives in an environment of its own under `.bench/`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import shapes
from .processes import ServerFailed
from .servers import Kind, Launch, Server, Site
from .shapes import Shape

LOCKS = Path(__file__).parent / "peers"
ENVIRONMENTS = Path(__file__).parents[2] / ".bench"
_HOST = "127.0.0.1"
# Nobody phones home, and numerical libraries believe in one core.
_QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": "",
}


def all_peers() -> list[Server]:
    """Every peer as it is by default, and what its documentation has for more throughput."""
    batch = {"BENCH_BATCH": "1"}
    batching = {"max_batch_size": 64, "max_batch_time": 0.01}
    features = shapes.FEATURES_LIST
    return [
        _peer("mlflow models serve", "mlflow", shapes.MLFLOW, _mlflow),
        _peer("BentoML", "bentoml", shapes.BENTOML, _bentoml({})),
        _peer("BentoML, batching", "bentoml", shapes.BENTOML, _bentoml(batch)),
        _peer("LitServe", "litserve", features, _script("litserve", {})),
        _peer("LitServe, batching", "litserve", features, _script("litserve", batch)),
        _peer(
            "LitServe, batching, fast queue", "litserve", features,
            _script("litserve", {**batch, "BENCH_FAST": "1"}),
        ),
        _peer("MLServer", "mlserver", shapes.MLSERVER, _mlserver({}, {})),
        _peer("MLServer, batching", "mlserver", shapes.MLSERVER, _mlserver({}, batching)),
        _peer(
            "MLServer, batching, one process", "mlserver", shapes.MLSERVER,
            _mlserver({"parallel_workers": 0}, batching),
        ),
        _peer("Ray Serve", "ray", features, _script("ray", {})),
        _peer("Ray Serve, batching", "ray", features, _script("ray", batch)),
        _peer(
            "Ray Serve, batching, throughput mode", "ray", features,
            _script("ray", {**batch, "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}),
        ),
        _peer("FastAPI", "fastapi", features, _fastapi({})),
        _peer("FastAPI, async def", "fastapi", features, _fastapi({"BENCH_ASYNC": "1"})),
        _peer(
            "FastAPI + ONNX Runtime", "fastapi", features,
            _fastapi({"BENCH_ASYNC": "1", "BENCH_RUNTIME": "onnx"}), Kind.MIXED,
        ),
    ]  # fmt: skip


def _peer(
    name: str,
    venv: str,
    shape: Shape,
    launch: Callable[[Site], Launch],
    kind: Kind = Kind.PEER,
) -> Server:
    stamp = ENVIRONMENTS / venv / ".stamp"
    missing = "" if stamp.exists() else f"not installed: tools/make_peers.sh {venv}"
    return Server(name, kind, lambda _: shape, launch, missing)


def _environment(venv: str, site: Site, more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(ENVIRONMENTS / venv / "bin"), os.environ.get("PATH", "")])
    model = {"BENCH_MODEL": str(site.model.estimator), "BENCH_PORT": str(site.port)}
    return {**_QUIET, "PATH": path, **model, **more}


def _script(venv: str, more: Mapping[str, str]) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        command = [_bin(venv, "python"), str(LOCKS / venv / "server.py")]
        return Launch(command, site.folder, _environment(venv, site, more))

    return launch


def _fastapi(more: Mapping[str, str]) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        graph = {"BENCH_GRAPH": str(site.model.graph)}
        command = [
            _bin("fastapi", "uvicorn"), "server:app", "--app-dir", str(LOCKS / "fastapi"),
            "--host", _HOST, "--port", str(site.port), "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip
        return Launch(command, site.folder, _environment("fastapi", site, {**graph, **more}))

    return launch


def _bentoml(more: Mapping[str, str]) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        command = [
            _bin("bentoml", "bentoml"), "serve", "service:FlightLate",
            "--working-dir", str(LOCKS / "bentoml"), "--host", _HOST, "--port", str(site.port),
        ]  # fmt: skip
        home = {"BENTOML_HOME": str(site.folder / "bentoml")}
        return Launch(command, site.folder, _environment("bentoml", site, {**home, **more}))

    return launch


def _mlflow(site: Site) -> Launch:
    environment = _environment("mlflow", site, {})
    saved = site.folder / "model"
    done = subprocess.run(
        [_bin("mlflow", "python"), LOCKS / "mlflow" / "save_model.py", site.model.estimator, saved],
        env={**os.environ, **environment}, cwd=site.folder, check=False, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise ServerFailed(f"the model was not saved: {done.stderr[-500:]}")
    command = [
        _bin("mlflow", "mlflow"), "models", "serve", "--model-uri", str(saved),
        "--env-manager", "local", "--host", _HOST, "--port", str(site.port),
    ]  # fmt: skip
    return Launch(command, site.folder, environment)


def all_onnx_mlservers() -> list[Server]:
    """MLServer with the ONNX model that Windvane has, by a runtime of its own way; as it is by
    default, with a process for models, and with all in one."""
    return [
        _peer("MLServer, ONNX", "mlserver", shapes.MLSERVER, _mlserver({}, {}, _onnx)),
        _peer(
            "MLServer, ONNX, one process", "mlserver", shapes.MLSERVER,
            _mlserver({"parallel_workers": 0}, {}, _onnx),
        ),
    ]  # fmt: skip


def _mlserver(
    server: Mapping[str, int],
    batching: Mapping[str, float],
    implementation: Callable[[Site], Mapping[str, Any]] | None = None,
) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        settings = {
            "host": _HOST,
            "http_port": site.port,
            "grpc_port": site.port + 1,
            "metrics_port": site.port + 2,
            "debug": False,  # no line a request
            **server,
        }
        about = {
            "name": "flight-late",
            **(implementation or _sklearn)(site),
            **batching,
        }
        (site.folder / "settings.json").write_text(json.dumps(settings))
        (site.folder / "model-settings.json").write_text(json.dumps(about))
        command = [_bin("mlserver", "mlserver"), "start", str(site.folder)]
        return Launch(command, site.folder, _environment("mlserver", site, {}))

    return launch


def _sklearn(site: Site) -> Mapping[str, Any]:
    return {
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(site.model.estimator)},
    }


def _onnx(site: Site) -> Mapping[str, Any]:
    # It finds a runtime of one's own beside the model's settings.
    shutil.copy(LOCKS / "mlserver" / "onnx_model.py", site.folder)
    return {
        "implementation": "onnx_model.OnnxModel",
        "parameters": {"uri": str(site.model.graph)},
    }


def _bin(venv: str, name: str) -> str:
    return str(ENVIRONMENTS / venv / "bin" / name)
