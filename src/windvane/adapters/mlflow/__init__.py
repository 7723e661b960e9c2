"""The registry on MLflow, in library mode."""

from windvane.adapters.mlflow.registry import MlflowRegistry

__all__ = ["MlflowRegistry"]
