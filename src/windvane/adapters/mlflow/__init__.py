"""The registry on MLflow, in library mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from windvane.adapters.mlflow.registry import MlflowRegistry

__all__ = ["MlflowRegistry"]


def __getattr__(name: str) -> Any:
    """On demand: a sandbox loads models by another release of MLflow than ours, perhaps, and has
    no use for the registry."""
    if name != "MlflowRegistry":
        raise AttributeError(name)
    from windvane.adapters.mlflow.registry import MlflowRegistry

    return MlflowRegistry
