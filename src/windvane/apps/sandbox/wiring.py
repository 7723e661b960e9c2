"""The sandbox's adapters, imported only when such a version is loaded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from windvane.core.execution import DATA_ONLY, RuntimeName, ServedBy
from windvane.ports.sandbox import Load, ModelPlugin


def start_logging(*, name: str, form: str) -> None:
    """Of our own lines, and of what libraries warn of; what a model prints stays as it is. No
    secret is known here, so what looks like a key or a token is left out by its shape."""
    from windvane.adapters import logs

    logs.start_logging(name, form, level=logging.WARNING)


def plugin(order: Load, files: Path) -> ModelPlugin:
    """The version below ``files``, loaded. Its code may run from here on."""
    served = order.served
    path = files / served.file
    if order.library and served.runtime in DATA_ONLY:
        return _library(served, path)
    if served.runtime is RuntimeName.CATBOOST:
        from windvane.adapters.catboost import load_model

        return load_model(path, served.rounds)
    if served.runtime is RuntimeName.SKLEARN:
        from windvane.adapters.sklearn import load_estimator

        return load_estimator(path, _to_graph, trusted=order.trusted)
    if served.runtime in {RuntimeName.TORCHSCRIPT, RuntimeName.TORCH_EXPORT}:
        from windvane.adapters.torch import load_module

        return load_module(path, exported=served.runtime is RuntimeName.TORCH_EXPORT)
    if served.runtime is RuntimeName.PYFUNC:
        from windvane.adapters.mlflow.pyfunc import load_pyfunc

        return load_pyfunc(path)
    raise ValueError(f"{served.runtime.value} needs no process of its own")


def _library(served: ServedBy, path: Path) -> ModelPlugin:
    """A file that is data, loaded by the Python package that wrote it."""
    if served.runtime is RuntimeName.XGBOOST:
        from windvane.adapters.xgboost.plugin import load_library

        return load_library(path, served.settings.get("missing", ""), served.rounds)
    if served.runtime is RuntimeName.LIGHTGBM:
        from windvane.adapters.lightgbm.plugin import load_library

        return load_library(path, served.rounds)
    if served.runtime is RuntimeName.CATBOOST:
        from windvane.adapters.catboost import load_model

        return load_model(path, served.rounds)
    raise ValueError(f"{served.runtime.value} has no Python library of its own")


def _to_graph(estimator: Any, rows: Any, probes: int) -> Any:
    from windvane.adapters.onnx.foreign import from_sklearn

    return from_sklearn(estimator, rows, probes)
