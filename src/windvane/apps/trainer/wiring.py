"""The trainer's adapters."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path

from windvane.adapters.arrow import read_training_table
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileArtifacts
from windvane.adapters.lightgbm import LightgbmOptimizer, LightgbmRuntime, read_lightgbm
from windvane.adapters.measuring import MeasuringProcesses
from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.mlflow.reference import fetch_reference, is_reference
from windvane.adapters.mlflow.source import read_mlmodel
from windvane.adapters.onnx import OnnxRuntime
from windvane.adapters.onnx.foreign import read_onnx
from windvane.adapters.onnx.learner import BoostedLearner
from windvane.adapters.onnx.optimize import OnnxOptimizer
from windvane.adapters.open_inference import (
    OpenInferenceRuntime,
    describe_remote,
    is_remote,
    read_remote,
)
from windvane.adapters.pip import PipEnvironments
from windvane.adapters.sandbox import Limits, SandboxRuntime
from windvane.adapters.sql import SqlControlStore
from windvane.adapters.terminal import Column, Output, ends_quietly, report_error
from windvane.adapters.xgboost import XgboostOptimizer, XgboostRuntime, read_xgboost
from windvane.core.execution import SANDBOXED, RuntimeName
from windvane.inference.elsewhere import ElsewhereRuntime
from windvane.ports.clock import Clock
from windvane.ports.source import Source, SourceCandidate
from windvane.usecases.accept_candidate import Stores
from windvane.usecases.compare_champion import ChampionLoader
from windvane.usecases.load_version import Runtimes
from windvane.usecases.make_variant import VariantServices
from windvane.usecases.profile_version import ProfileServices
from windvane.usecases.read_settings import Settings, find_settings, read_secret
from windvane.usecases.read_source import candidate_of, packages_of
from windvane.usecases.register_version import RegistrationServices
from windvane.usecases.registration_options import RegistrationOrder

__all__ = ["Column", "Output", "ends_quietly", "report_error"]

_ALSO = {
    "mlflow": ("mlflow-skinny",), "xgboost": ("xgboost-cpu",), "sklearn": ("scikit-learn",),
}  # fmt: skip
learner = BoostedLearner
read_table = read_training_table
seal = FileArtifacts().seal


def settings() -> Settings:
    return find_settings(os.environ)


def store(config: Settings) -> SqlControlStore:
    return SqlControlStore(config.store_url)


def clock(config: Settings) -> Clock:
    return open_clock(config.clock)


def registry(config: Settings) -> MlflowRegistry:
    return MlflowRegistry(config.registry_uri, config.artifacts)


def read_source(
    config: Settings, order: RegistrationOrder, folder: Path, on_step: Callable[[str], None]
) -> Source:
    """An MLflow model folder, one file, or a reference, which is downloaded below ``folder``; or
    a model on a server of its own, which is described in a file there. Raises CannotLoad,
    BadReference."""
    path = Path(order.source)
    if is_remote(order.source):
        on_step(f"ask {order.source} about it")
        reference = order.authorization
        credential = read_secret(reference, os.environ, config.folder) if reference else ""
        path = describe_remote(
            order.source, folder, reference, credential, order.remote_rows,
            config.remote_authorities,
        )  # fmt: skip
        return Source([SourceCandidate(RuntimeName.OPEN_INFERENCE, path)], name=order.source)
    if is_reference(order.source):
        on_step(f"download {order.source}")
        path = fetch_reference(order.source, order.tracking, folder)
    if path.is_dir():
        return read_mlmodel(path, candidate_of, order.source)
    candidate = candidate_of(path)
    return Source([candidate], packages=packages_of(path), name=path.name)


@contextmanager
def runtimes_of(config: Settings) -> Iterator[tuple[Runtimes, SandboxRuntime]]:
    """All of them; programs run apart, and none outlives this."""
    apart = SandboxRuntime(
        Limits.of(config),
        config.folder / "logs",
        config.log_format,
        PipEnvironments(config.environments),
    )
    secret = partial(read_secret, environ=os.environ, folder=config.folder)
    remote = OpenInferenceRuntime(secret, config.remote_authorities)
    try:
        yield Runtimes(
            {
                RuntimeName.ONNX: OnnxRuntime,
                RuntimeName.XGBOOST: XgboostRuntime,
                RuntimeName.LIGHTGBM: LightgbmRuntime,
                RuntimeName.OPEN_INFERENCE: lambda: remote,
                RuntimeName.ELSEWHERE: ElsewhereRuntime,
                **dict.fromkeys(SANDBOXED, lambda: apart),
            }
        ), apart  # fmt: skip
    finally:
        apart.close()


def stores(config: Settings, opened: SqlControlStore) -> Stores:
    return Stores(opened, registry(config), seal, clock(config))


@contextmanager
def champions(config: Settings) -> Iterator[ChampionLoader]:
    """What opens the version that answers now."""
    with runtimes_of(config) as (runtimes, _):
        yield ChampionLoader(runtimes, FileArtifacts())


@contextmanager
def registration_services(
    config: Settings, opened: SqlControlStore
) -> Iterator[RegistrationServices]:
    """What registering needs."""
    artifacts = FileArtifacts()
    with runtimes_of(config) as (runtimes, apart):
        yield RegistrationServices(
            stores(config, opened),
            artifacts,
            runtimes,
            apart,
            {
                RuntimeName.ONNX: read_onnx,
                RuntimeName.XGBOOST: read_xgboost,
                RuntimeName.LIGHTGBM: read_lightgbm,
                RuntimeName.OPEN_INFERENCE: read_remote,
            },
            ChampionLoader(runtimes, artifacts),
            installed,
            PipEnvironments(config.environments),
        )


def variant_services(services: RegistrationServices) -> VariantServices:
    return VariantServices(
        services.artifacts,
        services.runtimes,
        {
            RuntimeName.ONNX: OnnxOptimizer(),
            RuntimeName.XGBOOST: XgboostOptimizer(),
            RuntimeName.LIGHTGBM: LightgbmOptimizer(),
        },
    )


def profile_services(config: Settings, opened: RegistrationServices) -> ProfileServices:
    return ProfileServices(
        variant_services(opened),
        opened.stores.store,
        DeltaEventLog(config.log_root, config.log_storage),
        MeasuringProcesses(config.folder),
        time.monotonic,
        opened.stores.clock.now,
    )


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
