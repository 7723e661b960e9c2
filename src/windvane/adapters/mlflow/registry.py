"""Runs and registered versions in MLflow.

The version's files are logged as run artifacts; serving reads the folder that MLflow keeps
them in. MLflow's aliases mirror our deployments for readers of its pages and decide nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import msgspec
from mlflow import MlflowClient, exceptions
from mlflow.models import ModelSignature
from mlflow.models.model import Model
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

from windvane.core.execution import RUNTIMES, SERVED_FILE, ServedBy
from windvane.ports.registry import Registered

_TYPES = {
    "number": DataType.double, "integer": DataType.long, "boolean": DataType.boolean,
    "category": DataType.string, "datetime": DataType.datetime, "text": DataType.string,
    "vector": Array(DataType.double), "image": DataType.binary,
}  # fmt: skip


class MlflowRegistry:
    """The registry port on an MLflow backend store."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        artifacts.mkdir(parents=True, exist_ok=True)
        self._artifacts = artifacts
        # It tells of each table that it makes, on the standard error of whoever registers.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        with _created_once(artifacts / ".creating"):
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._client.search_experiments(max_results=1)

    def register(
        self,
        model: str,
        files: Path,
        *,
        signature: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        seal: Callable[[Path], str],
    ) -> Registered:
        client = self._client
        run = client.create_run(self._experiment(model), tags=dict(tags))
        run_id = run.info.run_id
        for name, value in params.items():
            client.log_param(run_id, name, value)
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        columns: list[ColSpec | TensorSpec] = [
            ColSpec(_TYPES[kind], name, required=False) for name, kind in signature.items()
        ]
        described = Model(
            run_id=run_id,
            artifact_path="model",
            signature=ModelSignature(
                inputs=Schema(columns), outputs=Schema([ColSpec(DataType.double, "probability")])
            ),
            flavors=_flavours(files),
        )
        described.save(files / "MLmodel")
        manifest = seal(files)
        client.log_artifacts(run_id, str(files), "model")
        client.set_terminated(run_id)
        folder = Path(str(run.info.artifact_uri).removeprefix("file://")) / "model"
        try:
            client.create_registered_model(model)
        except exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = client.create_model_version(model, folder.as_uri(), run_id, tags=dict(tags))
        return Registered(str(version.version), str(folder), manifest, run_id)

    def mirror_alias(self, model: str, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(model, alias, version)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        return self._client.create_experiment(name, (self._artifacts / name).resolve().as_uri())


def _flavours(files: Path) -> dict[str, dict[str, Any]]:
    """What other readers of the registry can load, and always how we serve it ourselves."""
    served = ServedBy()
    if (files / SERVED_FILE).is_file():
        served = msgspec.json.decode((files / SERVED_FILE).read_bytes(), type=ServedBy)
    ours: dict[str, Any] = {"runtime": served.runtime.value, "file": served.file}
    flavor = RUNTIMES[served.runtime].flavor
    if flavor is None:
        return {"windvane": ours}
    name, parameters = flavor
    return {name: {"data": served.file, **parameters}, "windvane": ours}


@contextmanager
def _created_once(path: Path) -> Iterator[None]:
    """MLflow's first creation of its database does not survive a race."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
