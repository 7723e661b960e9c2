"""The trainer's adapters."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from windvane.adapters.arrow import read_training_table
from windvane.adapters.clock import open_clock
from windvane.adapters.files import FileArtifacts
from windvane.adapters.lightgbm import LightgbmRuntime, read_lightgbm
from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.mlflow.reference import fetch_reference, is_reference
from windvane.adapters.mlflow.source import read_mlmodel
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.onnx.foreign import read_onnx
from windvane.adapters.onnx.learner import BoostedLearner
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.adapters.sql import SqlControlStore
from windvane.adapters.xgboost import XgboostRuntime, read_xgboost
from windvane.core.execution import SANDBOXED, RuntimeName
from windvane.ports.clock import Clock
from windvane.ports.source import Source
from windvane.usecases.accept_candidate import Stores
from windvane.usecases.load_version import Runtimes
from windvane.usecases.read_settings import Settings, find_settings
from windvane.usecases.read_source import candidate_of, packages_of
from windvane.usecases.register_version import RegistrationServices

_ALSO = {
    "mlflow": ("mlflow-skinny",), "xgboost": ("xgboost-cpu",), "sklearn": ("scikit-learn",),
}  # fmt: skip
learner = BoostedLearner
read_table = read_training_table
seal = FileArtifacts().seal


def settings() -> Settings:
    return find_settings(os.environ)


def store(given: Settings) -> SqlControlStore:
    return SqlControlStore(given.store_url)


def clock(given: Settings) -> Clock:
    return open_clock(given.clock)


def registry(given: Settings) -> MlflowRegistry:
    return MlflowRegistry(given.registry_uri, given.artifacts)


def read_source(
    given: str, tracking: str, folder: Path, on_step: Callable[[str], None] = lambda _: None
) -> Source:
    """An MLflow model folder, one file, or a reference, which is downloaded below ``folder``.
    Raises CannotLoad."""
    path = Path(given)
    if is_reference(given):
        on_step(f"download {given}")
        path = fetch_reference(given, tracking, folder)
    if path.is_dir():
        return replace(read_mlmodel(path, candidate_of), name=given)
    candidate = candidate_of(path)
    return Source([candidate], packages=packages_of(path), name=path.name)


@contextmanager
def registration_services(given: Settings, held: SqlControlStore) -> Iterator[RegistrationServices]:
    """What registering needs; programs run apart, and none outlives this."""
    limits = Limits(
        memory=given.sandbox_memory_bytes,
        total_memory=given.sandbox_total_memory,
        require=frozenset(given.sandbox_require),
    )
    apart = SandboxRuntime(limits, given.folder / "logs", given.log_format)
    artifacts = FileArtifacts()
    try:
        yield RegistrationServices(
            Stores(held, registry(given), artifacts.seal, clock(given)),
            artifacts,
            Runtimes(
                {
                    RuntimeName.ONNX: OnnxRuntime,
                    RuntimeName.XGBOOST: XgboostRuntime,
                    RuntimeName.LIGHTGBM: LightgbmRuntime,
                    **dict.fromkeys(SANDBOXED, lambda: apart),
                }
            ),
            apart,
            {
                RuntimeName.ONNX: read_onnx,
                RuntimeName.XGBOOST: read_xgboost,
                RuntimeName.LIGHTGBM: read_lightgbm,
            },
            installed,
        )
    finally:
        apart.close()


def installed(package: str) -> str:
    """The version that is here, "" for none; a package may come by another name."""
    for name in (package, *_ALSO.get(package, ())):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return ""


def git_sha(folder: Path) -> str:
    """The commit that ``folder`` is at, "-dirty" if it has changes, "" outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
